//! Percentiles of measured times, and a description of the machine.

use std::fs::read_to_string;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use super::sheet::{Cell, Figure};

/// Measured times.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds a time in seconds, which may be negative.
    pub fn push(&mut self, seconds: f64) {
        self.0.push(seconds);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that `percent` of a hundred do not exceed (nearest rank), in seconds.
    pub fn percentile(&self, percent: usize) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied()
    }

    /// How many are above `seconds`.
    pub(super) fn above(&self, seconds: f64) -> usize {
        self.0.iter().filter(|&&sample| sample > seconds).count()
    }

    /// As [`Self::percentile`], in milliseconds; not a number without samples.
    pub(super) fn millis(&self, percent: usize) -> f64 {
        self.percentile(percent).unwrap_or(f64::NAN) * 1e3
    }

    /// `median / p95 µs`.
    pub(super) fn micros(&self) -> String {
        format!("{:.0} / {:.0} µs", self.millis(50) * 1e3, self.millis(95) * 1e3)
    }

    /// `median / p95 ms (n)`.
    pub fn summary(&self) -> String {
        if self.is_empty() {
            return "none".to_owned();
        }
        format!("{:.2} / {:.2} ms (n={})", self.millis(50), self.millis(95), self.len())
    }

    /// [`Self::summary`], of which the median is at most `bound` milliseconds.
    pub(super) fn cell(&self, bound: f64) -> Cell {
        Cell::new(self.summary())
            .with(Figure::new("median", self.millis(50), "ms").at_most(bound))
            .with(Figure::new("p95", self.millis(95), "ms"))
    }
}

/// Kernel, processors and date.
pub(super) fn machine() -> String {
    let read = |path| read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
    let info = read("/proc/cpuinfo");
    let models: Vec<_> = info.lines().filter_map(|line| line.strip_prefix("model name")).collect();
    let model = models.first().map_or("unknown processor", |line| line.trim_start_matches(['\t', ' ', ':']));
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("Linux {kernel}, {} × {model}, load {load}, {}", models.len(), date())
}

/// Time that the hypervisor has withheld from this machine (steal), over all processors.
pub(super) fn steal() -> Duration {
    let stat = read_to_string("/proc/stat").unwrap_or_default();
    let ticks = stat.lines().next().and_then(|line| line.split_whitespace().nth(8)?.parse::<u64>().ok());
    let unit =
        sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|unit| u64::try_from(unit).ok()).unwrap_or(100);
    Duration::from_millis(ticks.unwrap_or(0) * 1000 / unit)
}

/// Today in UTC (civil date from the days since 1970, after Howard Hinnant).
fn date() -> String {
    let days = i64::try_from(crate::clock::realtime() / 86_400_000_000_000).unwrap_or(0) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_nearest_rank() {
        let mut samples = Samples::default();
        (1..=20).rev().for_each(|value| samples.push(f64::from(value)));
        assert_eq!(samples.percentile(50), Some(10.0));
        assert_eq!(samples.percentile(95), Some(19.0));
        assert_eq!(samples.percentile(100), Some(20.0));
        assert_eq!(Samples::default().percentile(50), None);
        assert_eq!(samples.above(18.5), 2);
    }
}
