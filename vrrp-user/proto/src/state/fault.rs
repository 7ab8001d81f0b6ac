//! Fault: kept out of the election; adverts are neither sent nor learned from. RFC 9568 does not have this state; it is
//! its Init with a cause.

use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

use crate::action::{Action, Reason, State};
use crate::context::{Cx, Move};
use crate::event::PeerAdvert;
use crate::instance::Instance;
use crate::timers::Timer;
use crate::timing;
use crate::units::{Interval, Priority};

/// Time until the next try, after another process kept removing the addresses.
const RECLAIM: Duration = Duration::from_secs(60);

/// Time between two trials whether this host still refuses adverts.
const RETRY: Duration = Duration::from_secs(5);

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
    if faults.refused {
        let interval = instance.settings().advert_interval;
        instance.other_master_until = Some(cx.now + patience(instance, interval));
        instance.timers.set(Timer::Reclaim, cx.now + retry(instance, cx.now));
    } else if faults.taken_away {
        instance.timers.set(Timer::Reclaim, cx.now + RECLAIM);
    }
}

/// Another master takes part, and this instance yields to it.
pub(crate) fn heard(instance: &mut Instance, heard: &PeerAdvert) {
    if instance.faults().refused && heard.priority != Priority::RELEASE {
        instance.other_master_until = Some(heard.stamp + patience(instance, heard.interval));
    }
}

/// How long a master with this interval may be silent.
fn patience(instance: &Instance, interval: Interval) -> Duration {
    let settings = instance.settings();
    let interval = interval.max(settings.advert_interval);
    timing::master_down_interval(settings.version, instance.priority(), interval, settings.down_timer_adverts)
}

pub(crate) fn fired(instance: &mut Instance, timer: Timer, cx: &mut Cx<'_>) -> Option<Move> {
    if timer != Timer::Reclaim {
        return None;
    }
    // Beside no other master, it may serve without adverts.
    let is_beside_another = instance.other_master_until.is_some_and(|until| cx.now < until);
    if instance.faults().refused && is_beside_another {
        cx.actions.push_back(Action::TrySending(instance.id()));
        instance.timers.set(Timer::Reclaim, cx.now + retry(instance, cx.now));
        return None;
    }
    instance.reclaim();
    ends(instance)
}

/// Time until the next trial, which is a release. The master answers it at once, so that other backups go on; one of
/// several unicast peers may hear a release that the master does not, and take over. If adverts are refused again soon
/// after a trial has left, they are refused now and then: a mastership between two refusals serves no client.
fn retry(instance: &Instance, now: Timestamp) -> Duration {
    let has_peers = instance.settings().unicast.as_ref().is_some_and(|unicast| unicast.peers.len() > 1);
    let was_soon = instance.sends_again.is_some_and(|last| now.since(last) < RECLAIM);
    if has_peers || was_soon { RECLAIM } else { RETRY }
}

/// A trial has left this host.
pub(crate) fn sends_again(instance: &mut Instance, now: Timestamp) -> Option<Move> {
    if !instance.faults().refused {
        return None;
    }
    instance.sends_again = Some(now);
    instance.timers.stop(Timer::Reclaim);
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
