//! The one clock: CLOCK_MONOTONIC, as the BPF program reads it; and beside it the time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use vrrp_ebpf::time::Timestamp;

/// Since 1970-01-01 UTC; for what other nodes compare with their own clocks, and never for a timer. Zero before then.
pub fn time_of_day() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The time now. Cannot fail on Linux: the clock is always there.
pub fn now() -> Timestamp {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Timestamp::ZERO, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        Timestamp::from_nanos(seconds * 1_000_000_000 + nanos)
    })
}
