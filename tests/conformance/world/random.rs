//! Reproducible random numbers.

use std::ops::Range;
use std::time::Duration;

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// A duration in whole nanoseconds.
    pub(crate) fn span(&mut self, range: &Range<Duration>) -> Duration {
        let width = u64::try_from((range.end - range.start).as_nanos()).unwrap();
        range.start + Duration::from_nanos(self.below(width.max(1)))
    }

    pub(crate) fn permille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }
}
