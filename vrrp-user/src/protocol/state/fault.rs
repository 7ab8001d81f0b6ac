//! Fault: kept out of the election; adverts are neither sent nor learned from. RFC 9568 has no such state; this is
//! its Init with a cause.

use std::time::Duration;

use super::{Turn, go};
use crate::protocol::action::{Reason, State};
use crate::protocol::instance::Instance;
use crate::protocol::timers::Timer;

/// Until addresses that somebody kept removing are tried again, and sending that was refused.
const RECLAIM: Duration = Duration::from_secs(60);

/// Goes on where another process has left.
pub(in crate::protocol) fn resume(instance: &mut Instance, turn: &mut Turn<'_>) {
    match instance.reason {
        Some(Reason::TakenAway) => instance.hold_taken_away(),
        Some(Reason::Refused) => instance.hold_refused(),
        _ => {}
    }
    enter(instance, turn);
}

pub(super) fn enter(instance: &mut Instance, turn: &mut Turn<'_>) {
    let faults = instance.faults();
    if faults.taken_away || faults.refused {
        instance.timers.set(Timer::Reclaim, turn.now + RECLAIM);
    }
}

pub(in crate::protocol) fn fired(instance: &mut Instance, timer: Timer, turn: &mut Turn<'_>) {
    if timer == Timer::Reclaim {
        instance.reclaim(turn);
    }
}

pub(in crate::protocol) fn reconsider(instance: &mut Instance, turn: &mut Turn<'_>) {
    match instance.faults().reason() {
        // Another cause is no transition, but it is what keeps us here now.
        Some(reason) => instance.reason = Some(reason),
        None if instance.priority().is_owner() => go(instance, State::Master, Reason::Recovered, None, turn),
        None => go(instance, State::Backup, Reason::Recovered, None, turn),
    }
}
