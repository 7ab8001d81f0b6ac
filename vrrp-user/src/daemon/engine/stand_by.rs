//! Takeovers that the effect thread prepares for, and is awake for.
//!
//! Enters: the time of the next takeover, unless its master is heard before. Leaves: a command as soon as nothing else
//! is due before it, to prepare; another one just before it, to be awake. Absent: both while a master is heard.

use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::Engine;
use crate::daemon::queue::Command;
use crate::driver::clock;
use crate::protocol::{APPROACH, InstanceId};

/// How long before a takeover the effect thread is woken: a processor leaves its deepest sleep, and the state of an
/// interface is read.
const LEAD: Duration = Duration::from_micros(350);

/// Most commands in the queue that leave time to prepare. A takeover that is not prepared is only slower, so that these
/// commands never take the room of others.
const WAITING_MAX: usize = 8;

/// The takeover that was commanded last, and whether it was near.
#[derive(Debug, Default)]
pub(super) struct StandBy(Option<(Timestamp, bool)>);

impl StandBy {
    /// Whether a command is due for a takeover at `due`, and when to wake next for it.
    fn next(&mut self, due: Timestamp, now: Timestamp) -> (bool, Timestamp) {
        let lead = due - LEAD;
        let is_near = now >= lead;
        let is_new = self.0.replace((due, is_near)) != Some((due, is_near));
        (is_new, if is_near { due - APPROACH } else { lead })
    }
}

impl Engine {
    /// Commands what is due before the next takeover, if there is one, and returns when to wake next for it.
    pub(super) fn have_stand_by(&mut self) -> Option<Timestamp> {
        let due = self.turn.router().next_takeover().filter(|_| !self.turn.is_paused())?;
        let (is_due, wake) = self.stand_by.next(due, clock::now());
        let mut from = InstanceId(0);
        while is_due
            && self.ports.commands.queue().len() < WAITING_MAX
            && let Some(id) = self.turn.router().silent_from(from, due)
        {
            let _ = self.ports.commands.queue().offer(Command::StandBy(id, due));
            from = id.next();
        }
        Some(wake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_takeover_is_prepared_for_once_and_approached_once() {
        let at = |micros: u64| Timestamp::from_nanos(1_000_000_000 + micros * 1000);
        let (due, later) = (at(10_000), at(20_000));
        let mut stand_by = StandBy::default();
        assert_eq!(stand_by.next(due, at(0)), (true, due - LEAD));
        assert_eq!(stand_by.next(due, at(5000)), (false, due - LEAD));
        assert_eq!(stand_by.next(due, at(9650)), (true, due - APPROACH));
        assert_eq!(stand_by.next(due, at(9800)), (false, due - APPROACH));
        // The master was heard, and falls silent again; this takeover is near at once.
        assert_eq!(stand_by.next(later, at(19_990)), (true, later - APPROACH));
        assert_eq!(stand_by.next(due, at(0)), (true, due - LEAD));
    }
}
