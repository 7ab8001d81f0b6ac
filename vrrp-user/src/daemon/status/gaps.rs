//! Gaps between the adverts of a master, as two looks at the status show them.
//!
//! The daemon keeps the longest gap, and of all others how many lay between two powers of two; so the gaps between two
//! looks are known exactly only if one of them was the longest of all.

use std::time::Duration;

use super::{Gaps, Instance, Peer};
use crate::protocol::{Interval, Priority, Version, master_down_interval};

impl Instance {
    /// master_down_interval by the interval of the router that is master now; `None` if that is no valid one.
    pub fn allowed_seconds(&self) -> Option<f64> {
        let version = if self.version == 2 { Version::V2 } else { Version::V3 };
        let learned = self.heard_master().filter(|_| version == Version::V3);
        let seconds =
            learned.and_then(|it| it.advert_interval_seconds).unwrap_or(self.advert_interval_seconds);
        let interval = Interval::new(Duration::try_from_secs_f64(seconds).ok()?, version).ok()?;
        let priority = Priority(self.priority.effective);
        Some(master_down_interval(version, priority, interval, self.down_timer_adverts).as_secs_f64())
    }
}

impl Peer {
    /// An upper bound of the median gap; `None` without a gap, or beyond the last bound.
    pub fn median_gap(&self) -> Option<f64> {
        let count = |it: &Gaps| u64::from(it.count);
        let half = self.gaps.iter().map(count).sum::<u64>().div_ceil(2);
        let mut below = 0;
        let middle = self.gaps.iter().find(|it| {
            below += count(it);
            half > 0 && below >= half
        });
        middle?.below_seconds
    }

    /// The longest gap since an earlier look, `seconds` ago, the present silence included; `None` if the daemon has
    /// begun to count afresh.
    pub fn longest_gap_since(&self, earlier: &Self, seconds: f64) -> Option<f64> {
        let silence = self.last_advert_seconds;
        let adverts = self.adverts.checked_sub(earlier.adverts)?;
        if adverts == 0 {
            return Some(silence);
        }
        if self.gap_max_seconds > earlier.gap_max_seconds {
            return Some(self.gap_max_seconds.max(silence));
        }
        let before =
            |below| earlier.gaps.iter().find(|it| it.below_seconds == below).map_or(0, |it| it.count);
        let new = self.gaps.iter().filter(|it| it.count > before(it.below_seconds));
        let longest = new.clone().map(|it| it.below_seconds.unwrap_or(f64::MAX)).fold(0.0, f64::max);
        let mean = seconds / f64::from(u32::try_from(adverts).unwrap_or(u32::MAX));
        // Where all are about equally long, their mean says more than the bound.
        let gap = if new.count() <= 1 && mean >= longest / 2.0 { mean } else { longest };
        Some(gap.min(self.gap_max_seconds.max(mean)).max(silence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(adverts: u64, silence: f64, longest: f64, gaps: &[(f64, u32)]) -> Peer {
        Peer {
            address: "192.0.2.12".to_owned(),
            priority: 100,
            version: 3,
            advert_interval_seconds: Some(0.1),
            checksum: "plain".to_owned(),
            adverts,
            last_advert_seconds: silence,
            jitter_seconds: 0.0,
            gap_max_seconds: longest,
            clock_skew_seconds: None,
            clock_skew_alarm: false,
            gap_mean_seconds: None,
            near_misses: 0,
            gaps: gaps.iter().map(|&(below, count)| Gaps { below_seconds: Some(below), count }).collect(),
        }
    }

    #[test]
    fn the_longest_gap_is_as_exact_as_the_counts() {
        let before = peer(100, 0.05, 0.11, &[(0.134, 99)]);
        let since = |after: Peer| after.longest_gap_since(&before, 1.0).map(|gap| (gap * 1000.0).round());
        assert_eq!(since(peer(110, 0.05, 0.11, &[(0.134, 109)])), Some(100.0), "the mean of equal ones");
        assert_eq!(
            since(peer(107, 0.05, 0.3, &[(0.134, 105), (0.536, 1)])),
            Some(300.0),
            "the longest of all"
        );
        let known = peer(107, 0.05, 0.5, &[(0.134, 105), (0.268, 1)]);
        let before_it = peer(100, 0.05, 0.5, &[(0.134, 99)]);
        assert_eq!(known.longest_gap_since(&before_it, 1.0), Some(0.268), "a bound");
        assert_eq!(since(peer(100, 1.05, 0.11, &[(0.134, 99)])), Some(1050.0), "silence");
        assert_eq!(since(peer(3, 0.05, 0.11, &[(0.134, 2)])), None, "another daemon");
    }

    #[test]
    fn the_median_is_a_bound() {
        assert_eq!(peer(0, 0.0, 0.0, &[]).median_gap(), None);
        assert_eq!(peer(9, 0.0, 0.0, &[(0.1, 3), (0.2, 3)]).median_gap(), Some(0.1));
        assert_eq!(peer(9, 0.0, 0.0, &[(0.1, 3), (0.2, 4)]).median_gap(), Some(0.2));
    }
}
