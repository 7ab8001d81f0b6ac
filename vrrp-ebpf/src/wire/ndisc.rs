//! Neighbour discovery (RFC 4861): writes advertisements that announce an address, reads solicitations.

use core::fmt;
use core::net::Ipv6Addr;

use super::ethernet::{self, EthernetRepr, Mac};
use super::ipv6::{self, Ipv6Repr};
use super::{ByteAccess, checksum, put};

/// IP protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;

/// Bytes of an advertisement with the target's link-layer address, behind the IPv6 header.
pub const PACKET_LEN: usize = 32;

/// Bytes of a whole untagged announcement frame.
pub const FRAME_LEN: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN + PACKET_LEN;

/// Bytes from the IPv6 header to the end of a solicitation's target.
pub const SOLICITATION_LEN: usize = ipv6::HEADER_LEN + field::TARGET + 16;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Type and length (in units of 8 bytes) of the option that holds the target's link-layer address.
const TARGET_OPTION: [u8; 2] = [2, 1];

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// Behind the IPv6 header.
mod field {
    pub(super) const TYPE: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: usize = 2;
    pub(super) const FLAGS: usize = 4;
    pub(super) const TARGET: usize = 8;
    pub(super) const OPTION: usize = 24;
    pub(super) const OPTION_MAC: usize = 26;
}

/// An unsolicited advertisement to all nodes (RFC 9568 §6.4.1; L18): the override flag is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AnnouncementRepr {
    /// Source of the frame, and link-layer address of the target.
    pub mac: Mac,
    /// A link-local address of the interface; keepalived takes the target itself.
    pub source: Ipv6Addr,
    /// The address announced.
    pub target: Ipv6Addr,
    /// Whether the target forwards packets.
    pub router: bool,
}

impl AnnouncementRepr {
    /// Reads an untagged frame. `None` for anything but an unsolicited, overriding advertisement to all nodes with its
    /// link-layer option first, and for a wrong checksum.
    pub fn parse_frame(frame: &[u8]) -> Option<Self> {
        let ethernet = EthernetRepr::parse(frame)?;
        if ethernet.ethertype != ethernet::IPV6 {
            return None;
        }
        let packet = frame.get(ethernet::HEADER_LEN..)?;
        let ip = Ipv6Repr::parse(packet)?;
        let body = packet.get(ipv6::HEADER_LEN..)?.get(..ip.payload_len)?;
        let [kind, code] = ByteAccess::get(body, field::TYPE)?;
        let [flags] = ByteAccess::get(body, field::FLAGS)?;
        if ip.next_header != ICMPV6
            || ip.hop_limit != 255
            || ip.destination.octets() != ipv6::ALL_NODES
            || (kind, code) != (ADVERTISEMENT, 0)
            || flags & (SOLICITED | OVERRIDE) != OVERRIDE
            || ByteAccess::get(body, field::OPTION)? != TARGET_OPTION
            || !checksum::is_right(checksum::sum(body) + pseudo(&ip)?)
        {
            return None;
        }
        Some(Self {
            mac: Mac(ByteAccess::get(body, field::OPTION_MAC)?),
            source: ip.source,
            target: Ipv6Addr::from(ByteAccess::get::<16>(body, field::TARGET)?),
            router: flags & ROUTER != 0,
        })
    }

    /// Writes a whole frame; `None` if `buffer` is shorter than [`FRAME_LEN`].
    pub fn emit_frame(&self, buffer: &mut [u8]) -> Option<()> {
        let (header, packet) = buffer.split_at_mut_checked(ethernet::HEADER_LEN)?;
        let (ip_header, body) = packet.split_at_mut_checked(ipv6::HEADER_LEN)?;
        let body = body.get_mut(..PACKET_LEN)?;
        let ethernet = EthernetRepr {
            destination: Mac::of_ipv6_group(ipv6::ALL_NODES),
            source: self.mac,
            ethertype: ethernet::IPV6,
        };
        let ip = Ipv6Repr {
            source: self.source,
            destination: Ipv6Addr::from(ipv6::ALL_NODES),
            next_header: ICMPV6,
            hop_limit: 255,
            traffic_class: 0,
            payload_len: PACKET_LEN,
        };
        ethernet.emit(header)?;
        ip.emit(ip_header)?;
        put(body, field::TYPE, [ADVERTISEMENT])?;
        put(body, field::CODE, [0])?;
        put(body, field::FLAGS, [if self.router { ROUTER | OVERRIDE } else { OVERRIDE }, 0, 0, 0])?;
        put(body, field::TARGET, self.target.octets())?;
        put(body, field::OPTION, TARGET_OPTION)?;
        put(body, field::OPTION_MAC, self.mac.0)?;
        checksum::fill(body, field::CHECKSUM, pseudo(&ip)?)
    }
}

