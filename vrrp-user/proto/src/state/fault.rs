//! Fault: kept out of the election; adverts are neither sent nor learned from. RFC 9568 does not have this state; it is
//! its Init with a cause.

use core::time::Duration;

use super::{Cx, go};
use crate::action::{Reason, State};
use crate::instance::Instance;
use crate::timers::Timer;

/// Time until the next try, after another process kept removing the addresses or this host refused the adverts.
const RECLAIM: Duration = Duration::from_secs(60);

/// Continues from the snapshot of another process.
pub(crate) fn restore(instance: &mut Instance, cx: &mut Cx<'_>) {
    match instance.reason {
        Some(Reason::TakenAway) => instance.hold_taken_away(),
        Some(Reason::Refused) => instance.hold_refused(),
        _ => {}
    }
    enter(instance, cx);
}

pub(super) fn enter(instance: &mut Instance, cx: &mut Cx<'_>) {
    let faults = instance.faults();
    if faults.taken_away || faults.refused {
        instance.timers.set(Timer::Reclaim, cx.now + RECLAIM);
    }
}

pub(crate) fn fired(instance: &mut Instance, timer: Timer, cx: &mut Cx<'_>) {
    if timer == Timer::Reclaim {
        instance.reclaim(cx);
    }
}

pub(crate) fn reconsider(instance: &mut Instance, cx: &mut Cx<'_>) {
    match instance.faults().reason() {
        // Another cause is no transition, but it is the current reason.
        Some(reason) => instance.reason = Some(reason),
        None if instance.priority().is_owner() => go(instance, State::Master, Reason::Recovered, None, cx),
        None => go(instance, State::Backup, Reason::Recovered, None, cx),
    }
}
