//! Doubts about a master's silence: whether its adverts can have reached us.
//!
//! Enters: a master whose time is up, counts of adverts that sockets of this host have received, and the times at which
//! signed adverts were dropped unjudged. Leaves: whether the silence proves nothing. Then the backup listens, and not
//! for ever: [`HOLD_MAX`]. Absent: remedies.

use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::action::State;
use super::instance::Instance;

/// The longest time for which missed adverts hold off a takeover. Remedies are done within it. Adverts that bypass the
/// program for longer do so in an unknown way, and no service is to wait for that.
pub const HOLD_MAX: Duration = Duration::from_secs(10);

/// The silence of an instance's master, compared with what sockets of this host receive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SilenceCheck {
    since: Timestamp,
    /// Adverts that sockets had received, and the program counted, at the latest comparison.
    heard: u64,
    counted: u64,
    /// Start of the time for which its takeover is held off.
    held: Option<Timestamp>,
}

impl SilenceCheck {
    pub(crate) fn new(heard: u64, counted: u64, now: Timestamp) -> Self {
        Self { since: now, heard, counted, held: None }
    }

    /// Whether sockets, and not the program, have received adverts since the latest comparison: a takeover would be a
    /// mistake.
    pub(crate) fn is_outheard(&mut self, heard: u64, counted: impl FnOnce() -> u64, now: Timestamp) -> bool {
        if core::mem::replace(&mut self.heard, heard) == heard {
            return false;
        }
        let counted = counted();
        let misses_adverts = core::mem::replace(&mut self.counted, counted) == counted;
        misses_adverts && now.since(*self.held.get_or_insert(now)) < HOLD_MAX
    }

    /// Whether the silence goes on.
    pub(crate) fn is_open(&self, view: &Instance) -> bool {
        let has_heard = view.remote_master().is_some_and(|master| master.heard.stamp > self.since);
        view.state() == State::Backup && !has_heard
    }
}

/// The silence of a master whose signed adverts may have been dropped in a flood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flooded {
    /// Start of the time for which its takeover is held off.
    held: Timestamp,
    /// When missed adverts were last looked up.
    looked: Timestamp,
}

impl Flooded {
    /// Missed adverts hold off the takeover, but not for ever. `from` is when the master was heard, `missed` when an
    /// advert was last missed.
    pub(crate) fn hold(
        before: Option<Self>,
        from: Timestamp,
        missed: Option<Timestamp>,
        now: Timestamp,
    ) -> (Option<Self>, bool) {
        // The master was heard since, or it is another mastership: another silence.
        let before = before.filter(|before| from <= before.held);
        let looked = before.map_or(from, |before| before.looked);
        let held = before.map_or(now, |before| before.held);
        if missed.is_none_or(|missed| missed <= looked) || now.since(held) >= HOLD_MAX {
            return (before, false);
        }
        (Some(Self { held, looked: now }), true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn sockets_count_where_the_program_has_counted_nothing_and_not_for_ever() {
        let at = Timestamp::from_nanos;
        let mut silence_check = SilenceCheck::new(0, 7, at(0));
        assert!(!silence_check.is_outheard(0, || unreachable!("nothing was heard"), at(1)));
        assert!(silence_check.is_outheard(1, || 7, at(2)));
        // Received by both; the program has refused it or passed it on, as it does with one of a lower master.
        assert!(!silence_check.is_outheard(2, || 8, at(3)));
        assert!(silence_check.is_outheard(3, || 8, at(4)));
        assert!(!silence_check.is_outheard(3, || 8, at(5)));
        assert!(!silence_check.is_outheard(4, || 8, at(2) + HOLD_MAX));
    }

    #[test]
    fn a_takeover_waits_for_as_long_as_adverts_are_missed_and_not_for_ever() {
        let hold = |before, missed, now| Flooded::hold(before, at(1000), missed, at(now));
        assert!(!hold(None, None, 1400).1);
        assert!(!hold(None, Some(at(1000)), 1400).1, "missed before it was heard");
        let (held, is_held) = hold(None, Some(at(1100)), 1400);
        assert!(is_held);
        let (same, is_held) = hold(held, Some(at(1100)), 1700);
        assert!(!is_held, "nothing was missed since");
        assert!(!hold(same, Some(at(1100)), 1700).1, "asked a second time");
        assert!(hold(held, Some(at(1500)), 1700).1);
        assert!(hold(held, Some(at(11_399)), 11_399).1);
        assert!(!hold(held, Some(at(11_400)), 11_400).1);
    }

    #[test]
    fn a_master_that_was_heard_is_doubted_from_the_start() {
        let (held, _) = Flooded::hold(None, at(1000), Some(at(1100)), at(1400));
        let (_, is_held) = Flooded::hold(held, at(1500), Some(at(30_000)), at(30_000));
        assert!(is_held);
        assert!(!Flooded::hold(held, at(1500), Some(at(1450)), at(1900)).1);
    }
}
