//! The BPF program's checks for frames of a packet socket: find the instance, judge, record.

use vrrp_ebpf::map::{InstanceKey, InstanceRules, NO_PEER};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::vrrp::Header;
use vrrp_ebpf::wire::{AdvertInfo, ChecksumForm, Octets, Reject, advert, checksum, frame, judge_sender};

use crate::driver::maps::{Maps, Recorded};

/// A valid advert that the engine must handle.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedAdvert<'a> {
    pub slot: u32,
    /// The sender's index among the peers of the slot, or [`vrrp_ebpf::map::NO_PEER`].
    pub peer: u32,
    /// The VRRP message, from its first byte on.
    pub message: &'a [u8],
    pub info: AdvertInfo,
    pub checksum: ChecksumForm,
    pub stamp: Timestamp,
}

/// Judges a frame received on an interface and not addressed to another host's MAC address, without VLAN tags. `None`:
/// not an advert, not to this host, of no instance (counted), refused (counted, and recorded by its source), or equal
/// to the watched one (recorded in the maps).
pub fn classify<'a>(
    bytes: &'a [u8],
    ifindex: u32,
    stamp: Timestamp,
    maps: &Maps,
    lookup: impl Fn(InstanceKey) -> Option<u32>,
) -> Option<ReceivedAdvert<'a>> {
    let frame = frame::dissect(bytes, 0).ok()?;
    let key = InstanceKey::new(ifindex, frame.vlan, frame.family, frame.vrid);
    let note_unknown_router = || {
        if let Some(header) = Octets::get(bytes, frame.at) {
            maps.note_unknown_router(key, |unknown_router| {
                unknown_router.note(Header(header), bytes, &frame, stamp.as_nanos());
            });
        }
    };
    let header = || advert::judge_header(&frame, |at, length| advert::header_sum(bytes, at, length));
    let slot = lookup(key);
    let rules = slot.map_or(InstanceRules::UNUSED, |slot| maps.slot(slot));
    if !maps.locals().take(ifindex, &frame, &rules.source) {
        return None;
    }
    let Some(slot) = slot else {
        // Otherwise the network stack drops it, and it may have been any other advert.
        if header().is_ok() {
            note_unknown_router();
            maps.count_unknown();
        }
        return None;
    };
    let message = bytes.get(frame.at..).and_then(|rest| rest.get(..frame.length));
    let sum = |length| message.and_then(|message| message.get(..length)).map(checksum::sum);
    let sender = || match rules.unicast {
        InstanceRules::ALLOWED_PEERS_ONLY => judge_sender(&frame, maps.allowed_peer(slot, frame.source)),
        _ => Ok(()),
    };
    let (info, checksum) = header()
        .and_then(|()| advert::judge_envelope(bytes, &frame, &rules))
        .and_then(|()| sender())
        .and_then(|()| advert::judge_message(bytes, &frame, &rules, sum))
        .inspect_err(|reject| {
            if *reject == Reject::Carp {
                note_unknown_router();
            }
            maps.reject(slot, *reject, frame.source, stamp);
        })
        .ok()?;
    let message = message?;
    if rules.is_signed() {
        // An IPsec header covers the IP header.
        let message = frame
            .at
            .checked_sub(frame.prefix)
            .and_then(|from| bytes.get(from..))
            .and_then(|rest| rest.get(..frame.length + frame.prefix))?;
        let passes = maps.pass_signed(slot, &info, rules.priority, stamp);
        return passes.then_some(ReceivedAdvert { slot, peer: NO_PEER, message, info, checksum, stamp });
    }
    match maps.record(slot, &info, checksum, message, stamp) {
        Recorded::Steady => None,
        Recorded::Event { peer } => Some(ReceivedAdvert { slot, peer, message, info, checksum, stamp }),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use vrrp_ebpf::map::{Counter, LocalKey};
    use vrrp_ebpf::wire::address::widen;
    use vrrp_ebpf::wire::advert::{AdvertRepr, Dialect, fill_checksum};
    use vrrp_ebpf::wire::ethernet::{EthernetRepr, Mac};
    use vrrp_ebpf::wire::ipv4::{self, Ipv4Repr};
    use vrrp_ebpf::wire::ipv6::{self, Ipv6Repr};
    use vrrp_ebpf::wire::{Family, PROTOCOL, Reject, ethernet};

    use super::*;

    const SLOT: u32 = 1;
    const IFINDEX: u32 = 7;
    const NOW: Timestamp = Timestamp::from_nanos(1_000);

    fn maps() -> Maps {
        let maps = Maps::anonymous(2).unwrap();
        maps.set_slot(SLOT, &InstanceRules { version: 3, ..InstanceRules::UNUSED });
        maps
    }

    /// Only VRID 51 is known, for both families.
    fn look(maps: &Maps, frame: &[u8]) -> Option<(u32, AdvertInfo, Vec<u8>)> {
        let known = [Family::V4, Family::V6].map(|family| InstanceKey::new(IFINDEX, 0, family, 51));
        let lookup = |key| known.contains(&key).then_some(SLOT);
        let received = classify(frame, IFINDEX, NOW, maps, lookup)?;
        assert_eq!((received.slot, received.stamp), (SLOT, NOW));
        Some((received.peer, received.info, received.message.to_vec()))
    }

    fn advert(vrid: u8, ttl: u8, source: IpAddr, address: IpAddr) -> Vec<u8> {
        let family = if source.is_ipv4() { Family::V4 } else { Family::V6 };
        let addresses = [address];
        let advert =
            AdvertRepr::new(vrid, 100, Dialect::V3 { family, centiseconds: 100 }, &addresses).unwrap();
        let header = if source.is_ipv4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
        let mut frame = vec![0; ethernet::HEADER_LEN + header + advert.buffer_len()];
        let (link, packet) = frame.split_at_mut(ethernet::HEADER_LEN);
        let (ip, message) = packet.split_at_mut(header);
        let ethertype = if source.is_ipv4() { ethernet::IPV4 } else { ethernet::IPV6 };
        EthernetRepr { destination: Mac::BROADCAST, source: Mac::default(), ethertype }.emit(link).unwrap();
        let payload_len = message.len();
        let destination = match source {
            IpAddr::V4(source) => {
                let destination = Ipv4Addr::from(ipv4::GROUP);
                let (tos, identification) = (ipv4::INTERNETWORK_CONTROL, 0);
                Ipv4Repr { source, destination, protocol: PROTOCOL, ttl, tos, identification, payload_len }
                    .emit(ip)
                    .unwrap();
                destination.into()
            }
            IpAddr::V6(source) => {
                let destination = Ipv6Addr::from(ipv6::GROUP);
                let (next_header, hop_limit, traffic_class) = (PROTOCOL, ttl, 0);
                Ipv6Repr { source, destination, next_header, hop_limit, traffic_class, payload_len }
                    .emit(ip)
                    .unwrap();
                IpAddr::from(destination)
            }
        };
        fill_checksum(advert.emit(message).unwrap(), ChecksumForm::Pseudo, source, destination);
        frame
    }

    fn v4(vrid: u8, ttl: u8) -> Vec<u8> {
        advert(vrid, ttl, [192, 0, 2, 1].into(), [192, 0, 2, 100].into())
    }

    #[test]
    fn a_valid_advert_is_sighted_and_recorded() {
        let maps = maps();
        let (peer, info, message) = look(&maps, &v4(51, 255)).unwrap();
        assert_eq!((peer, info.priority, info.interval, message.len()), (0, 100, 100, 12));
        assert_eq!(maps.peer(SLOT, 0).unwrap().last_seen, NOW.as_nanos());
        let v6 = advert(51, 255, "fe80::1".parse().unwrap(), "fe80::100".parse().unwrap());
        assert_eq!(look(&maps, &v6).unwrap().0, 1);
    }

    /// Neither counted nor recorded.
    #[test]
    fn what_goes_to_another_host_or_to_no_stack_is_left_alone() {
        let (maps, untouched) = (maps(), maps());
        let own = widen([192, 0, 2, 7].into());
        maps.set_slot(SLOT, &InstanceRules { version: 3, unicast: 1, source: own, ..InstanceRules::UNUSED });
        let to = |vrid, address: [u8; 4]| {
            let mut frame = v4(vrid, 255);
            frame[30..34].copy_from_slice(&address);
            checksum::fill(&mut frame[14..34], 10, 0).unwrap();
            frame
        };
        let mut of_no_stack = v4(52, 255);
        of_no_stack[19] ^= 1;
        for frame in [to(51, [192, 0, 2, 8]), to(52, [192, 0, 2, 8]), of_no_stack] {
            assert!(look(&maps, &frame).is_none());
        }
        for row in [None, Some(SLOT)] {
            assert_eq!(maps.counters(row).counts, untouched.counters(row).counts);
        }
        assert!(maps.unknown_routers().is_empty());
        // Packets to us are judged, and fail, as the checksum covers the destination.
        let further = LocalKey::of_address(IFINDEX, Family::V4, widen([192, 0, 2, 8].into()));
        maps.locals().set([further].into());
        for address in [[192, 0, 2, 7], [192, 0, 2, 8]] {
            assert!(look(&maps, &to(51, address)).is_none());
        }
        assert_eq!(maps.counters(Some(SLOT)).reject(Reject::Checksum), 2);
    }

    #[test]
    fn the_watched_advert_is_noted_only() {
        let maps = maps();
        let (peer, info, message) = look(&maps, &v4(51, 255)).unwrap();
        maps.arm(SLOT, info.source, peer, &message, Timestamp::ZERO);
        assert!(look(&maps, &v4(51, 255)).is_none());
        assert_eq!(maps.last_seen(SLOT), Some(NOW));
    }

    #[test]
    fn what_is_refused_is_counted() {
        let maps = maps();
        assert!(look(&maps, &v4(51, 254)).is_none());
        let mut broken = v4(51, 255);
        broken[36] ^= 1;
        assert!(look(&maps, &broken).is_none());
        let mut of_no_stack = v4(51, 255);
        of_no_stack[19] ^= 1;
        assert!(look(&maps, &of_no_stack).is_none());
        let mut headless = v4(51, 255);
        headless[14] = 0x65;
        assert!(look(&maps, &headless).is_none());
        assert!(look(&maps, &v4(51, 255)[..40]).is_none());
        assert!(look(&maps, &v4(52, 255)).is_none());
        let counted = maps.counters(Some(SLOT));
        assert_eq!(
            [Reject::Ttl, Reject::Checksum, Reject::Truncated, Reject::IpChecksum, Reject::IpHeader]
                .map(|of| counted.reject(of)),
            [1; 5]
        );
        let of = |reject| maps.rejected(SLOT).find(|(of, _)| *of == reject).map(|(_, rejected)| rejected);
        let noted = of(Reject::Ttl).unwrap();
        let source = widen([192, 0, 2, 1].into());
        assert_eq!((noted.source, noted.last_seen, noted.adverts), (source, NOW.as_nanos(), 1));
        assert_eq!(maps.counters(None).counter(Counter::UnknownVrid), 1);
        let unknown_routers = maps.unknown_routers();
        let unknown_router = unknown_routers.values().next().unwrap();
        assert_eq!(unknown_router.claimed(4).collect::<Vec<_>>(), [[192, 0, 2, 100]]);
        assert!(maps.peers(SLOT).next().is_none());
    }
}
