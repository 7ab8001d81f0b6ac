//! How many adverts of an instance may wake the daemon.

use vrrp_ebpf::map::Rank;
use vrrp_ebpf::wire::Sighting;

use super::maps;
use super::opaque::forget;

/// Spends one event of the slot's budget for this advert; false when none is left in the running window. `own` is the
/// priority of the instance, and `unknown` as in [`forget`].
#[inline(always)]
pub(super) fn spend(slot: u32, sighting: &Sighting, own: u8, unknown: u64, now: u64) -> bool {
    let (Some(budget), Some(watch)) = (maps::budget(slot), maps::watch(slot)) else {
        return true;
    };
    // SAFETY: the kernel keeps array elements for ever. Half of an old source and half of a new one equals neither.
    let is_watched = unsafe { (*watch).source == sighting.source };
    budget.spend(forget(Rank::of(sighting.priority, own, is_watched) as usize, unknown), now)
}
