//! Budget for signed adverts, and a record of those dropped.
//!
//! Only the daemon can verify their origin. So more of them pass than of other adverts, and the time of dropped ones is
//! recorded, as they may have been the master's.

use std::sync::atomic::{AtomicU64, Ordering};

use vrrp_ebpf::map::{Counter, SenderClass};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::AdvertInfo;

use super::Maps;
use super::mapped::word;

impl Maps {
    /// For the socket path, as the program does with signed adverts: records no sender before its signature is
    /// verified. False beyond the budget of the instance.
    pub fn pass_signed(&self, slot: u32, info: &AdvertInfo, own: u8, stamp: Timestamp) -> bool {
        let is_watched = self.watch.read(slot).is_some_and(|watch| watch.source == info.source);
        let class = SenderClass::of(info.priority, own, is_watched);
        let mut budget = self.budgets.read(slot).unwrap_or_default();
        // Always has room: unlike the ring, the socket's queue is not shared.
        let is_left = budget.spend(class as usize, || true, stamp.as_nanos());
        self.budgets.write(slot, budget);
        let counter = if is_left { Counter::Event } else { Counter::OverBudget };
        self.count(Some(slot), counter as usize);
        if !is_left {
            self.missed_of(slot, is_watched).into_iter().for_each(|at| note(at, stamp));
        }
        is_left
    }

    /// Records that signed adverts of any source were lost unexamined.
    pub fn miss(&self, slot: u32, stamp: Timestamp) {
        [false, true].into_iter().filter_map(|own| self.missed_of(slot, own)).for_each(|at| note(at, stamp));
    }

    /// When a signed advert of the watched source, or of another one, was last dropped unjudged.
    pub fn missed(&self, slot: u32, of_watched: bool) -> Option<Timestamp> {
        let at = self.missed_of(slot, of_watched)?.load(Ordering::Relaxed);
        (at != 0).then(|| Timestamp::from_nanos(at))
    }

    pub(super) fn forget_missed(&self, slot: u32) {
        let both = [false, true].into_iter().filter_map(|own| self.missed_of(slot, own));
        both.for_each(|at| at.store(0, Ordering::Relaxed));
    }

    fn missed_of(&self, slot: u32, of_watched: bool) -> Option<&AtomicU64> {
        let watch = self.watch.entry(slot)?;
        // SAFETY: `entry` points into the mapping, which outlives self, aligned for `Watch`.
        unsafe {
            let [others, watched] = [&raw mut (*watch).missed[0], &raw mut (*watch).missed[1]];
            Some(word(if of_watched { watched } else { others }))
        }
    }
}

fn note(at: &AtomicU64, stamp: Timestamp) {
    at.store(stamp.as_nanos(), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use vrrp_ebpf::map::BUDGET_SIGNED;

    use super::*;

    fn info(source: u8) -> AdvertInfo {
        AdvertInfo {
            source: [source; 16],
            interval: 1,
            version: 3,
            vrid: 51,
            priority: 200,
            address_count: 1,
        }
    }

    #[test]
    fn what_is_over_the_budget_is_remembered_by_whose_it_may_be() {
        let maps = Maps::anonymous(2).unwrap();
        let at = Timestamp::from_nanos(1 << 40);
        maps.reserve_budget_for(1, info(7).source);
        let passed = |source| (0..5000).filter(|_| maps.pass_signed(1, &info(source), 100, at)).count();
        assert_eq!(passed(8), BUDGET_SIGNED as usize);
        assert_eq!((maps.missed(1, true), maps.missed(1, false)), (None, Some(at)));
        assert_eq!(passed(7), BUDGET_SIGNED as usize, "others have taken nothing from it");
        assert_eq!(maps.missed(1, true), Some(at));
        assert_eq!((maps.missed(0, true), maps.missed(0, false)), (None, None), "another instance");
        maps.forget(1);
        assert_eq!((maps.missed(1, true), maps.missed(1, false)), (None, None));
        maps.miss(1, at);
        assert_eq!((maps.missed(1, true), maps.missed(1, false)), (Some(at), Some(at)));
    }
}
