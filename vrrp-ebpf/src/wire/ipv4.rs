//! IPv4 headers.

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;

/// 224.0.0.18 (RFC 9568 §5.1.1.2).
pub const GROUP: [u8; 4] = [224, 0, 0, 18];

/// More fragments, or an offset.
pub(super) const IS_FRAGMENT: u16 = 0x3fff;

pub(super) mod field {
    pub(in crate::wire) const FRAGMENT: usize = 6;
    pub(in crate::wire) const TTL: usize = 8;
    pub(in crate::wire) const SOURCE: usize = 12;
}
