//! A valid advert that is not the watched one: into the peers, then into the ring.

use vrrp_ebpf::map::{Counter, InstanceKey, NO_PEER, PEERS_PER_SLOT, Stranger};
use vrrp_ebpf::wire::{ChecksumForm, Sighting};

use super::packet::View;
use super::{maps, message, now};

/// Notes the advert in the record of its source and returns its index, or [`NO_PEER`] where neither a record of this
/// source nor a free one is left.
#[inline(always)]
pub(super) fn peer(slot: u32, sighting: &Sighting, checksum: ChecksumForm, now: u64) -> u32 {
    let source = u128::from_ne_bytes(sighting.source);
    let index = find_peer(slot, source as u64, (source >> 64) as u64);
    match maps::peer(slot, index) {
        Some(peer) => peer.describe(sighting, checksum),
        None => maps::count(Some(slot), Counter::PeersFull as u32),
    }
    touch_peer(slot, index, now);
    index
}

/// The record of this source, else the first free one, else [`NO_PEER`].
///
/// A global function, as all that loops or branches much: the verifier walks it once, not once for each way that leads
/// to it, and follows its callers without regard to what it returned.
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

/// Notes the time of an advert of this peer, if there is one.
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

/// Counts an advert that failed a check, and notes its sender. The check is a [`vrrp_ebpf::wire::Reject`] as a number.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn reject(slot: u32, reject: u32, source_low: u64, source_high: u64) -> u32 {
    maps::count(Some(slot), reject);
    if let Some(rejected) = maps::rejected(slot, reject) {
        rejected.note((u128::from(source_high) << 64 | u128::from(source_low)).to_ne_bytes(), now());
    }
    0
}

/// What is known of the sender of an advert that is meant for nobody here; `None` where there is no room.
#[inline(always)]
pub(super) fn stranger(key: &InstanceKey) -> Option<&'static mut Stranger> {
    if maps::stranger(key).is_none() {
        maps::insert_stranger(key, &Stranger::NONE);
    }
    maps::stranger(key)
}

/// Wakes the daemon by a question. Where the ring is full, the next one does.
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

/// Wakes the daemon. A full ring is counted; the peers hold the advert nevertheless. That of a challenger ends the lease
/// until the daemon has judged it, and ends nothing where the daemon does not hear of it: false then.
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
        // Before the daemon can have judged it.
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
