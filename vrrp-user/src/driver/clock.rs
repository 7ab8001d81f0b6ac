//! The one clock: CLOCK_MONOTONIC of the host, as the BPF program reads it; and the time of day.
//!
//! A time namespace (Linux 5.6) shows its processes another CLOCK_MONOTONIC, ahead of the host's or behind it by a
//! constant offset. BPF programs always read the host's. So the offset is subtracted from each time read here and added
//! to each time passed to the kernel.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use vrrp_ebpf::time::Timestamp;

/// How far the clock shown to this process is ahead of the host's, ns; see [`super::time_namespace`].
static OFFSET: AtomicI64 = AtomicI64::new(0);

/// Since 1970-01-01 UTC; zero for earlier times. For values that other nodes compare with their own clocks, never for a
/// timer.
pub fn time_of_day() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Whether a daemon of NTP or PTP keeps the time of day; `None` if the kernel does not say.
pub fn is_synchronised() -> Option<bool> {
    // SAFETY: all numbers are allowed to be 0; without a mode the call only reads.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the state lives across the call.
    let result = unsafe { libc::adjtimex(&raw mut state) };
    (result >= 0).then_some(state.status & libc::STA_UNSYNC == 0)
}

/// The time now.
pub fn now() -> Timestamp {
    counted(shown_now(), OFFSET.load(Relaxed))
}

/// Bounds of the time for which the machine has been asleep since some moment, which no namespace changes.
pub fn asleep() -> (Duration, Duration) {
    // Before it, with any offsets of a time namespace.
    const MOMENT: Duration = Duration::from_secs(1 << 40);
    let before = shown_now();
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from) + MOMENT;
    (boot.saturating_sub(shown_now()), boot.saturating_sub(before))
}

/// Processor time of the calling thread, to measure work that other threads may interrupt.
pub(super) fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// A time on the clock shown to this process: the kernel takes the absolute times of timers on that clock.
pub fn shown(at: Timestamp) -> Duration {
    Duration::from_nanos(at.as_nanos().saturating_add_signed(OFFSET.load(Relaxed)))
}

/// Must be called before the first reading of the clock.
pub(super) fn set_offset(nanos: i64) {
    OFFSET.store(nanos, Relaxed);
}

/// Cannot fail on Linux: the clock is always there.
pub(super) fn shown_now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

fn counted(shown: Duration, offset: i64) -> Timestamp {
    let nanos = u64::try_from(shown.as_nanos()).unwrap_or(u64::MAX);
    Timestamp::from_nanos(nanos.saturating_sub_signed(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_awake_sleeps_no_longer() {
        let (least, most) = asleep();
        assert!(least <= most && most - least < Duration::from_secs(1));
        let later = asleep();
        assert!(later.0 <= most && least <= later.1, "{later:?} {most:?}");
    }

    #[test]
    fn an_offset_is_taken_off_in_either_direction() {
        let shown = Duration::from_secs(1000);
        assert_eq!(counted(shown, 0), Timestamp::from_nanos(1_000_000_000_000));
        assert_eq!(counted(shown, 999_000_000_000), Timestamp::from_nanos(1_000_000_000));
        assert_eq!(counted(shown, -1), Timestamp::from_nanos(1_000_000_000_001));
    }
}
