//! Time formulas (RFC 9568 §6.1, RFC 3768 §6.1), in whole nanoseconds.

use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::units::{Interval, Priority, Version};

/// The skew of a backup of this priority: (256 − P)/256 of the master's interval in version 3, of one second in
/// version 2. The half nanosecond of an odd priority at 10 ms is dropped.
pub fn skew(version: Version, priority: Priority, interval: Interval) -> Duration {
    let unit = match version {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => interval.duration(),
    };
    unit.saturating_mul(256 - u32::from(priority.0)) / 256
}

/// How long a master may be silent: `adverts` intervals and the skew.
pub fn master_down_interval(
    version: Version,
    priority: Priority,
    interval: Interval,
    adverts: u8,
) -> Duration {
    interval.duration().saturating_mul(u32::from(adverts)).saturating_add(skew(version, priority, interval))
}

/// The lease that an advert gives its sender: a peer's master_down_interval without its skew, which no priority makes
/// 0, less the drift of two clocks that are slewed by 500 ppm each, the kernel's maximum.
pub fn lease(interval: Interval, adverts: u8) -> Duration {
    let patience = interval.duration().saturating_mul(u32::from(adverts));
    patience - patience / 1000
}

/// The next time of a period, without drift. If late by a period or more, it restarts from now, without a burst.
pub(super) fn following(due: Timestamp, period: Duration, now: Timestamp) -> Timestamp {
    let next = due + period;
    if next > now { next } else { now + period }
}

/// The latest time of a period that began at `due`, if that is past.
pub(super) fn latest(due: Timestamp, period: Duration, now: Timestamp) -> Timestamp {
    let missed = now.since(due).as_nanos().checked_div(period.as_nanos()).unwrap_or(0);
    due + period.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX))
}

/// Pause between two checks of a silent master.
pub(super) fn tick(interval: Interval) -> Duration {
    (interval.duration() / 10).max(Duration::from_millis(1))
}

/// The latest time not after `at` from which ticks lead to half a tick before `deadline`.
pub(super) fn in_step(at: Timestamp, deadline: Timestamp, tick: Duration) -> Timestamp {
    let last = deadline - tick / 2;
    let (rest, tick) = (last.since(at).as_nanos(), tick.as_nanos().max(1));
    last - Duration::from_nanos(u64::try_from(rest.next_multiple_of(tick)).unwrap_or(u64::MAX))
}

/// A timer later than this was not merely delayed: this node was suspended.
pub(super) fn suspension_threshold(interval: Interval) -> Duration {
    (interval.duration() / 4).clamp(Duration::from_millis(2), Duration::from_millis(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v3(millis: u64) -> Interval {
        Interval::new(Duration::from_millis(millis), Version::V3).unwrap()
    }

    fn v2(seconds: u64) -> Interval {
        Interval::new(Duration::from_secs(seconds), Version::V2).unwrap()
    }

    #[test]
    fn t03_skew_is_a_share_of_the_masters_interval_in_version_3() {
        let skew_of = |priority, millis| skew(Version::V3, Priority(priority), v3(millis)).as_nanos();
        assert_eq!(skew_of(100, 1000), 609_375_000);
        assert_eq!(skew_of(100, 10), 6_093_750);
        assert_eq!(skew_of(254, 10), 78_125);
        assert_eq!(skew_of(255, 10), 39_062);
        assert_eq!(skew_of(1, 40_950), 40_790_039_062);
    }

    #[test]
    fn v07_skew_is_a_share_of_a_second_in_version_2() {
        for seconds in [1, 3, 255] {
            assert_eq!(skew(Version::V2, Priority(100), v2(seconds)).as_nanos(), 609_375_000);
        }
    }

    #[test]
    fn t04_master_down_interval() {
        let down = |priority, millis| {
            master_down_interval(Version::V3, Priority(priority), v3(millis), 3).as_nanos()
        };
        assert_eq!(down(100, 1000), 3_609_375_000);
        assert_eq!(down(100, 10), 36_093_750);
        assert_eq!(down(254, 100), 300_781_250);
        let two = master_down_interval(Version::V3, Priority(100), v3(10), 2);
        assert_eq!(two.as_nanos(), 26_093_750);
        assert_eq!(master_down_interval(Version::V2, Priority(100), v2(3), 3).as_nanos(), 9_609_375_000);
    }

    #[test]
    fn a_lease_ends_before_the_quickest_peer_loses_patience() {
        assert_eq!(lease(v3(10), 3), Duration::from_micros(29_970));
        for (version, interval) in [(Version::V3, v3(10)), (Version::V3, v3(40_950)), (Version::V2, v2(255))]
        {
            let patience = master_down_interval(version, Priority::OWNER, interval, 3);
            let fast = patience - patience / 2000;
            let lease = lease(interval, 3);
            assert!(lease + lease / 2000 < fast, "{interval:?}");
        }
    }

    #[test]
    fn a_period_keeps_its_phase_until_a_whole_one_is_lost() {
        let at = Timestamp::from_nanos;
        let period = Duration::from_nanos(10);
        assert_eq!(following(at(100), period, at(100)), at(110));
        assert_eq!(following(at(100), period, at(109)), at(110));
        assert_eq!(following(at(100), period, at(110)), at(120));
        assert_eq!(following(at(100), period, at(135)), at(145));
    }

    #[test]
    fn the_last_tick_comes_half_a_tick_before_the_deadline() {
        let at = Timestamp::from_nanos;
        let tick = Duration::from_nanos(10);
        let in_step = |from| in_step(at(from), at(200), tick);
        for (from, step) in
            [(195, 195), (194, 185), (186, 185), (185, 185), (184, 175), (196, 195), (200, 195)]
        {
            assert_eq!(in_step(from), at(step), "{from}");
        }
    }

    #[test]
    fn suspension_threshold_is_a_quarter_interval_within_bounds() {
        assert_eq!(suspension_threshold(v3(10)), Duration::from_micros(2500));
        assert_eq!(suspension_threshold(v3(100)), Duration::from_millis(25));
        assert_eq!(suspension_threshold(v3(1000)), Duration::from_millis(100));
        assert_eq!(tick(v3(10)), Duration::from_millis(1));
        assert_eq!(tick(v3(1000)), Duration::from_millis(100));
    }
}
