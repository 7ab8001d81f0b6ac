//! IPv4 headers (RFC 791 §3.1).
//!
//! Received frames are read by [`super::frame`]; headers written here have no options and belong to no fragment.

use core::fmt;
use core::net::Ipv4Addr;

use super::{ByteAccess, checksum, put};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;

/// 224.0.0.18 (RFC 9568 §5.1.1.2).
pub const GROUP: [u8; 4] = [224, 0, 0, 18];

/// Type of service of routing protocols (RFC 791: internetwork control); keepalived sends adverts with it.
pub const INTERNETWORK_CONTROL: u8 = 0xc0;

/// The bits of a fragment: more fragments, or an offset.
pub(super) const IS_FRAGMENT: u16 = 0x3fff;

pub(super) mod field {
    pub(super) const VERSION_IHL: usize = 0;
    pub(super) const TOS: usize = 1;
    pub(super) const TOTAL_LENGTH: usize = 2;
    pub(super) const IDENTIFICATION: usize = 4;
    pub(in crate::wire) const FRAGMENT: usize = 6;
    pub(super) const TTL: usize = 8;
    pub(super) const PROTOCOL: usize = 9;
    pub(super) const CHECKSUM: usize = 10;
    pub(in crate::wire) const SOURCE: usize = 12;
    pub(super) const DESTINATION: usize = 16;
}

/// A header without options, of a packet that is no fragment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ipv4Repr {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// IP protocol number.
    pub protocol: u8,
    /// Time to live, hops.
    pub ttl: u8,
    /// Type of service.
    pub tos: u8,
    /// Identification of the packet.
    pub identification: u16,
    /// Bytes behind the header, at most 65515.
    pub payload_len: usize,
}

impl Ipv4Repr {
    /// Reads a header; `None` also for options, fragments and a wrong checksum.
    pub fn parse<O: ByteAccess + ?Sized>(octets: &O) -> Option<Self> {
        let header = octets.get::<HEADER_LEN>(0)?;
        let [version_ihl] = octets.get(field::VERSION_IHL)?;
        let fragment = u16::from_be_bytes(octets.get(field::FRAGMENT)?);
        if version_ihl != 0x45 || fragment & IS_FRAGMENT != 0 || !checksum::is_right(checksum::sum(&header)) {
            return None;
        }
        let total = usize::from(u16::from_be_bytes(octets.get(field::TOTAL_LENGTH)?));
        let [tos] = octets.get(field::TOS)?;
        let [ttl] = octets.get(field::TTL)?;
        let [protocol] = octets.get(field::PROTOCOL)?;
        Some(Self {
            source: Ipv4Addr::from(octets.get::<4>(field::SOURCE)?),
            destination: Ipv4Addr::from(octets.get::<4>(field::DESTINATION)?),
            protocol,
            ttl,
            tos,
            identification: u16::from_be_bytes(octets.get(field::IDENTIFICATION)?),
            payload_len: total.checked_sub(HEADER_LEN)?,
        })
    }

    /// Writes the first [`HEADER_LEN`] bytes of `buffer`, checksum included; `None` if it is shorter, or the payload is
    /// longer than a packet can be.
    pub fn emit(&self, buffer: &mut [u8]) -> Option<()> {
        let buffer = buffer.get_mut(..HEADER_LEN)?;
        let total = u16::try_from(self.payload_len.checked_add(HEADER_LEN)?).ok()?;
        put(buffer, field::VERSION_IHL, [0x45])?;
        put(buffer, field::TOS, [self.tos])?;
        put(buffer, field::TOTAL_LENGTH, total.to_be_bytes())?;
        put(buffer, field::IDENTIFICATION, self.identification.to_be_bytes())?;
        put(buffer, field::FRAGMENT, [0; 2])?;
        put(buffer, field::TTL, [self.ttl])?;
        put(buffer, field::PROTOCOL, [self.protocol])?;
        put(buffer, field::SOURCE, self.source.octets())?;
        put(buffer, field::DESTINATION, self.destination.octets())?;
        checksum::fill(buffer, field::CHECKSUM, 0)
    }
}

impl fmt::Display for Ipv4Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, protocol, ttl, payload_len, .. } = self;
        write!(f, "{source} > {destination} protocol {protocol} ttl {ttl} length {payload_len}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::vectors::V3_IPV4;

    fn bytes() -> [u8; 20] {
        V3_IPV4[14..34].try_into().unwrap()
    }

    fn repr() -> Ipv4Repr {
        Ipv4Repr {
            source: Ipv4Addr::new(10, 0, 9, 1),
            destination: Ipv4Addr::from(GROUP),
            protocol: crate::wire::PROTOCOL,
            ttl: 255,
            tos: INTERNETWORK_CONTROL,
            identification: 1,
            payload_len: 12,
        }
    }

    #[test]
    fn parse() {
        assert_eq!(Ipv4Repr::parse(bytes().as_slice()), Some(repr()));
        for short in 0..HEADER_LEN {
            assert_eq!(Ipv4Repr::parse(&bytes()[..short]), None);
        }
    }

    #[test]
    fn emit() {
        let mut buffer = [0xa5; 21];
        repr().emit(&mut buffer).unwrap();
        assert_eq!(buffer[..20], bytes());
        assert_eq!(buffer[20], 0xa5);
        assert_eq!(repr().emit(&mut [0; 19]), None);
        assert_eq!(Ipv4Repr { payload_len: 65516, ..repr() }.emit(&mut buffer), None);
    }

    #[test]
    fn refused() {
        for (at, value, what) in
            [(0, 0x46, "options"), (0, 0x65, "version"), (6, 0x20, "more fragments"), (8, 0xfe, "checksum")]
        {
            let mut bytes = bytes();
            bytes[at] = value;
            assert_eq!(Ipv4Repr::parse(bytes.as_slice()), None, "{what}");
        }
    }

    #[test]
    fn display() {
        assert_eq!(repr().to_string(), "10.0.9.1 > 224.0.0.18 protocol 112 ttl 255 length 12");
    }
}
