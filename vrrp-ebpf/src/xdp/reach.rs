//! A frame and the maps, as the program reaches them.

use vrrp_ebpf::map::{AllowedPeer, Counter, InstanceKey, LocalKey};
use vrrp_ebpf::path::{Maps, Message};
use vrrp_ebpf::wire::frame::Frame;
use vrrp_ebpf::wire::{AdvertInfo, ChecksumForm, Reject, frame, ipv4};

use super::clock::now;
use super::maps::RulesInForce;
use super::message::NO_SUM;
use super::opaque::launder;
use super::packet::{Packet, View};
use super::{limit, locals, maps, record, watch};

pub(super) struct Reach<'a, P> {
    pub(super) packet: &'a P,
    pub(super) view: View,
}

impl<P: Packet> Maps for Reach<'_, P> {
    type Bytes = View;
    type Slot = u32;
    type Rules = RulesInForce;

    #[inline(always)]
    fn octets(&self) -> &View {
        &self.view
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        self.packet.ifindex()
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        now()
    }

    #[inline(always)]
    fn launder(&self, value: usize) -> usize {
        launder(value, self.view.unknown)
    }

    #[inline(always)]
    fn sum(&self, at: usize, length: usize) -> Option<u64> {
        Some(self.packet.sum(at as u32, length as u32)).filter(|sum| *sum != NO_SUM)
    }

    /// A header with options takes a loop.
    #[inline(always)]
    fn header_sum(&self, at: usize, length: usize) -> Option<u64> {
        match length {
            ipv4::HEADER_LEN => self.view.sum_of_header(at),
            _ => self.sum(at, length),
        }
    }

    #[inline(always)]
    fn is_to_us(&self, frame: &Frame, own: &[u8; 16]) -> bool {
        locals::is_to_us(self.packet, &self.view, frame, own)
    }

    #[inline(always)]
    fn slot_of(&self, key: &InstanceKey) -> Option<u32> {
        maps::slot_of(key)
    }

    #[inline(always)]
    fn rules(&self, slot: u32) -> Option<RulesInForce> {
        maps::rules(slot)
    }

    #[inline(always)]
    fn allowed_peer(&self, slot: u32, source: [u8; 16]) -> Option<AllowedPeer> {
        maps::allowed_peer(slot, source)
    }

    #[inline(always)]
    fn is_steady(&self, slot: u32, frame: &Frame) -> bool {
        let is_steady = watch::is_steady(self.view, slot, frame, now);
        if is_steady {
            log!(self.packet, "slot {}: the watched advert", slot);
        }
        is_steady
    }

    #[inline(always)]
    fn is_watched(&self, slot: u32, source: &[u8; 16]) -> bool {
        limit::is_watched(slot, source)
    }

    #[inline(always)]
    fn count(&self, slot: Option<u32>, counter: Counter) {
        maps::count(slot, counter as u32);
    }

    #[inline(always)]
    fn refuse(&self, slot: u32, reject: Reject, sender: [u8; 16]) {
        log!(self.packet, "slot {}: refused by check {}", slot, reject as u32);
        let sender = u128::from_ne_bytes(sender);
        let reject = self.launder(reject as usize) as u32;
        record::reject(slot, reject, sender as u64, (sender >> 64) as u64);
    }

    #[inline(always)]
    fn foreign_mac(&self) -> Option<[u8; 6]> {
        frame::source_mac(&self.view).filter(|mac| !locals::has_mac(LocalKey::ANY, *mac))
    }

    #[inline(always)]
    fn note_unknown_router(&self, _key: &InstanceKey, _frame: &Frame) {
        self.packet.note_unknown_router();
    }

    #[inline(always)]
    fn note_peer(&self, slot: u32, info: &AdvertInfo, checksum: ChecksumForm, now: u64) -> u32 {
        log!(self.packet, "slot {}: an advert of priority {}", slot, info.priority);
        record::peer(slot, info, checksum, now)
    }

    #[inline(always)]
    fn spend(&self, slot: u32, class: usize, is_signed: bool, now: u64) -> bool {
        limit::spend(slot, class, is_signed, self.view.unknown, now)
    }

    #[inline(always)]
    fn miss(&self, slot: u32, class: usize, now: u64) {
        maps::miss(slot, class, now);
    }

    #[inline(always)]
    fn wake(&self, slot: u32, message: &Message<'_>, now: u64) -> bool {
        let message = Message {
            peer: self.launder(message.peer as usize) as u32,
            challenges: self.launder(usize::from(message.challenges)) != 0,
            ..*message
        };
        // Not the view of the checks: the verifier knows too much of it.
        record::event(self.packet.headers(), slot, &message, now)
    }
}
