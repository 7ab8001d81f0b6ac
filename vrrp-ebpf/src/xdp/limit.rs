//! The budget of adverts that may wake the daemon.

use vrrp_ebpf::map::Budget;

use super::maps;
use super::opaque::launder;

/// Whether this is the source of the watched advert.
#[inline(always)]
pub(super) fn is_watched(slot: u32, source: &[u8; 16]) -> bool {
    // SAFETY: the kernel keeps array elements for ever. Half of an old source and half of a new one equals neither.
    maps::watch(slot).is_some_and(|watch| unsafe { (*watch).source == *source })
}

/// Spends one event of the slot's budget for a [`vrrp_ebpf::map::SenderClass`], as a number; false if none is left in
/// the current window. The larger budget of signed adverts applies only while the ring, which all instances share, is
/// less than half full. `unknown` is as in [`launder`].
#[inline(always)]
pub(super) fn spend(slot: u32, class: usize, is_signed: bool, unknown: u64, now: u64) -> bool {
    let Some(budget) = maps::budget(slot) else {
        return true;
    };
    // SAFETY: the kernel keeps array elements for ever.
    let is_left = unsafe { Budget::spend_at(budget, class, || is_signed && maps::is_half_empty(), now) };
    launder(usize::from(is_left), unknown) != 0
}
