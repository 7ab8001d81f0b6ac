//! Records in the maps and the ring: peers, rejected adverts, unknown routers, events.

use vrrp_ebpf::map::{
    Counter, EventHead, InstanceKey, NO_PEER, PEERS_PER_SLOT, Peer, Rejected, UnknownRouter,
};
use vrrp_ebpf::path::Message;
use vrrp_ebpf::wire::{AdvertInfo, ChecksumForm};

use super::clock::now;
use super::packet::View;
use super::{maps, message};

/// Writes the advert to the record of its source and returns its index, or [`NO_PEER`] if neither a record of this
/// source nor a free one exists.
#[inline(always)]
pub(super) fn peer(slot: u32, info: &AdvertInfo, checksum: ChecksumForm, now: u64) -> u32 {
    let source = u128::from_ne_bytes(info.source);
    let index = find_peer(slot, source as u64, (source >> 64) as u64);
    match maps::peer(slot, index) {
        // SAFETY: the kernel keeps array elements for ever.
        Some(peer) => unsafe { Peer::describe_at(peer, info, checksum) },
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
        // SAFETY: the kernel keeps array elements for ever. Half of an old source and half of a new one equals neither.
        let (last_seen, source) = unsafe { ((*peer).last_seen, u128::from_ne_bytes((*peer).source)) };
        if last_seen == 0 {
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
    u32::from(maps::touch(slot, index, now))
}

/// Counts an advert that failed a check, and records its sender. `reject` is a [`vrrp_ebpf::wire::Reject`] as a number.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn reject(slot: u32, reject: u32, source_low: u64, source_high: u64) -> u32 {
    maps::count(Some(slot), reject);
    if let Some(rejected) = maps::rejected(slot, reject) {
        let source = (u128::from(source_high) << 64 | u128::from(source_low)).to_ne_bytes();
        // SAFETY: the kernel keeps array elements for ever.
        unsafe { Rejected::note_at(rejected, source, now()) };
    }
    0
}

/// The record of an unknown router, created if need be; `None` if the map is full.
#[inline(always)]
pub(super) fn unknown_router(key: &InstanceKey) -> Option<*mut UnknownRouter> {
    if maps::unknown_router(key).is_none() {
        maps::insert_unknown_router(key, &UnknownRouter::NONE);
    }
    maps::unknown_router(key)
}

/// Wakes the daemon because of an ARP request or neighbour solicitation. If the ring is full, the next one does.
#[inline(always)]
pub(super) fn address_request(slot: u32, now: u64) {
    let Some(mut entry) = maps::bare_event() else {
        maps::count(Some(slot), Counter::RingFull as u32);
        return;
    };
    let head = EventHead {
        stamp: now,
        source: [0; 16],
        slot,
        peer: NO_PEER,
        length: 0,
        checksum: 0,
        reserved: [0; 3],
    };
    // SAFETY: the entry is ours until it is submitted.
    unsafe { entry.as_mut_ptr().write(head) };
    maps::heeded(slot);
    entry.submit(0);
}

/// Wakes the daemon with an advert. False if it cannot: a full ring is counted, and the record of the peer holds the
/// advert nevertheless. An advert that wakes the daemon and may be a better master's ends the lease until the daemon
/// has handled it, which it may have done before the lease is marked.
#[inline(always)]
pub(super) fn event(view: View, slot: u32, message: &Message<'_>, now: u64) -> bool {
    let is_written = write(view, slot, message, now);
    if is_written && message.challenges {
        maps::challenge(slot, now);
    }
    let counter = if is_written { Counter::Event } else { Counter::RingFull };
    maps::count(Some(slot), counter as u32);
    is_written
}

#[inline(always)]
fn write(view: View, slot: u32, message: &Message<'_>, now: u64) -> bool {
    let Some(draft) = maps::draft() else { return false };
    // SAFETY: the draft is this CPU's own, and has room for the longest message.
    unsafe {
        (*draft).head = EventHead {
            stamp: now,
            source: message.info.source,
            slot,
            peer: message.peer,
            length: message.length as u32,
            checksum: message.checksum as u8,
            reserved: [0; 3],
        };
        message::copy(view, message.at, message.length, (&raw mut (*draft).payload).cast())
            && maps::submit(draft, message.length)
    }
}
