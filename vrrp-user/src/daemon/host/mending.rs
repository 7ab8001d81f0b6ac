//! Timing of attempts to set again what masters lack.
//!
//! Enters: that something is missing, and that links, addresses or routes have changed. Leaves: the time of the next
//! attempt, while anything is missing. Absent: what is missing, and the attempt.

use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

/// Between two attempts, if nothing changes.
const PERIOD: Duration = Duration::from_secs(1);

/// Between two attempts while changes follow each other: a routing daemon may bring a million routes.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Mending {
    tried: Option<Timestamp>,
    is_stirred: bool,
}

impl Mending {
    /// Notes a change that may let a missing object be set.
    pub(super) fn stir(&mut self) {
        self.is_stirred = true;
    }

    pub(super) fn is_stirred(&self) -> bool {
        self.is_stirred
    }

    /// The time of the next attempt.
    pub(super) fn due(&self, now: Timestamp) -> Timestamp {
        let wait = if self.is_stirred { PAUSE } else { PERIOD };
        self.tried.map_or(now, |tried| tried + wait)
    }

    /// Whether an attempt is due; if so, the caller makes it now.
    pub(super) fn take_due(&mut self, now: Timestamp) -> bool {
        let is_due = now >= self.due(now);
        if is_due {
            *self = Self { tried: Some(now), is_stirred: false };
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn attempts_come_once_a_second_and_soon_after_a_change() {
        let mut mending = Mending::default();
        assert!(mending.take_due(at(5000)));
        assert!(!mending.take_due(at(5999)));
        assert!(mending.take_due(at(6000)));
        mending.stir();
        assert!(!mending.take_due(at(6099)));
        assert!(mending.take_due(at(6100)));
        assert_eq!(mending.due(at(6100)), at(7100));
    }
}
