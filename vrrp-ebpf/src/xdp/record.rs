//! A valid advert that is not the watched one: into the peers, then into the ring.

use vrrp_ebpf::map::{Counter, NO_PEER, PEERS_PER_SLOT};
use vrrp_ebpf::wire::{ChecksumForm, Sighting};

use super::maps;
use super::packet::{Message, Packet, forget};

/// Notes the advert in the record of its source and returns its index, or [`NO_PEER`] where neither a record of this
/// source nor a free one is left.
#[inline(always)]
pub(super) fn peer(slot: u32, sighting: &Sighting, checksum: ChecksumForm, now: u64, unknown: u32) -> u32 {
    let mut chosen = NO_PEER;
    for index in 0..PEERS_PER_SLOT {
        let Some(peer) = maps::peer(slot, index) else {
            break;
        };
        if peer.is_free() {
            if chosen == NO_PEER {
                chosen = index;
            }
        } else if peer.source == sighting.source {
            chosen = index;
            break;
        }
    }
    // Else all that follows would be verified once for each index.
    let chosen = forget(chosen as usize, unknown) as u32;
    match maps::peer(slot, chosen) {
        Some(peer) => peer.record(sighting, checksum, now),
        None => maps::count(Some(slot), Counter::PeersFull as u32),
    }
    chosen
}

/// Wakes the daemon. A full ring is counted; the peers hold the advert nevertheless.
#[inline(always)]
pub(super) fn event(
    packet: &impl Packet,
    slot: u32,
    source: &[u8; 16],
    peer: u32,
    checksum: ChecksumForm,
    (message, at): (Message, usize),
    now: u64,
) {
    let Some(mut entry) = maps::event() else {
        maps::count(Some(slot), Counter::RingFull as u32);
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: the entry is ours until it is submitted, and has room for the longest message.
    let copied = unsafe {
        (*event).stamp = now;
        (*event).source = *source;
        (*event).slot = slot;
        (*event).peer = peer;
        (*event).checksum = checksum as u8;
        (*event).reserved = [0; 3];
        message.copy_to(packet, at, (&raw mut (*event).payload).cast())
    };
    match copied {
        Some(length) => {
            // SAFETY: as above.
            unsafe { (*event).length = length };
            entry.submit(0);
            maps::count(Some(slot), Counter::Event as u32);
        }
        None => {
            entry.discard(0);
            maps::count(Some(slot), Counter::RingFull as u32);
        }
    }
}
