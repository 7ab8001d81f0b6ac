//! Frame of an advert as another router of the instance would send it, to ask a program for its verdict.
//!
//! Absent: sending it.

use std::net::IpAddr;

use vrrp_ebpf::wire::advert::{AdvertRepr, fill_checksum};
use vrrp_ebpf::wire::ethernet::{self, EthernetRepr, Mac};
use vrrp_ebpf::wire::ipv4::{self, Ipv4Repr};
use vrrp_ebpf::wire::ipv6::{self, Ipv6Repr};
use vrrp_ebpf::wire::{Family, PROTOCOL};

use super::advert::dialect;
use crate::config::InstanceSettings;
use crate::protocol::Auth;

/// Shortest frame of Ethernet, without its checksum.
const FRAME_MIN: usize = 60;

/// By multicast, or by unicast from `peer` to `own`. `None` with `auth_type AH`, which no program of others can read,
/// and for addresses of two families.
pub fn advert_of_peer(settings: &InstanceSettings, peer: IpAddr, own: IpAddr) -> Option<Vec<u8>> {
    if matches!(settings.auth, Auth::Ah(_)) {
        return None;
    }
    let addresses: Vec<IpAddr> = settings.addresses.advertised.iter().map(|it| it.address).collect();
    let (vrid, family) = (settings.vrid.number(), settings.family);
    let dialect = dialect(settings, settings.version).ok()?;
    let advert = AdvertRepr::new(vrid, settings.priority.0.max(1), dialect, &addresses).ok()?;
    let destination = if settings.unicast.is_some() { own } else { settings.group() };
    let header = match family {
        Family::V4 => ipv4::HEADER_LEN,
        Family::V6 => ipv6::HEADER_LEN,
    };
    let length = ethernet::HEADER_LEN + header + advert.buffer_len();
    let mut frame = vec![0; length.max(FRAME_MIN)];
    let (link, rest) = frame.split_at_mut_checked(ethernet::HEADER_LEN)?;
    let (head, message) = rest.split_at_mut_checked(header)?;
    let message = advert.emit(message)?;
    fill_checksum(message, settings.checksum, peer, destination);
    let payload_len = message.len();
    let (to, ethertype) = match (peer, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (ttl, tos, identification) = (255, 0xc0, 0);
            let repr =
                Ipv4Repr { source, destination, protocol: PROTOCOL, ttl, tos, identification, payload_len };
            repr.emit(head)?;
            (Mac::of_ipv4_group(destination.octets()), ethernet::IPV4)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (hop_limit, traffic_class) = (255, 0xc0);
            let next_header = PROTOCOL;
            let repr = Ipv6Repr { source, destination, next_header, hop_limit, traffic_class, payload_len };
            repr.emit(head)?;
            (Mac::of_ipv6_group(destination.octets()), ethernet::IPV6)
        }
        _ => return None,
    };
    // The MAC address of this host is for frames that are sent to it alone.
    let to = if settings.unicast.is_some() { Mac::default() } else { to };
    EthernetRepr { destination: to, source: Mac::of_instance(family, vrid), ethertype }.emit(link)?;
    Some(frame)
}

#[cfg(test)]
mod tests {
    use vrrp_ebpf::wire::advert::Advert;

    use super::*;
    use crate::protocol::Vrid;

    #[test]
    fn it_is_an_advert_of_the_instance() {
        let mut settings = InstanceSettings::new("web", "eth0", Vrid::new(51).unwrap(), Family::V4);
        let (peer, own) = ("192.0.2.12".parse().unwrap(), "192.0.2.11".parse().unwrap());
        let frame = advert_of_peer(&settings, peer, own).unwrap();
        let (link, rest) = frame.split_at(ethernet::HEADER_LEN);
        let link = EthernetRepr::parse(link).unwrap();
        assert_eq!(link.destination, Mac([0x01, 0, 0x5e, 0, 0, 18]));
        let ip = Ipv4Repr::parse(rest).unwrap();
        assert_eq!((IpAddr::V4(ip.source), ip.protocol, ip.ttl), (peer, PROTOCOL, 255));
        let message = &rest[ipv4::HEADER_LEN..ipv4::HEADER_LEN + ip.payload_len];
        assert!(Advert::parse(message, Family::V4).is_ok());
        settings.family = Family::V6;
        assert!(advert_of_peer(&settings, peer, own).is_none(), "two families");
    }
}
