//! Adverts of a packet socket: they go the way of those that the BPF program receives.

use std::cell::Cell;

use vrrp_ebpf::map::{AllowedPeer, Counter, InstanceKey, LocalKey, Peer, SenderClass};
use vrrp_ebpf::path::{self, Message};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::frame::Frame;
use vrrp_ebpf::wire::vrrp::Header;
use vrrp_ebpf::wire::{AdvertInfo, ByteAccess, ChecksumForm, Reject, advert, checksum, frame};

use crate::driver::maps::{Maps, RulesInForce};
use crate::protocol::InstanceId;

/// A valid advert that the engine must handle.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedAdvert<'a> {
    pub slot: InstanceId,
    /// The sender's index among the peers of the slot, or [`vrrp_ebpf::map::NO_PEER`].
    pub peer: u32,
    /// The VRRP message, from its first byte on.
    pub message: &'a [u8],
    pub info: AdvertInfo,
    pub checksum: ChecksumForm,
    pub stamp: Timestamp,
}

/// Judges a frame received on an interface and not addressed to another host's MAC address, without VLAN tags. `None`:
/// not an advert, not to this host, of no instance (counted), refused (counted, and recorded by its source), equal to
/// the watched one (recorded in the maps), or beyond the budget (counted).
pub fn classify<'a>(
    bytes: &'a [u8],
    ifindex: u32,
    stamp: Timestamp,
    maps: &Maps,
    lookup: impl Fn(InstanceKey) -> Option<InstanceId>,
) -> Option<ReceivedAdvert<'a>> {
    let frame = frame::dissect(bytes, 0).ok()?;
    let reach = Reach { bytes, ifindex, stamp, maps, lookup, received: Cell::new(None) };
    // A copy of the frame: the stack has its own, whatever the verdict.
    path::walk(&reach, &frame);
    reach.received.take()
}

/// In place of the MAC address that a packet of an interface without Ethernet comes from.
const NO_ETHERNET: [u8; 6] = [0; 6];

/// A frame and the maps, as the packet socket reaches them.
struct Reach<'a, 'm, L> {
    bytes: &'a [u8],
    ifindex: u32,
    stamp: Timestamp,
    maps: &'m Maps,
    lookup: L,
    received: Cell<Option<ReceivedAdvert<'a>>>,
}

