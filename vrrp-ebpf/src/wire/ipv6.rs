//! IPv6 headers (RFC 8200 §3).
//!
//! Received frames are read by [`super::frame`]; headers written here are followed by no extension header.

use core::fmt;
use core::net::Ipv6Addr;

use super::{ByteAccess, put};

/// Bytes of a header.
pub const HEADER_LEN: usize = 40;

/// ff02::12 (RFC 9568 §5.1.2.2).
pub const GROUP: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12];

/// ff02::1.
pub const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

pub(super) mod field {
    pub(super) const VERSION_CLASS_FLOW: usize = 0;
    pub(in crate::wire) const PAYLOAD_LENGTH: usize = 4;
    pub(in crate::wire) const NEXT_HEADER: usize = 6;
    pub(super) const HOP_LIMIT: usize = 7;
    pub(in crate::wire) const SOURCE: usize = 8;
    pub(in crate::wire) const DESTINATION: usize = 24;
}

/// A header with flow label 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ipv6Repr {
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
    /// IP protocol number of the next header.
    pub next_header: u8,
    /// Hop limit, hops.
    pub hop_limit: u8,
    /// Traffic class.
    pub traffic_class: u8,
    /// Bytes behind the header, at most 65535.
    pub payload_len: usize,
}

impl Ipv6Repr {
    /// Reads a header; `None` also for another version. The flow label is ignored.
    pub fn parse<O: ByteAccess + ?Sized>(octets: &O) -> Option<Self> {
        let [version_class, class_flow] = octets.get(field::VERSION_CLASS_FLOW)?;
        let [next_header] = octets.get(field::NEXT_HEADER)?;
        let [hop_limit] = octets.get(field::HOP_LIMIT)?;
        if version_class >> 4 != 6 {
            return None;
        }
        Some(Self {
            source: Ipv6Addr::from(octets.get::<16>(field::SOURCE)?),
            destination: Ipv6Addr::from(octets.get::<16>(field::DESTINATION)?),
            next_header,
            hop_limit,
            traffic_class: version_class << 4 | class_flow >> 4,
            payload_len: usize::from(u16::from_be_bytes(octets.get(field::PAYLOAD_LENGTH)?)),
        })
    }

    /// Writes the first [`HEADER_LEN`] bytes of `buffer`; `None` if it is shorter, or the payload is longer than a
    /// packet can be.
    pub fn emit(&self, buffer: &mut [u8]) -> Option<()> {
        let buffer = buffer.get_mut(..HEADER_LEN)?;
        let length = u16::try_from(self.payload_len).ok()?;
        let first = [0x60 | self.traffic_class >> 4, self.traffic_class << 4, 0, 0];
        put(buffer, field::VERSION_CLASS_FLOW, first)?;
        put(buffer, field::PAYLOAD_LENGTH, length.to_be_bytes())?;
        put(buffer, field::NEXT_HEADER, [self.next_header])?;
        put(buffer, field::HOP_LIMIT, [self.hop_limit])?;
        put(buffer, field::SOURCE, self.source.octets())?;
        put(buffer, field::DESTINATION, self.destination.octets())
    }
}

impl fmt::Display for Ipv6Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, next_header, hop_limit, payload_len, .. } = self;
        write!(
            f,
            "{source} > {destination} protocol {next_header} hop limit {hop_limit} length {payload_len}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; 40] = [
        0x6c, 0x00, 0x00, 0x00, 0x00, 0x18, 0x70, 0xff, 0xfe, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x12,
    ];

    fn repr() -> Ipv6Repr {
        Ipv6Repr {
            source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x10),
            destination: Ipv6Addr::from(GROUP),
            next_header: crate::wire::PROTOCOL,
            hop_limit: 255,
            traffic_class: 0xc0,
            payload_len: 24,
        }
    }

    #[test]
    fn parse() {
        assert_eq!(Ipv6Repr::parse(BYTES.as_slice()), Some(repr()));
        for short in 0..BYTES.len() {
            assert_eq!(Ipv6Repr::parse(&BYTES[..short]), None);
        }
        let mut other = BYTES;
        other[0] = 0x4c;
        assert_eq!(Ipv6Repr::parse(other.as_slice()), None, "version");
    }

    #[test]
    fn emit() {
        let mut buffer = [0xa5; 41];
        repr().emit(&mut buffer).unwrap();
        assert_eq!(buffer[..40], BYTES);
        assert_eq!(buffer[40], 0xa5);
        assert_eq!(repr().emit(&mut [0; 39]), None);
        assert_eq!(Ipv6Repr { payload_len: 65536, ..repr() }.emit(&mut buffer), None);
    }

    #[test]
    fn display() {
        assert_eq!(repr().to_string(), "fe80::10 > ff02::12 protocol 112 hop limit 255 length 24");
    }
}
