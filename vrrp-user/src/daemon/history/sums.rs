//! Sums of the counters of all instances.
//!
//! Enters: sums over the instances of this moment, and what an instance had counted that a reload has removed. Leaves:
//! counters that do not fall.

use std::sync::{Mutex, PoisonError};

/// Number of sums.
pub const SUMS: usize = 2;

#[derive(Debug, Default)]
pub struct Sums(Mutex<[Kept; SUMS]>);

#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    /// What removed instances have counted.
    gone: u64,
    /// The counter as it was last read.
    latest: u64,
}

impl Sums {
    /// Keeps what an instance had counted that is no longer among the present ones.
    pub fn retire(&self, counts: [u64; SUMS]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (kept, count) in all.iter_mut().zip(counts) {
            kept.gone = kept.gone.saturating_add(count);
        }
    }

    /// The counters, of which `sums` are what the present instances have counted.
    pub fn of(&self, sums: [u64; SUMS]) -> [u64; SUMS] {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (kept, sum) in all.iter_mut().zip(sums) {
            // Between the removal of an instance and this one's notice of it, its counts are nowhere.
            kept.latest = kept.latest.max(kept.gone.saturating_add(sum));
        }
        all.map(|kept| kept.latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_instance_takes_nothing_of_a_sum_along() {
        let sums = Sums::default();
        assert_eq!(sums.of([10_000, 7]), [10_000, 7]);
        assert_eq!(sums.of([9_500, 0]), [10_000, 7], "it has just gone");
        sums.retire([500, 7]);
        assert_eq!(sums.of([10_100, 1]), [10_600, 8], "the others have counted more than it had");
    }
}
