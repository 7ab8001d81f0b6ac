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

/// Bytes behind the addresses in version 2, whatever the authentication type.
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

/// What a message begins with, whatever it means. `vrid`, `priority`, `address_count` and the checksum have one place
/// in both versions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header(pub [u8; HEADER_LEN]);

impl Header {
    #[inline(always)]
    pub const fn version(self) -> u8 {
        self.0[field::VERSION_TYPE] >> 4
    }

    #[inline(always)]
    pub const fn kind(self) -> u8 {
        self.0[field::VERSION_TYPE] & 0x0f
    }

    #[inline(always)]
    pub const fn vrid(self) -> u8 {
        self.0[field::VRID]
    }

    #[inline(always)]
    pub const fn priority(self) -> u8 {
        self.0[field::PRIORITY]
    }

    #[inline(always)]
    pub const fn address_count(self) -> u8 {
        self.0[field::ADDRESS_COUNT]
    }

    /// Meant for version 2 only.
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

    #[inline(always)]
    pub const fn checksum(self) -> u16 {
        u16::from_be_bytes([self.0[field::CHECKSUM], self.0[field::CHECKSUM + 1]])
    }

    /// CARP has protocol number, group and the first byte in common with version 2. Its advert has 7 where VRRP counts
    /// the addresses, and 36 bytes where VRRP with 7 addresses has 44.
    #[inline(always)]
    pub const fn is_carp(self, length: usize) -> bool {
        self.0[field::VERSION_TYPE] == 0x21 && self.address_count() == 7 && length == 36
    }

    /// Bytes that a message of this header has (P26).
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
