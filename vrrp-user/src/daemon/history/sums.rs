//! Sums of the counters of all instances.
//!
//! Enters: sums over the instances of a configuration, and what those had counted that reloads have removed. Leaves:
//! counters that do not fall.

use std::sync::{Mutex, PoisonError};

/// Number of sums.
pub const SUMS: usize = 2;

/// Counters as they were last read.
#[derive(Debug, Default)]
pub struct CounterSums(Mutex<[u64; SUMS]>);

impl CounterSums {
    /// The counters, of which `sums` are what the instances of a configuration have counted, and `gone` what those had
    /// that it no longer has.
    pub fn of(&self, sums: [u64; SUMS], gone: [u64; SUMS]) -> [u64; SUMS] {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((latest, sum), gone) in latest.iter_mut().zip(sums).zip(gone) {
            // A reader of the configuration before a reload may be late.
            *latest = (*latest).max(sum.saturating_add(gone));
        }
        *latest
    }
}

/// The counts of both.
pub fn sum(one: [u64; SUMS], other: [u64; SUMS]) -> [u64; SUMS] {
    let mut sums = one;
    sums.iter_mut().zip(other).for_each(|(sum, count)| *sum = sum.saturating_add(count));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_instance_takes_nothing_of_a_sum_along() {
        let sums = CounterSums::default();
        assert_eq!(sums.of([10_000, 7], [0, 0]), [10_000, 7]);
        assert_eq!(sums.of([9_600, 0], [500, 7]), [10_100, 7], "one is gone");
        assert_eq!(sums.of([10_050, 7], [0, 0]), [10_100, 7], "read before, and late");
        assert_eq!(sums.of([10_100, 1], [500, 7]), [10_600, 8], "the others have counted more than it had");
    }
}
