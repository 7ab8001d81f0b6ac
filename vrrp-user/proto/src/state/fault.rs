//! Fault: kept out of the election; adverts are neither sent nor learned from. RFC 9568 does not have this state; it is
//! its Init with a cause.

use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::data::OtherMaster;
use crate::action::{Action, Reason, State};
use crate::context::{Cx, Move};
use crate::event::PeerAdvert;
use crate::instance::Instance;
use crate::timers::Timer;
use crate::timing;
use crate::units::{Interval, Priority};

/// Time until the next try beside another master, after another process kept removing the addresses.
const RECLAIM: Duration = Duration::from_secs(60);

/// Time between two trials whether this host still refuses adverts. Several that leave in a row end a Fault that has
/// begun soon after the one before: adverts are refused now and then, and a mastership between two refusals serves no
/// client.
const RETRY: Duration = Duration::from_secs(5);
const RETRY_SOON: Duration = Duration::from_secs(1);
const RUN: u8 = 5;

/// Time from the end of a Fault in which adverts are refused again soon.
const SOON: Duration = Duration::from_secs(60);

/// Priority of a trial: a master answers it and stays, and a backup either ignores it or waits for longer.
const TRIAL: Priority = Priority(1);

/// Continues from the snapshot of another process.
pub(crate) fn restore(instance: &mut Instance, cx: &Cx<'_>) {
    match instance.reason {
        Some(Reason::TakenAway) => instance.hold_taken_away(),
        Some(Reason::Refused) => {
            instance.hold_refused();
            let interval = instance.settings().advert_interval;
            note_other(instance, cx.now, Priority::OWNER, interval);
        }
        _ => {}
    }
    enter(instance, cx);
}

pub(super) fn enter(instance: &mut Instance, cx: &Cx<'_>) {
    let faults = instance.faults();
    if faults.refused {
        instance.trials.begin(instance.since, SOON);
        instance.timers.set(Timer::Reclaim, cx.now + pause(instance));
    } else if faults.taken_away {
        // Without an heir, no client is served meanwhile.
        instance.trials.other = None;
        instance.timers.set(Timer::Reclaim, cx.now + instance.master_down_interval());
    }
}

/// A master takes part that does not hear this one.
pub(super) fn hold_refused(instance: &mut Instance, heard: &PeerAdvert) {
    instance.hold_refused();
    note_other(instance, heard.stamp, heard.priority, heard.interval);
}

/// Another master takes part, and this instance yields to it; or it leaves.
pub(crate) fn heard(instance: &mut Instance, heard: &PeerAdvert) {
    let faults = instance.faults();
    if faults.refused || (faults.taken_away && heard.priority != Priority::RELEASE) {
        note_other(instance, heard.stamp, heard.priority, heard.interval);
    }
}

fn note_other(instance: &mut Instance, stamp: Timestamp, priority: Priority, interval: Interval) {
    let until = match instance.trials.other {
        Some(other) if priority == Priority::RELEASE => other.until,
        _ => stamp + patience(instance, interval),
    };
    instance.trials.other = Some(OtherMaster { until, priority });
}

/// How long a master with this interval may be silent, until the last of its backups has taken over and is heard.
fn patience(instance: &Instance, interval: Interval) -> Duration {
    let settings = instance.settings();
    let interval = interval.max(settings.advert_interval);
    timing::master_down_interval(settings.version, Priority(1), interval, settings.down_timer_adverts)
        .saturating_add(interval.duration())
}

pub(crate) fn fired(instance: &mut Instance, timer: Timer, cx: &mut Cx<'_>) -> Option<Move> {
    if timer != Timer::Reclaim {
        return None;
    }
    // Beside no other master, it may serve without adverts.
    let other = instance.trials.other.filter(|other| cx.now < other.until);
    if let Some(other) = other.filter(|_| instance.faults().refused) {
        let (priority, next) = match other.priority {
            // It would take the trial for its heir's advert.
            Priority::RELEASE => (None, RETRY_SOON),
            // A higher address would make it yield. It answers a release.
            TRIAL => (Some(Priority::RELEASE), pause(instance)),
            _ => (Some(TRIAL), pause(instance)),
        };
        if let Some(priority) = priority {
            instance.trials.try_again();
            cx.actions.push_back(Action::TrySending(instance.id(), priority));
        }
        instance.timers.set(Timer::Reclaim, cx.now + next);
        return None;
    }
    let again = instance.since + RECLAIM;
    if let Some(other) = other.filter(|_| cx.now < again) {
        instance.timers.set(Timer::Reclaim, other.until.min(again));
        return None;
    }
    instance.reclaim();
    ends(instance)
}

fn pause(instance: &Instance) -> Duration {
    if instance.trials.is_soon { RETRY_SOON } else { RETRY }
}

/// A trial has left this host.
pub(crate) fn sends_again(instance: &mut Instance, now: Timestamp) -> Option<Move> {
    if !instance.faults().refused {
        return None;
    }
    let run = instance.trials.leave();
    if instance.trials.is_soon && run < RUN {
        return None;
    }
    instance.trials.ended = Some(now);
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
