//! Pace at which the queues of adverts are read: by wake-up, or by polling in a flood.
//!
//! Enters: adverts that claim a signature and have a wrong or an old one, and queues that were left with more than a
//! turn takes. Leaves: a timer that polls the queues, in place of a wake-up for each advert. Absent: the source of the
//! flood; refused adverts are counted and recorded by source elsewhere.

use std::time::Duration;

use vrrp_ebpf::map::{BUDGET_WATCHED, BUDGET_WINDOW_NS};
use vrrp_ebpf::time::Timestamp;

use super::ports::{KernelPorts, TOKEN_LISTENER, TOKEN_RING};

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

    /// When a queue was last left with more than one turn takes.
    pub(super) fn behind(&self) -> Option<Timestamp> {
        self.behind
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

impl KernelPorts {
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
}
