//! Sums of the counters of all instances.
//!
//! Enters: a sum over the instances of this moment. Leaves: a counter that does not fall: a reload that removes an
//! instance takes nothing away.

use std::sync::{Mutex, PoisonError};

/// Number of sums.
const SUMS: usize = 2;

#[derive(Debug, Default)]
pub struct Sums(Mutex<[Kept; SUMS]>);

#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    /// What removed instances have counted.
    gone: u64,
    latest: u64,
}

impl Sums {
    /// The counter at this place, of which `sum` is what the present instances have counted.
    pub fn of(&self, place: usize, sum: u64) -> u64 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(kept) = all.get_mut(place) else { return sum };
        kept.gone += kept.latest.saturating_sub(sum);
        kept.latest = sum;
        kept.gone.saturating_add(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_does_not_fall_with_its_instances() {
        let sums = Sums::default();
        assert_eq!([100, 150, 90, 95].map(|sum| sums.of(0, sum)), [100, 150, 150, 155]);
        assert_eq!(sums.of(1, 7), 7);
    }
}
