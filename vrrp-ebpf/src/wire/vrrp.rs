//! The VRRP message: eight bytes, the addresses, and in version 2 eight bytes of authentication data.
//!
//! ```text
//!     version 3 (RFC 9568 §5.2)              version 2 (RFC 3768 §5.3)
//! 0   version 3 │ type 1                     version 2 │ type 1
//! 1   VRID                                   VRID
//! 2   priority                               priority
//! 3   address count                          address count
//! 4   reserved (4 bits) │ interval in        authentication type (RFC 2338 §5.3.6)
//! 5   centiseconds (12 bits)                 interval in seconds
//! 6   checksum                               checksum
//! 8   addresses                              addresses, authentication data
//! ```

use super::Family;

/// Bytes before the addresses.
pub const HEADER_LEN: usize = 8;

/// Bytes behind the addresses in version 2, of any authentication type (RFC 3768 §5.3).
pub const AUTH_LEN: usize = 8;

/// The only message type.
pub const ADVERTISEMENT: u8 = 1;

/// Longest interval of version 3 in centiseconds (RFC 9568 §5.2.7, 12 bits).
pub const INTERVAL_MAX: u16 = 0x0fff;

pub(super) mod field {
    pub(in crate::wire) const VERSION_TYPE: usize = 0;
    pub(in crate::wire) const VRID: usize = 1;
    pub(in crate::wire) const PRIORITY: usize = 2;
    pub(in crate::wire) const ADDRESS_COUNT: usize = 3;
    /// Version 3: four reserved bits, then the interval.
    pub(in crate::wire) const INTERVAL: usize = 4;
    /// Version 2.
    pub(in crate::wire) const AUTH_TYPE: usize = 4;
    /// Version 2.
    pub(in crate::wire) const ADVERT_INT: usize = 5;
    pub(in crate::wire) const CHECKSUM: usize = 6;
}

/// The first eight bytes of a message, unchecked. `vrid`, `priority`, `address_count` and the checksum have the same
/// place in both versions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header(pub [u8; HEADER_LEN]);

impl Header {
    /// 2 or 3 in a valid message.
    #[inline(always)]
    pub const fn version(self) -> u8 {
        self.0[field::VERSION_TYPE] >> 4
    }

    /// The message type, [`ADVERTISEMENT`] in a valid message.
    #[inline(always)]
    pub const fn kind(self) -> u8 {
        self.0[field::VERSION_TYPE] & 0x0f
    }

    /// The VRID.
    #[inline(always)]
    pub const fn vrid(self) -> u8 {
        self.0[field::VRID]
    }

    /// 0 releases the addresses (RFC 9568 §5.2.4).
    #[inline(always)]
    pub const fn priority(self) -> u8 {
        self.0[field::PRIORITY]
    }

    /// The number of addresses that should follow.
    #[inline(always)]
    pub const fn address_count(self) -> u8 {
        self.0[field::ADDRESS_COUNT]
    }

    /// The authentication type; valid in version 2 only.
    #[inline(always)]
    pub const fn auth_type(self) -> u8 {
        self.0[field::AUTH_TYPE]
    }

    /// Centiseconds in version 3, whose reserved bits are ignored (RFC 9568 §5.2.6); seconds in version 2.
    #[inline(always)]
    pub const fn interval(self) -> u16 {
        match self.version() {
            2 => self.0[field::ADVERT_INT] as u16,
            _ => u16::from_be_bytes([self.0[field::INTERVAL], self.0[field::INTERVAL + 1]]) & INTERVAL_MAX,
        }
    }

    /// The checksum field.
    #[inline(always)]
    pub const fn checksum(self) -> u16 {
        u16::from_be_bytes([self.0[field::CHECKSUM], self.0[field::CHECKSUM + 1]])
    }

    /// Whether this is CARP, which has protocol number, group and the first byte in common with version 2. Its advert
    /// has 7 in the field of the address count, and 36 bytes; VRRP with 7 addresses has 44.
    #[inline(always)]
    pub const fn is_carp(self, length: usize) -> bool {
        self.0[field::VERSION_TYPE] == 0x21 && self.address_count() == 7 && length == 36
    }

    /// Bytes of a message with this header (RFC 9568 §5.2, RFC 3768 §5.3; P26).
    #[inline(always)]
    pub const fn message_len(self, family: Family) -> usize {
        message_len(self.version(), family, self.address_count())
    }
}

/// Bytes of a message.
#[inline(always)]
pub const fn message_len(version: u8, family: Family, address_count: u8) -> usize {
    let auth_len = if version == 2 { AUTH_LEN } else { 0 };
    HEADER_LEN + address_count as usize * family.address_len() + auth_len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::vectors::{V2_PASS, V3_IPV6};

    fn header(bytes: &[u8]) -> Header {
        Header(*bytes.first_chunk().unwrap())
    }

    #[test]
    fn deconstruct_version_2() {
        let header = header(&V2_PASS[34..]);
        assert_eq!((header.version(), header.kind(), header.vrid(), header.priority()), (2, 1, 51, 100));
        assert_eq!((header.address_count(), header.auth_type(), header.interval()), (2, 1, 1));
        assert_eq!(header.checksum(), 0x16e6);
    }

    #[test]
    fn deconstruct_version_3() {
        let header = header(&V3_IPV6[54..]);
        assert_eq!((header.version(), header.kind(), header.vrid(), header.priority()), (3, 1, 53, 250));
        assert_eq!((header.address_count(), header.interval(), header.checksum()), (2, 10, 0xa954));
    }

    /// RFC 9568 §5.2, RFC 3768 §5.3: 8 bytes, then 4 or 16 for each address (P26), and in version 2 another 8 (V02).
    #[test]
    fn lengths() {
        for (version, family, count, length) in [
            (3, Family::V4, 1, 12),
            (3, Family::V4, 255, 1028),
            (3, Family::V6, 1, 24),
            (3, Family::V6, 90, 1448),
            (2, Family::V4, 1, 20),
            (2, Family::V4, 255, 1036),
        ] {
            assert_eq!(message_len(version, family, count), length);
        }
    }

    /// vhid 5, advskew 100, authlen 7, as in `struct carp_header` of FreeBSD and OpenBSD.
    #[test]
    fn carp() {
        let mut bytes = [0; 36];
        bytes[..8].copy_from_slice(&[0x21, 5, 100, 7, 0, 1, 0x12, 0x34]);
        assert!(header(&bytes).is_carp(36));
        assert!(!header(&bytes).is_carp(44), "7 addresses");
        bytes[3] = 6;
        assert!(!header(&bytes).is_carp(36), "another count");
        [bytes[0], bytes[3]] = [0x31, 7];
        assert!(!header(&bytes).is_carp(36), "version 3 with 7 addresses");
    }
}
