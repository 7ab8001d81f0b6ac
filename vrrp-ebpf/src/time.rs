//! The clock of program and daemon: CLOCK_MONOTONIC of the host, which `bpf_ktime_get_ns` reads too.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, Sub};
use core::time::Duration;

/// Nanoseconds of the host's CLOCK_MONOTONIC, without the offset of a time namespace. Zero is the boot of the machine;
/// time in suspend does not count. The last moment, after 584 years, is one nanosecond before the last of 64 bits:
/// `None` needs no memory beside it.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(transparent)]
pub struct Timestamp(NonZeroU64);

impl Timestamp {
    /// The boot of the machine.
    pub const ZERO: Self = Self::from_nanos(0);

    /// From nanoseconds since boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timestamp").field(&self.as_nanos()).finish()
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates after 584 years.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at the boot of the machine.
    fn sub(self, span: Duration) -> Self {
        Self::from_nanos(self.as_nanos().saturating_sub(nanos(span)))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the bound is checked beside it")]
const fn nanos(span: Duration) -> u64 {
    let nanos = span.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_nanoseconds() {
        let boot = Timestamp::ZERO;
        let later = boot + Duration::from_micros(5);
        assert_eq!(later.as_nanos(), 5000);
        assert_eq!(later.since(boot), Duration::from_micros(5));
        assert_eq!(later - Duration::from_nanos(1), Timestamp::from_nanos(4999));
        assert!(later > boot);
    }

    #[test]
    fn none_takes_no_memory() {
        assert_eq!(size_of::<Option<Timestamp>>(), size_of::<u64>());
        assert_eq!(std::format!("{:?}", Timestamp::from_nanos(7)), "Timestamp(7)");
    }

    #[test]
    fn saturates() {
        let (boot, end) = (Timestamp::ZERO, Timestamp::from_nanos(u64::MAX));
        assert_eq!(boot.since(end), Duration::ZERO);
        assert_eq!(boot - Duration::from_nanos(1), boot);
        assert_eq!(end + Duration::from_nanos(1), end);
        assert_eq!(boot + Duration::MAX, end);
        assert_eq!(end - Duration::MAX, boot);
        assert_eq!(boot + Duration::from_nanos(u64::MAX), end);
    }
}
