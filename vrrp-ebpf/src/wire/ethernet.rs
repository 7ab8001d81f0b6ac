//! Ethernet II headers and VLAN tags.

use core::fmt;

use super::{ByteAccess, Family, put};

/// Bytes before the payload of an untagged frame.
pub const HEADER_LEN: usize = 14;

/// Bytes that a VLAN tag puts before the ethertype.
pub const TAG_LEN: usize = 4;

/// Ethertype of IPv4.
pub const IPV4: u16 = 0x0800;
/// Ethertype of ARP.
pub const ARP: u16 = 0x0806;
/// Customer tag, 802.1Q.
pub const VLAN: u16 = 0x8100;
/// Ethertype of IPv6.
pub const IPV6: u16 = 0x86dd;
/// Service tag, 802.1ad.
pub const SERVICE_VLAN: u16 = 0x88a8;

/// The id within a tag; priority and drop eligibility lie above.
pub const VLAN_ID: u16 = 0x0fff;

/// Offsets of the fields, bytes.
pub mod field {
    pub(in crate::wire) const DESTINATION: usize = 0;
    /// Source MAC address.
    pub const SOURCE: usize = 6;
    pub(in crate::wire) const ETHERTYPE: usize = 12;
}

/// A link-layer address.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The virtual MAC of an instance (RFC 9568 §7.3).
    pub const fn of_instance(family: Family, vrid: u8) -> Self {
        let group = match family {
            Family::V4 => 1,
            Family::V6 => 2,
        };
        Self([0x00, 0x00, 0x5e, 0x00, group, vrid])
    }

    /// The destination of frames to an IPv4 group (RFC 1112 §6.4).
    pub const fn of_ipv4_group([_, b, c, d]: [u8; 4]) -> Self {
        Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    /// The destination of frames to an IPv6 group (RFC 2464 §7).
    pub const fn of_ipv6_group(group: [u8; 16]) -> Self {
        let [.., a, b, c, d] = group;
        Self([0x33, 0x33, a, b, c, d])
    }
}

/// An untagged header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EthernetRepr {
    /// Destination address.
    pub destination: Mac,
    /// Source address.
    pub source: Mac,
    /// Protocol of the payload.
    pub ethertype: u16,
}

impl EthernetRepr {
    /// Reads a header.
    pub fn parse<O: ByteAccess + ?Sized>(octets: &O) -> Option<Self> {
        Some(Self {
            destination: Mac(octets.get(field::DESTINATION)?),
            source: Mac(octets.get(field::SOURCE)?),
            ethertype: u16::from_be_bytes(octets.get(field::ETHERTYPE)?),
        })
    }

    /// Writes the first [`HEADER_LEN`] bytes of `buffer`; `None` if it is shorter.
    pub fn emit(&self, buffer: &mut [u8]) -> Option<()> {
        let buffer = buffer.get_mut(..HEADER_LEN)?;
        put(buffer, field::DESTINATION, self.destination.0)?;
        put(buffer, field::SOURCE, self.source.0)?;
        put(buffer, field::ETHERTYPE, self.ethertype.to_be_bytes())
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Display for EthernetRepr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {} type {:#06x}", self.source, self.destination, self.ethertype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; 14] =
        [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x33, 0x08, 0x00];

    fn repr() -> EthernetRepr {
        EthernetRepr {
            destination: Mac::of_ipv4_group(crate::wire::ipv4::GROUP),
            source: Mac::of_instance(Family::V4, 51),
            ethertype: IPV4,
        }
    }

    #[test]
    fn parse() {
        assert_eq!(EthernetRepr::parse(BYTES.as_slice()), Some(repr()));
        for short in 0..BYTES.len() {
            assert_eq!(EthernetRepr::parse(&BYTES[..short]), None);
        }
    }

    #[test]
    fn emit() {
        let mut buffer = [0xa5; 15];
        repr().emit(&mut buffer).unwrap();
        assert_eq!(buffer[..14], BYTES);
        assert_eq!(buffer[14], 0xa5);
        assert_eq!(repr().emit(&mut [0; 13]), None);
    }

    /// RFC 9568: MAC addresses of the groups (§5.1.1.2, P03; §5.1.2.2, P04) and of the virtual router (§7.3, X02).
    #[test]
    fn addresses() {
        assert_eq!(Mac::of_ipv4_group([224, 128, 0, 18]).to_string(), "01:00:5e:00:00:12");
        assert_eq!(Mac::of_ipv6_group(crate::wire::ipv6::GROUP).to_string(), "33:33:00:00:00:12");
        assert_eq!(Mac::of_instance(Family::V6, 255).to_string(), "00:00:5e:00:02:ff");
        assert_eq!(repr().to_string(), "00:00:5e:00:01:33 > 01:00:5e:00:00:12 type 0x0800");
    }
}
