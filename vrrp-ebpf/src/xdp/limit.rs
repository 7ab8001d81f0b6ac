//! How many adverts of an instance may wake the daemon.

use super::maps;

/// Spends one event of the slot's budget for an advert of this source; false when none is left in the running window.
#[inline(always)]
pub(super) fn spend(slot: u32, source: &[u8; 16], now: u64) -> bool {
    let (Some(budget), Some(watch)) = (maps::budget(slot), maps::watch(slot)) else {
        return true;
    };
    // SAFETY: the kernel keeps array elements for ever. Half of an old source and half of a new one equals neither.
    let is_watched = unsafe { (*watch).source == *source };
    budget.spend(is_watched, now)
}
