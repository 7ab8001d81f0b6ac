//! IPv6 headers.

pub const HEADER_LEN: usize = 40;

/// ff02::12 (RFC 9568 §5.1.2.2).
pub const GROUP: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12];

pub(super) mod field {
    pub(in crate::wire) const PAYLOAD_LENGTH: usize = 4;
    pub(in crate::wire) const NEXT_HEADER: usize = 6;
    pub(in crate::wire) const SOURCE: usize = 8;
    pub(in crate::wire) const DESTINATION: usize = 24;
}
