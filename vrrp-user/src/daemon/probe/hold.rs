//! Delays before a failed check counts as good again.
//!
//! Enters: the result after `rise` and `fall`, and the time. Leaves: the effective result. Absent: waiting; an expired
//! delay takes effect at the next result. A failure is never delayed.

use std::collections::VecDeque;
use std::fmt;

use vrrp_ebpf::time::Timestamp;

use crate::config::HoldSettings;

#[derive(Clone, Debug)]
pub(super) struct Hold {
    settings: HoldSettings,
    /// The last input.
    good: Option<bool>,
    /// Times of the last changes, at most as many as damping counts.
    changes: VecDeque<Timestamp>,
    damped: bool,
    /// The effective result, and when it became a failure.
    counts: bool,
    failed_at: Option<Timestamp>,
}

/// Why a check counts as failed although its service may be well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Held {
    pub cause: Cause,
    /// Without further changes.
    pub until: Timestamp,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// It changed too often.
    Flapping,
    /// It has not been failed for `min_hold` yet.
    MinHold,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flapping => "flapping",
            Self::MinHold => "min_hold",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Hold {
    pub(super) fn new(settings: HoldSettings) -> Self {
        Self { settings, good: None, changes: VecDeque::new(), damped: false, counts: true, failed_at: None }
    }

    /// Returns the effective result and the hold on it.
    pub(super) fn judge(&mut self, good: bool, now: Timestamp) -> (bool, Option<Held>) {
        match self.good.replace(good) {
            None => self.counts = good,
            Some(before) if before != good => self.changed(now),
            Some(_) => {}
        }
        let held = self.held(good, now);
        let counts = good && held.is_none();
        if self.counts && !counts {
            self.failed_at = Some(now);
        }
        self.counts = counts;
        (counts, held)
    }

    fn changed(&mut self, now: Timestamp) {
        let Some(damping) = self.settings.damping else { return };
        let counted = usize::try_from(damping.changes).unwrap_or(usize::MAX);
        if self.changes.len() >= counted {
            self.changes.pop_front();
        }
        self.changes.push_back(now);
        let first = self.changes.front().copied().unwrap_or(now);
        self.damped |= self.changes.len() >= counted && now.since(first) <= damping.within;
    }

    fn held(&mut self, good: bool, now: Timestamp) -> Option<Held> {
        if let (true, Some(damping), Some(&latest)) =
            (self.damped, self.settings.damping, self.changes.back())
        {
            let until = latest + damping.quiet;
            if now < until {
                return Some(Held { cause: Cause::Flapping, until });
            }
            self.damped = false;
            self.changes.clear();
        }
        let until = self.failed_at.filter(|_| good && !self.counts)? + self.settings.least;
        (now < until).then_some(Held { cause: Cause::MinHold, until })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Damping;

    /// One letter a second: `+` and `-` are inputs, `U` and `D` outputs; `f` or `m`: the result is held.
    fn life(settings: HoldSettings, enters: &str) -> String {
        let mut hold = Hold::new(settings);
        let letter = |(second, good): (u64, char)| {
            let now = Timestamp::from_nanos((100 + second) * 1_000_000_000);
            match hold.judge(good == '+', now) {
                (true, None) => 'U',
                (false, None) => 'D',
                (false, Some(Held { cause: Cause::Flapping, .. })) => 'f',
                (false, Some(Held { cause: Cause::MinHold, .. })) => 'm',
                (true, Some(_)) => '!',
            }
        };
        (0..).zip(enters.chars()).map(letter).collect()
    }

    fn damping(changes: u32, within: u64, quiet: u64) -> HoldSettings {
        let (within, quiet) = (Duration::from_secs(within), Duration::from_secs(quiet));
        HoldSettings { damping: Some(Damping { changes, within, quiet }), ..HoldSettings::default() }
    }

    fn least(seconds: u64) -> HoldSettings {
        HoldSettings { least: Duration::from_secs(seconds), ..HoldSettings::default() }
    }

    #[test]
    fn what_enters_leaves_where_nothing_is_asked_for() {
        assert_eq!(life(HoldSettings::default(), "+-+--+-+"), "UDUDDUDU");
    }

    #[test]
    fn the_last_of_too_many_changes_holds_it_as_failed() {
        // The failure that reaches the limit counts, and lasts until there was no change for 4 s.
        assert_eq!(life(damping(3, 10, 4), "+-+-++++++"), "UDUfffffUU");
        // The recovery that reaches the limit does not count.
        assert_eq!(life(damping(2, 10, 3), "+-++++"), "UDfffU");
        // Each further change restarts the wait.
        assert_eq!(life(damping(2, 10, 3), "+-++-+++++"), "UDffffffUU");
    }

    #[test]
    fn changes_that_are_far_apart_do_not_count_together() {
        assert_eq!(life(damping(3, 2, 4), "+-++-++-++"), "UDUUDUUDUU");
        assert_eq!(life(damping(3, 3, 4), "+-+++-+"), "UDUUUDU");
        assert_eq!(life(damping(3, 4, 4), "+-++-++"), "UDUUfff");
    }

    #[test]
    fn a_service_that_stays_down_is_held_no_longer_than_others() {
        assert_eq!(life(damping(2, 10, 3), "+-+------+"), "UDffffDDDU");
    }

    #[test]
    fn a_failure_lasts_its_least_time() {
        assert_eq!(life(least(4), "+-++++++"), "UDmmmUUU");
        // A longer failure is not extended.
        assert_eq!(life(least(2), "+----+"), "UDDDDU");
        // It starts at the failure, whatever comes between.
        assert_eq!(life(least(4), "+-+-++"), "UDmDmU");
        // A failure at the start is not a change.
        assert_eq!(life(least(4), "-+"), "DU");
    }

    #[test]
    fn of_both_the_longer_one_counts() {
        let settings = HoldSettings { least: Duration::from_secs(6), ..damping(2, 10, 2) };
        assert_eq!(life(settings, "+-+++++++"), "UDffmmmUU");
    }
}
