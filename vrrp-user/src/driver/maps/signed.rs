//! Signed adverts that were dropped unexamined.
//!
//! Only the daemon can verify their origin. So more of them pass than of other adverts, and the time of dropped ones is
//! recorded, as they may have been the master's.

use std::mem::{offset_of, size_of};
use std::sync::atomic::{AtomicU64, Ordering};

use vrrp_ebpf::map::Watch;
use vrrp_ebpf::time::Timestamp;

use super::Maps;
use crate::protocol::InstanceId;

impl Maps {
    /// Records that signed adverts of any source were lost unexamined.
    pub fn miss(&self, slot: InstanceId, stamp: Timestamp) {
        [false, true].into_iter().filter_map(|own| self.missed_of(slot, own)).for_each(|at| note(at, stamp));
    }

    /// When a signed advert of the watched source, or of another one, was last dropped unjudged.
    pub fn missed(&self, slot: InstanceId, of_watched: bool) -> Option<Timestamp> {
        let at = self.missed_of(slot, of_watched)?.load(Ordering::Relaxed);
        (at != 0).then(|| Timestamp::from_nanos(at))
    }

    pub(super) fn forget_missed(&self, slot: InstanceId) {
        let both = [false, true].into_iter().filter_map(|own| self.missed_of(slot, own));
        both.for_each(|at| at.store(0, Ordering::Relaxed));
    }

    /// Records that a signed advert of the watched source, or of another one, was dropped unexamined.
    pub(in crate::driver) fn miss_one(&self, slot: InstanceId, of_watched: bool, stamp: Timestamp) {
        self.missed_of(slot, of_watched).into_iter().for_each(|at| note(at, stamp));
    }

    fn missed_of(&self, slot: InstanceId, of_watched: bool) -> Option<&AtomicU64> {
        let offset = offset_of!(Watch, missed) + if of_watched { size_of::<u64>() } else { 0 };
        self.watch.word(slot.index(), offset)
    }
}

fn note(at: &AtomicU64, stamp: Timestamp) {
    at.store(stamp.as_nanos(), Ordering::Relaxed);
}