/// The address that a neighbour solicitation asks for, duplicate address detection included. `at` is the offset of the
/// IPv6 header. The checksum is not verified: the stack that answers does so.
#[inline(always)]
pub fn solicited<O: ByteAccess + ?Sized>(octets: &O, at: usize) -> Option<[u8; 16]> {
    let [next_header, hop_limit] = octets.get(at + ipv6::field::NEXT_HEADER)?;
    if next_header != ICMPV6 || hop_limit != 255 {
        return None;
    }
    let [kind, code] = octets.get(at + ipv6::HEADER_LEN + field::TYPE)?;
    if (kind, code) != (SOLICITATION, 0) {
        return None;
    }
    octets.get(at + ipv6::HEADER_LEN + field::TARGET)
}

fn pseudo(ip: &Ipv6Repr) -> Option<u64> {
    let length = u16::try_from(ip.payload_len).ok()?;
    Some(checksum::pseudo(ICMPV6, &ip.source.octets(), &ip.destination.octets(), length))
}

impl fmt::Display for AnnouncementRepr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mac, source, target, router } = self;
        let kind = if *router { "router" } else { "host" };
        write!(f, "{kind} {target} is at {mac}, says {source}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::vectors::NEIGHBOR_ADVERTISEMENT;

    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);

    fn repr() -> AnnouncementRepr {
        AnnouncementRepr { mac: Mac([2, 0, 0, 0, 0, 1]), source: TARGET, target: TARGET, router: false }
    }

    #[test]
    fn parse() {
        assert_eq!(AnnouncementRepr::parse_frame(&NEIGHBOR_ADVERTISEMENT), Some(repr()));
        for short in 0..NEIGHBOR_ADVERTISEMENT.len() {
            assert_eq!(AnnouncementRepr::parse_frame(&NEIGHBOR_ADVERTISEMENT[..short]), None);
        }
    }

    #[test]
    fn emit() {
        let mut buffer = [0xa5; 87];
        repr().emit_frame(&mut buffer).unwrap();
        assert_eq!(buffer[..86], NEIGHBOR_ADVERTISEMENT);
        assert_eq!(buffer[86], 0xa5);
        for short in 0..FRAME_LEN {
            assert_eq!(repr().emit_frame(&mut vec![0; short]), None);
        }
    }

    /// RFC 9568 §6.4.1: an announcement has the flags R and O, and not S (L18). Only R depends on the target.
    #[test]
    fn flags() {
        let mut buffer = [0xa5; FRAME_LEN];
        let router = AnnouncementRepr { router: true, ..repr() };
        router.emit_frame(&mut buffer).unwrap();
        assert_eq!(buffer[58..62], [0xa0, 0, 0, 0]);
        assert_eq!(AnnouncementRepr::parse_frame(&buffer), Some(router));
        assert_eq!(router.to_string(), "router 2001:db8::100 is at 02:00:00:00:00:01, says 2001:db8::100");
    }

    /// No byte can change but the Ethernet addresses, the traffic class and the flow.
    #[test]
    fn changed() {
        for at in (12..FRAME_LEN).filter(|at| !(14..18).contains(at)) {
            let mut frame = NEIGHBOR_ADVERTISEMENT;
            frame[at] ^= 0x41;
            assert_eq!(AnnouncementRepr::parse_frame(&frame), None, "byte {at}");
        }
    }

    #[test]
    fn solicitations() {
        let mut frame = NEIGHBOR_ADVERTISEMENT;
        assert_eq!(solicited(frame.as_slice(), 14), None);
        frame[54] = SOLICITATION;
        assert_eq!(solicited(frame.as_slice(), 14), Some(TARGET.octets()));
        for (at, what) in [(20, "protocol"), (21, "hop limit"), (55, "code")] {
            let mut other = frame;
            other[at] ^= 1;
            assert_eq!(solicited(other.as_slice(), 14), None, "{what}");
        }
        for short in 0..78 {
            assert_eq!(solicited(&frame[..short], 14), None);
        }
    }
}
