//! When what masters lack is tried again.
//!
//! Enters: that something lacks, and that links, addresses or routes have changed. Leaves: the time of the next attempt,
//! where anything lacks. Absent: what lacks, and the attempt.

use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

/// Between two attempts, whatever happens.
const PERIOD: Duration = Duration::from_secs(1);

/// Between two attempts where changes follow each other: another daemon may bring a million routes.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Mending {
    tried: Option<Timestamp>,
    is_stirred: bool,
}

impl Mending {
    /// Something has changed that what lacks may hang on.
    pub(super) fn stir(&mut self) {
        self.is_stirred = true;
    }

    pub(super) fn is_stirred(&self) -> bool {
        self.is_stirred
    }

    /// The next attempt.
    pub(super) fn due(&self, now: Timestamp) -> Timestamp {
        let wait = if self.is_stirred { PAUSE } else { PERIOD };
        self.tried.map_or(now, |tried| tried + wait)
    }

    /// Whether it is time for one, which is made now.
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
