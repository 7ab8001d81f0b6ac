//! The watched master: its unchanged adverts refresh a time stamp and do not wake the daemon.

use vrrp_ebpf::map::{Counter, Watch};
use vrrp_ebpf::wire::frame::Frame;

use super::maps;
use super::message::equals;
use super::packet::View;

/// Whether this is the watched advert; if so, it is recorded.
#[inline(always)]
pub(super) fn is_steady(view: View, slot: u32, frame: &Frame, now: impl FnOnce() -> u64) -> bool {
    let (Some(watch), Some(message)) = (maps::watch(slot), maps::watched_message(slot)) else {
        return false;
    };
    // SAFETY: the kernel keeps array elements for ever; the daemon changes them at any time, by whole words.
    unsafe {
        let armed = (&raw const (*watch).armed).read_volatile();
        if Watch::length_of(armed) != frame.length as u32
            || (*watch).source != frame.source
            || !equals(view, frame.at, frame.length, message)
            // Written again during the comparison: the bytes compared may be of two messages.
            || (&raw const (*watch).armed).read_volatile() != armed
        {
            return false;
        }
        let now = now();
        (*watch).last_seen = now;
        (*watch).hits += 1;
        maps::touch(slot, (*watch).peer, now);
    }
    maps::count(Some(slot), Counter::Steady as u32);
    true
}
