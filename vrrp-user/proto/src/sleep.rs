//! A machine that was asleep: suspended to memory or disk, with the clock that all timers count by.
//!
//! Enters: how long the machine has been asleep in all, by a clock that goes on meanwhile. Leaves: after each sleep, no
//! lease, masters that listen before they send, and backups that listen before they take over. Absent: a virtual
//! machine that its hypervisor pauses, where no clock goes on.

use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

/// Sleep of the machine.
#[derive(Debug, Default)]
pub(crate) struct Sleep {
    /// The machine has not been asleep for longer than this until now. Unknown at first.
    at_most: Option<Duration>,
    /// Instances are to listen for it.
    is_due: bool,
    /// When the latest sleep was noticed.
    noticed: Option<Timestamp>,
}

impl Sleep {
    /// Notes the bounds of the whole time. Whether the machine was asleep since the last call: a reading that is slow
    /// makes them wider, and is none.
    pub(crate) fn note(&mut self, (least, most): (Duration, Duration), now: Timestamp) -> bool {
        let has_slept = self.at_most.is_some_and(|before| before < least);
        self.noticed = has_slept.then_some(now).or(self.noticed);
        self.at_most = self.at_most.filter(|before| !has_slept && *before < most).or(Some(most));
        self.is_due |= has_slept;
        has_slept
    }

    /// Whether instances are to listen; once.
    pub(crate) fn take(&mut self) -> bool {
        core::mem::take(&mut self.is_due)
    }

    /// Whether a sleep was noticed at this time or later.
    pub(crate) fn is_since(&self, time: Timestamp) -> bool {
        self.noticed.is_some_and(|noticed| noticed >= time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_that_is_certain_is_a_sleep() {
        let micros = Duration::from_micros;
        let mut sleep = Sleep::default();
        let mut at = Timestamp::ZERO;
        let mut note = |least, most| {
            at = at + micros(1);
            sleep.note((micros(least), micros(most)), at)
        };
        // Read slowly at first, by a thread that had to wait between two clocks.
        assert!(!note(1000, 90_000));
        assert!(!note(50_000, 50_001), "within the bounds");
        assert!(!note(10_000, 50_002), "slow again");
        assert!(!note(50_000, 50_001));
        assert!(note(50_002, 50_003));
        assert!(!note(50_002, 50_003), "reported once");
        assert!(note(9_000_000, 9_000_001));
        assert!(sleep.take() && !sleep.take());
        assert!(sleep.is_since(at) && !sleep.is_since(at + micros(1)));
    }
}