impl<'m, L: Fn(InstanceKey) -> Option<InstanceId>> path::Maps for Reach<'_, 'm, L> {
    type Bytes = [u8];
    type Slot = InstanceId;
    type Rules = RulesInForce<'m>;

    fn octets(&self) -> &[u8] {
        self.bytes
    }

    fn ifindex(&self) -> u32 {
        self.ifindex
    }

    fn now(&self) -> u64 {
        self.stamp.as_nanos()
    }

    fn launder(&self, value: usize) -> usize {
        value
    }

    fn sum(&self, at: usize, length: usize) -> Option<u64> {
        self.bytes.get(at..)?.get(..length).map(checksum::sum)
    }

    fn header_sum(&self, at: usize, length: usize) -> Option<u64> {
        advert::header_sum(self.bytes, at, length)
    }

    /// The socket's filter has compared the MAC address.
    fn is_to_us(&self, frame: &Frame, own: &[u8; 16]) -> bool {
        self.maps.locals().take(self.ifindex, frame, own)
    }

    fn slot_of(&self, key: &InstanceKey) -> Option<InstanceId> {
        (self.lookup)(*key)
    }

    fn rules(&self, slot: InstanceId) -> Option<RulesInForce<'m>> {
        self.maps.rules(slot)
    }

    fn allowed_peer(&self, slot: InstanceId, source: [u8; 16]) -> Option<AllowedPeer> {
        self.maps.allowed_peer(slot, source)
    }

    fn is_steady(&self, slot: InstanceId, frame: &Frame) -> bool {
        let message = self.bytes.get(frame.at..).and_then(|rest| rest.get(..frame.length));
        message.is_some_and(|message| self.maps.is_steady(slot, &frame.source, message, self.stamp))
    }

    fn is_watched(&self, slot: InstanceId, source: &[u8; 16]) -> bool {
        self.maps.is_watched(slot, source)
    }

    fn count(&self, slot: Option<InstanceId>, counter: Counter) {
        self.maps.count(slot, counter as usize);
    }

    fn refuse(&self, slot: InstanceId, reject: Reject, sender: [u8; 16]) {
        self.maps.reject(slot, reject, sender, self.stamp);
    }

    fn foreign_mac(&self) -> Option<[u8; 6]> {
        let is_ours = |mac: [u8; 6]| self.maps.locals().contains(&LocalKey::of_mac(LocalKey::ANY, mac));
        frame::source_mac(self.bytes).filter(|mac| *mac != NO_ETHERNET && !is_ours(*mac))
    }

    fn note_unknown_router(&self, key: &InstanceKey, frame: &Frame) {
        if let Some(header) = ByteAccess::get(self.bytes, frame.at) {
            self.maps.note_unknown_router(*key, |unknown_router| {
                unknown_router.note(Header(header), self.bytes, frame, self.stamp.as_nanos());
            });
        }
    }

    fn note_peer(&self, slot: InstanceId, info: &AdvertInfo, checksum: ChecksumForm, _now: u64) -> u32 {
        self.maps.note(slot, info, checksum, Peer::FORM, self.stamp)
    }

    fn spend(&self, slot: InstanceId, class: usize, is_signed: bool, now: u64) -> bool {
        self.maps.spend(slot, class, is_signed, now)
    }

    fn miss(&self, slot: InstanceId, class: usize, _now: u64) {
        self.maps.miss_one(slot, class == SenderClass::Watched as usize, self.stamp);
    }

    fn wake(&self, slot: InstanceId, message: &Message<'_>, _now: u64) -> bool {
        let Message { info, checksum, peer, at, length, .. } = *message;
        let Some(message) = self.bytes.get(at..).and_then(|rest| rest.get(..length)) else { return false };
        self.maps.count(Some(slot), Counter::Event as usize);
        let stamp = self.stamp;
        self.received.set(Some(ReceivedAdvert { slot, peer, message, info: *info, checksum, stamp }));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use vrrp_ebpf::map::{BUDGET_OTHERS, BUDGET_SIGNED, InstanceRules, NO_PEER, Rejected};
    use vrrp_ebpf::wire::address::widen;
    use vrrp_ebpf::wire::advert::{AdvertRepr, Dialect, fill_checksum};
    use vrrp_ebpf::wire::ethernet::{EthernetRepr, Mac};
    use vrrp_ebpf::wire::ipv4::{self, Ipv4Repr};
    use vrrp_ebpf::wire::ipv6::{self, Ipv6Repr};
    use vrrp_ebpf::wire::{Family, PROTOCOL, ethernet};

    use super::*;

    const SLOT: InstanceId = InstanceId(1);
    const IFINDEX: u32 = 7;
    const NOW: Timestamp = Timestamp::from_nanos(1_000);

    fn maps() -> Maps {
        let maps = Maps::anonymous(2).unwrap();
        maps.set_slot(SLOT, &InstanceRules { version: 3, ..InstanceRules::UNUSED });
        maps
    }

    /// Only VRID 51 is known, for both families.
    fn classify_frame(maps: &Maps, frame: &[u8]) -> Option<(u32, AdvertInfo, Vec<u8>)> {
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
        let (peer, info, message) = classify_frame(&maps, &v4(51, 255)).unwrap();
        assert_eq!((peer, info.priority, info.interval, message.len()), (0, 100, 100, 12));
        assert_eq!(maps.peer(SLOT, 0).unwrap().last_seen, NOW.as_nanos());
        let v6 = advert(51, 255, "fe80::1".parse().unwrap(), "fe80::100".parse().unwrap());
        assert_eq!(classify_frame(&maps, &v6).unwrap().0, 1);
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
            assert!(classify_frame(&maps, &frame).is_none());
        }
        for row in [None, Some(SLOT)] {
            assert_eq!(maps.counters(row).counts, untouched.counters(row).counts);
        }
        assert!(maps.unknown_routers().is_empty());
        // Packets to us are judged, and fail, as the checksum covers the destination.
        let further = LocalKey::of_address(IFINDEX, Family::V4, widen([192, 0, 2, 8].into()));
        maps.locals().set([further].into());
        for address in [[192, 0, 2, 7], [192, 0, 2, 8]] {
            assert!(classify_frame(&maps, &to(51, address)).is_none());
        }
        assert_eq!(maps.counters(Some(SLOT)).reject(Reject::Checksum), 2);
    }

    #[test]
    fn the_watched_advert_is_noted_only() {
        let maps = maps();
        let (peer, info, message) = classify_frame(&maps, &v4(51, 255)).unwrap();
        maps.arm(SLOT, info.source, peer, &message, Timestamp::ZERO);
        assert!(classify_frame(&maps, &v4(51, 255)).is_none());
        assert_eq!(maps.last_seen(SLOT), Some(NOW));
    }

    #[test]
    fn what_is_refused_is_counted() {
        let maps = maps();
        assert!(classify_frame(&maps, &v4(51, 254)).is_none());
        let mut broken = v4(51, 255);
        broken[36] ^= 1;
        assert!(classify_frame(&maps, &broken).is_none());
        let mut of_no_stack = v4(51, 255);
        of_no_stack[19] ^= 1;
        assert!(classify_frame(&maps, &of_no_stack).is_none());
        let mut headless = v4(51, 255);
        headless[14] = 0x65;
        assert!(classify_frame(&maps, &headless).is_none());
        assert!(classify_frame(&maps, &v4(51, 255)[..40]).is_none());
        assert!(classify_frame(&maps, &v4(52, 255)).is_none());
        let counted = maps.counters(Some(SLOT));
        assert_eq!(
            [Reject::Ttl, Reject::Checksum, Reject::Truncated, Reject::IpChecksum, Reject::IpHeader]
                .map(|of| counted.reject(of)),
            [1; 5]
        );
        let of = |reject| maps.rejections().of(SLOT).find(|(of, _)| *of == reject).map(|(_, it)| it);
        let noted = of(Reject::Ttl).unwrap();
        let source = widen([192, 0, 2, 1].into());
        assert_eq!((noted.source, noted.last_seen, noted.adverts), (source, NOW.as_nanos(), 1));
        assert_eq!(maps.counters(None).counter(Counter::UnknownVrid), 1);
        let unknown_routers = maps.unknown_routers();
        let unknown_router = unknown_routers.values().next().unwrap();
        assert_eq!(unknown_router.claimed(4).collect::<Vec<_>>(), [[192, 0, 2, 100]]);
        assert!(maps.peers(SLOT).next().is_none());
    }

    /// As in the program: a flood wakes no engine beyond the budget of its senders.
    #[test]
    fn a_flood_is_limited_and_the_rest_is_counted() {
        let maps = maps();
        let heard = (0..100).filter(|_| classify_frame(&maps, &v4(51, 255)).is_some()).count();
        assert_eq!(heard, BUDGET_OTHERS as usize);
        let counted = maps.counters(Some(SLOT));
        let of = |counter| counted.counter(counter);
        assert_eq!((of(Counter::Event), of(Counter::OverBudget)), (16, 84));
        assert_eq!(maps.peer(SLOT, 0).map(|peer| peer.adverts), Some(100), "each is on record");
    }

    #[test]
    fn signed_adverts_beyond_the_budget_are_remembered_by_whose_they_may_be() {
        let maps = maps();
        let trailer = InstanceRules::MAYBE_SIGNED;
        maps.set_slot(SLOT, &InstanceRules { version: 3, trailer, ..InstanceRules::UNUSED });
        let of = |host: u8| advert(51, 255, [192, 0, 2, host].into(), [192, 0, 2, 100].into());
        maps.reserve_budget_for(SLOT, widen([192, 0, 2, 1].into()));
        let heard = |host| -> Vec<u32> {
            (0..5000).filter_map(|_| classify_frame(&maps, &of(host))).map(|(peer, ..)| peer).collect()
        };
        let others = heard(2);
        assert_eq!(others.len(), BUDGET_SIGNED as usize);
        assert!(others.iter().all(|peer| *peer == NO_PEER), "no record before the signature is verified");
        assert_eq!((maps.missed(SLOT, true), maps.missed(SLOT, false)), (None, Some(NOW)));
        assert_eq!(heard(1).len(), BUDGET_SIGNED as usize, "others have taken nothing from it");
        assert_eq!(maps.missed(SLOT, true), Some(NOW));
        assert_eq!([true, false].map(|it| maps.missed(InstanceId(0), it)), [None; 2], "another instance");
        maps.forget(SLOT);
        assert_eq!((maps.missed(SLOT, true), maps.missed(SLOT, false)), (None, None));
        maps.miss(SLOT, NOW);
        assert_eq!((maps.missed(SLOT, true), maps.missed(SLOT, false)), (Some(NOW), Some(NOW)));
    }

    /// The watch is consulted before the message is examined, as in the program.
    #[test]
    fn an_advert_from_our_own_address_is_refused_although_it_is_watched() {
        let maps = maps();
        let (peer, info, message) = classify_frame(&maps, &v4(51, 255)).unwrap();
        maps.arm(SLOT, info.source, peer, &message, Timestamp::ZERO);
        maps.set_slot(SLOT, &InstanceRules { version: 3, source: info.source, ..InstanceRules::UNUSED });
        assert!(classify_frame(&maps, &v4(51, 255)).is_none());
        assert_eq!(maps.counters(Some(SLOT)).reject(Reject::OwnSource), 1);
    }

    #[test]
    fn another_host_with_our_address_is_recorded_by_its_mac_address() {
        let maps = maps();
        let source = widen([192, 0, 2, 1].into());
        maps.set_slot(SLOT, &InstanceRules { version: 3, source, ..InstanceRules::UNUSED });
        let [ours, other] = [1, 2].map(|last| [2, 0, 0, 0, 0, last]);
        // Of another interface.
        maps.locals().set([LocalKey::of_mac(LocalKey::ANY, ours)].into());
        let latest = |mac: [u8; 6]| {
            let mut frame = v4(51, 255);
            frame[6..12].copy_from_slice(&mac);
            assert!(classify_frame(&maps, &frame).is_none());
            let rejections = maps.rejections();
            let [(Reject::OwnSource, record)] = rejections.of(SLOT).collect::<Vec<_>>()[..] else { panic!() };
            record.source
        };
        assert_eq!(
            [ours, NO_ETHERNET, other].map(latest),
            [source, source, Rejected::duplicate(source, other)]
        );
        assert_eq!(maps.counters(Some(SLOT)).reject(Reject::OwnSource), 3);
    }
}
