//! Records in the maps and the ring: peers, rejected adverts, unknown routers, events.

use vrrp_ebpf::map::{Counter, InstanceKey, NO_PEER, PEERS_PER_SLOT, UnknownRouter};
use vrrp_ebpf::wire::{AdvertInfo, ChecksumForm};

use super::packet::View;
use super::{maps, message, now};

/// Writes the advert to the record of its source and returns its index, or [`NO_PEER`] if neither a record of this
/// source nor a free one exists.
#[inline(always)]
pub(super) fn peer(slot: u32, info: &AdvertInfo, checksum: ChecksumForm, now: u64) -> u32 {
    let source = u128::from_ne_bytes(info.source);
    let index = find_peer(slot, source as u64, (source >> 64) as u64);
    match maps::peer(slot, index) {
        Some(peer) => peer.describe(info, checksum),
        None => maps::count(Some(slot), Counter::PeersFull as u32),
    }
    touch_peer(slot, index, now);
    index
}

/// The record of this source, else the first free one, else [`NO_PEER`].
///
/// A BPF global function, like everything with loops or many branches: the verifier checks it once, on its own, and
/// assumes nothing about its result in its callers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find_peer(slot: u32, source_low: u64, source_high: u64) -> u32 {
    let mut free = NO_PEER;
    for index in 0..PEERS_PER_SLOT {
        let Some(peer) = maps::peer(slot, index) else { break };
        let source = u128::from_ne_bytes(peer.source);
        if peer.is_free() {
            if free == NO_PEER {
                free = index;
            }
        } else if source as u64 == source_low && (source >> 64) as u64 == source_high {
            return index;
        }
    }
    free
}

/// Records the time of an advert of this peer; without effect for [`NO_PEER`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn touch_peer(slot: u32, index: u32, now: u64) -> u32 {
    match maps::peer(slot, index) {
        Some(peer) => {
            peer.touch(now);
            1
        }
        None => 0,
    }
}

/// Counts an advert that failed a check, and records its sender. `reject` is a [`vrrp_ebpf::wire::Reject`] as a number.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn reject(slot: u32, reject: u32, source_low: u64, source_high: u64) -> u32 {
    maps::count(Some(slot), reject);
    if let Some(rejected) = maps::rejected(slot, reject) {
        rejected.note((u128::from(source_high) << 64 | u128::from(source_low)).to_ne_bytes(), now());
    }
    0
}

/// The record of an unknown router, created if need be; `None` if the map is full.
#[inline(always)]
pub(super) fn unknown_router(key: &InstanceKey) -> Option<&'static mut UnknownRouter> {
    if maps::unknown_router(key).is_none() {
        maps::insert_unknown_router(key, &UnknownRouter::NONE);
    }
    maps::unknown_router(key)
}

/// Wakes the daemon because of an ARP request or neighbour solicitation. If the ring is full, the next one does.
#[inline(always)]
pub(super) fn question(slot: u32, now: u64) {
    let Some(mut entry) = maps::event() else {
        maps::count(Some(slot), Counter::RingFull as u32);
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: the entry is ours until it is submitted.
    unsafe {
        (*event).stamp = now;
        (*event).source = [0; 16];
        (*event).slot = slot;
        (*event).peer = NO_PEER;
        (*event).checksum = 0;
        (*event).reserved = [0; 3];
        (*event).length = 0;
    }
    maps::heeded(slot);
    entry.submit(0);
}

/// The sender of an advert.
pub(super) struct Sender<'a> {
    pub(super) source: &'a [u8; 16],
    /// Its index among the peers.
    pub(super) peer: u32,
    /// It may be a better master.
    pub(super) challenges: bool,
}

/// Wakes the daemon with an advert. False if it cannot: a full ring is counted, and the record of the peer holds the
/// advert nevertheless. An advert that wakes the daemon and may be a better master's ends the lease until the daemon
/// has handled it.
#[inline(always)]
pub(super) fn event(
    view: View,
    slot: u32,
    sender: Sender<'_>,
    checksum: ChecksumForm,
    (at, length): (usize, usize),
    now: u64,
) -> bool {
    let Some(mut entry) = maps::event() else {
        maps::count(Some(slot), Counter::RingFull as u32);
        return false;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: the entry is ours until it is submitted, and has room for the longest message.
    let copied = unsafe {
        (*event).stamp = now;
        (*event).source = *sender.source;
        (*event).slot = slot;
        (*event).peer = sender.peer;
        (*event).checksum = checksum as u8;
        (*event).reserved = [0; 3];
        (*event).length = length as u32;
        message::copy(view, at, length, (&raw mut (*event).payload).cast())
    };
    if copied {
        // Before the daemon can handle it.
        if sender.challenges {
            maps::challenge(slot, now);
        }
        entry.submit(0);
        maps::count(Some(slot), Counter::Event as u32);
    } else {
        entry.discard(0);
        maps::count(Some(slot), Counter::RingFull as u32);
    }
    copied
}
