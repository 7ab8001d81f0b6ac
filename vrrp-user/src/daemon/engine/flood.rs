//! Floods of adverts that claim a signature and have a wrong or an old one.
//!
//! Enters: adverts that the gate has refused, and adverts that it could not judge: dropped over the budget or because a
//! queue was full, or still waiting in one. Leaves: a timer that polls the queues, in place of a wake-up for each
//! advert, and takeovers that wait while an unjudged advert may be the master's. Absent: the source of the flood;
//! refused adverts are counted and recorded by source elsewhere.

use std::time::Duration;

use vrrp_ebpf::map::{BUDGET_WATCHED, BUDGET_WINDOW_NS};
use vrrp_ebpf::time::Timestamp;

use super::silence_check::HOLD_MAX;
use super::{APPROACH, Engine, TOKEN_LISTENER, TOKEN_RING};
use crate::protocol::{InstanceId, Timer};

/// This many refused adverts within [`WINDOW`] are a flood.
const MANY: u32 = BUDGET_WATCHED;
const WINDOW: Duration = Duration::from_nanos(BUDGET_WINDOW_NS);
/// Between two polls of the queues in a flood: short compared with any master_down_interval. The queues have room for
/// what the program lets through meanwhile.
const LOOK: Duration = Duration::from_millis(1);

/// How the queues of adverts are read: by wake-up or by polling.
#[derive(Debug, Default)]
pub(super) struct Pace {
    window: Timestamp,
    /// Adverts refused within the window.
    refused: u32,
    /// End of the flood, unless it goes on.
    until: Option<Timestamp>,
    /// The queues do not wake the engine.
    is_muted: bool,
    next: Option<Timestamp>,
    /// When a queue was last left with more than one turn takes.
    behind: Option<Timestamp>,
}

/// The silence of a master in a flood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flooded {
    /// Start of the time for which its takeover is held off.
    held: Timestamp,
    /// When missed adverts were last looked up.
    looked: Timestamp,
}

impl Pace {
    /// Counts an advert without a right signature.
    pub(super) fn refuse(&mut self, now: Timestamp) {
        if now.since(self.window) >= WINDOW {
            (self.window, self.refused) = (now, 0);
        }
        self.refused = self.refused.saturating_add(1);
        if self.refused >= MANY {
            self.until = Some(now + 2 * WINDOW);
        }
    }

    /// Notes that a queue may hold more.
    pub(super) fn fall_behind(&mut self, now: Timestamp) {
        self.behind = Some(now);
    }

    /// Notes a new queue, which still wakes the engine, even if the others are muted.
    pub(super) fn mind_new_queue(&mut self) {
        self.is_muted = false;
    }

    /// The next poll of the queues, while they do not wake the engine.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.next
    }

    fn is_flood(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

impl Flooded {
    /// Missed adverts hold off the takeover, but not for ever. `from` is when the master was heard, `missed` when an
    /// advert was last missed.
    fn hold(
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

impl Engine {
    /// Whether the silence of a master whose time is up proves nothing, because signed adverts were missed that may
    /// have been its own.
    pub(super) fn is_flooded(&mut self, instance: InstanceId, now: Timestamp) -> bool {
        let Self { router, links, maps, pace, .. } = self;
        let (Some(view), Some(link)) = (router.instance(instance), links.get_mut(instance.index())) else {
            return false;
        };
        // A master that has released, or is a lower one, need not be heard.
        let is_silence = view.watches() || view.remote_master().is_none();
        let is_due = view.deadline(Timer::MasterDown).is_some_and(|due| due <= now + APPROACH);
        if link.gate.is_none() || !is_silence || !is_due {
            return false;
        }
        let others = maps.missed(instance.0, false).filter(|_| !view.watches());
        let missed = maps.missed(instance.0, true).max(others).max(pace.behind);
        let from = view.latest_heard().map_or(view.since(), |heard| heard.max(view.since()));
        let (flooded, is_held) = Flooded::hold(link.flooded, from, missed, now);
        link.flooded = flooded;
        is_held
    }

    /// Switches, at the end of a turn, between wake-ups and polling (in a flood).
    pub(super) fn settle_pace(&mut self, now: Timestamp) {
        let Self { pace, wait, ring, listeners, .. } = self;
        let is_flood = pace.is_flood(now);
        pace.next = is_flood.then(|| now + LOOK);
        if is_flood == pace.is_muted {
            return;
        }
        pace.is_muted = is_flood;
        // A queue that is gone meanwhile sends no wake-ups either.
        if let Some(ring) = ring {
            let _ = wait.mute(&*ring, TOKEN_RING, is_flood);
        }
        for (_, listener) in listeners {
            let _ = wait.mute(&*listener, TOKEN_LISTENER, is_flood);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos(ms * MS)
    }

    #[test]
    fn a_flood_is_many_within_a_window() {
        let mut pace = Pace::default();
        // As many as a few routers with another key send.
        (0..10 * u64::from(MANY)).for_each(|n| pace.refuse(at(1000 + 2 * n)));
        assert!(!pace.is_flood(at(3000)));
        (0..MANY).for_each(|_| pace.refuse(at(4000)));
        assert!(pace.is_flood(at(4199)) && !pace.is_flood(at(4200)));
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
