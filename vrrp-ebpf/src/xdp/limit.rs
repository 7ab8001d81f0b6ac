//! The budget of adverts that may wake the daemon.

use vrrp_ebpf::map::SenderClass;
use vrrp_ebpf::wire::AdvertInfo;

use super::maps;
use super::opaque::launder;

/// The [`SenderClass`] of an advert, as a number. `own` is the priority of the instance, and `unknown` as in
/// [`launder`].
#[inline(always)]
pub(super) fn class(slot: u32, info: &AdvertInfo, own: u8, unknown: u64) -> usize {
    // SAFETY: the kernel keeps array elements for ever. Half of an old source and half of a new one equals neither.
    let is_watched = maps::watch(slot).is_some_and(|watch| unsafe { (*watch).source == info.source });
    launder(SenderClass::of(info.priority, own, is_watched) as usize, unknown)
}

/// Spends one event of the slot's budget for an advert of this class; false if none is left in the current window. The
/// larger budget of signed adverts applies only while the ring, which all instances share, is less than half full.
#[inline(always)]
pub(super) fn spend(slot: u32, class: usize, is_signed: bool, unknown: u64, now: u64) -> bool {
    let Some(budget) = maps::budget(slot) else {
        return true;
    };
    let is_left = budget.spend(class, || is_signed && maps::is_half_empty(), now);
    launder(usize::from(is_left), unknown) != 0
}
