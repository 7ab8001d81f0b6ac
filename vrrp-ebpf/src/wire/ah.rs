//! The authentication header of IPsec (RFC 2402 §2), as keepalived puts it before adverts of version 2.
//!
//! ```text
//! 0   next header 112
//! 1   length 4: in words of 32 bits, less two
//! 2   reserved, 0
//! 4   security parameters index: the sender's address
//! 8   sequence number
//! 12  integrity check value: HMAC-MD5, its first 96 bits (RFC 2403)
//! ```

use super::{ByteAccess, put};

/// IP protocol number of the header.
pub const PROTOCOL: u8 = 51;

/// Bytes of the header.
pub const HEADER_LEN: usize = 24;

/// Bytes of the integrity check value, at the end of the header.
pub const ICV_LEN: usize = 12;

/// Offset of the integrity check value.
pub const ICV: usize = HEADER_LEN - ICV_LEN;

/// Next header and length if VRRP follows.
pub(super) const BEGINNING: [u8; 2] = [super::PROTOCOL, 4];

mod field {
    pub(super) const BEGINNING: usize = 0;
    pub(super) const RESERVED: usize = 2;
    pub(super) const SPI: usize = 4;
    pub(super) const SEQUENCE: usize = 8;
}

/// A header that VRRP follows; verifying its check value takes the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AhRepr {
    /// Security parameters index: the sender's address.
    pub spi: [u8; 4],
    /// Sequence number.
    pub sequence: u32,
    /// Integrity check value: the first 96 bits of the HMAC-MD5.
    pub icv: [u8; ICV_LEN],
}

impl AhRepr {
    /// Reads a header; `None` if another protocol follows, or the check value has another length.
    pub fn parse<O: ByteAccess + ?Sized>(octets: &O) -> Option<Self> {
        let is_ours = octets.get::<2>(field::BEGINNING)? == BEGINNING;
        is_ours.then_some(Self {
            spi: octets.get(field::SPI)?,
            sequence: u32::from_be_bytes(octets.get(field::SEQUENCE)?),
            icv: octets.get(ICV)?,
        })
    }

    /// Writes the first [`HEADER_LEN`] bytes of `buffer`; `None` if it is shorter.
    pub fn emit(&self, buffer: &mut [u8]) -> Option<()> {
        let buffer = buffer.get_mut(..HEADER_LEN)?;
        put(buffer, field::BEGINNING, BEGINNING)?;
        put(buffer, field::RESERVED, [0; 2])?;
        put(buffer, field::SPI, self.spi)?;
        put(buffer, field::SEQUENCE, self.sequence.to_be_bytes())?;
        put(buffer, ICV, self.icv)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let repr = AhRepr { spi: [192, 0, 2, 1], sequence: 0x0102_0304, icv: *b"twelve bytes" };
        let mut buffer = [0xa5; HEADER_LEN];
        repr.emit(&mut buffer).unwrap();
        assert_eq!(buffer[..12], [112, 4, 0, 0, 192, 0, 2, 1, 1, 2, 3, 4]);
        assert_eq!(AhRepr::parse(buffer.as_slice()), Some(repr));
        buffer[0] = 6;
        assert_eq!(AhRepr::parse(buffer.as_slice()), None);
        assert_eq!(repr.emit(&mut buffer[..23]), None);
    }
}
