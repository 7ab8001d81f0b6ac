//! How many adverts of an instance may wake the daemon.

use vrrp_ebpf::map::{BUDGET_EVENTS, BUDGET_WINDOW_NS};

use super::maps;

/// Spends one event of the slot's budget; false when none is left in the running window.
#[inline(always)]
pub(super) fn spend(slot: u32, now: u64) -> bool {
    let Some(budget) = maps::budget(slot) else {
        return true;
    };
    if now.wrapping_sub(budget.window) >= BUDGET_WINDOW_NS {
        budget.window = now;
        budget.spent = 0;
    }
    if budget.spent >= BUDGET_EVENTS {
        return false;
    }
    budget.spent += 1;
    true
}
