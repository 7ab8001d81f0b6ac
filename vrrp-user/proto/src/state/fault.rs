//! Fault: kept out of the election; adverts are neither sent nor learned from. RFC 9568 does not have this state; it is
//! its Init with a cause.

use core::time::Duration;

use crate::action::{Reason, State};
use crate::context::{Cx, Move};
use crate::instance::Instance;
use crate::timers::Timer;

/// Time until the next try, after another process kept removing the addresses or this host refused the adverts.
const RECLAIM: Duration = Duration::from_secs(60);

/// Continues from the snapshot of another process.
pub(crate) fn restore(instance: &mut Instance, cx: &Cx<'_>) {
    match instance.reason {
        Some(Reason::TakenAway) => instance.hold_taken_away(),
        Some(Reason::Refused) => instance.hold_refused(),
        _ => {}
    }
    enter(instance, cx);
}

pub(super) fn enter(instance: &mut Instance, cx: &Cx<'_>) {
    let faults = instance.faults();
    if faults.taken_away || faults.refused {
        instance.timers.set(Timer::Reclaim, cx.now + RECLAIM);
    }
}

/// Tries again.
pub(crate) fn fired(instance: &mut Instance, timer: Timer) -> Option<Move> {
    if timer != Timer::Reclaim {
        return None;
    }
    instance.reclaim();
    ends(instance)
}

/// For a Backup or a Master that has a cause of Fault. In a group, the group decides.
pub(crate) fn begins(instance: &Instance) -> Option<Move> {
    let reason = instance.faults().reason().filter(|_| instance.group.is_none())?;
    Some(Move::new(State::Fault, reason))
}

/// For an instance in Fault, if no cause is left. In a group, the group decides.
pub(crate) fn ends(instance: &mut Instance) -> Option<Move> {
    if instance.group.is_some() {
        return None;
    }
    if let Some(reason) = instance.faults().reason() {
        // Another cause is no transition, but it is the current reason.
        instance.reason = Some(reason);
        return None;
    }
    let to = if instance.priority().is_owner() { State::Master } else { State::Backup };
    Some(Move::new(to, Reason::Recovered))
}
