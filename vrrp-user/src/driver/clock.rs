//! The one clock: CLOCK_MONOTONIC, as the BPF program reads it.

use nix::time::{ClockId, clock_gettime};
use vrrp_ebpf::time::Timestamp;

/// The time now. Cannot fail on Linux: the clock is always there.
pub fn now() -> Timestamp {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Timestamp::ZERO, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        Timestamp::from_nanos(seconds * 1_000_000_000 + nanos)
    })
}
