//! A Master that was suspended: it sent no advert for longer than its peers wait, and one of them may be master by now.
//! Its lease has expired meanwhile. It sends neither adverts nor announcements, and listens for an interval and the
//! skew. If it hears no master that it would obey as a Backup, it takes over again.
//!
//! Starvation, a stopped process, a frozen machine and adverts that could not be sent all lead here.

use vrrp_ebpf::time::Timestamp;

use crate::action::{Reason, State};
use crate::context::{Cx, Move};
use crate::election;
use crate::event::PeerAdvert;
use crate::instance::Instance;
use crate::timers::Timer;
use crate::units::Priority;

/// Whether it listens. It starts to listen here if the lease of the latest advert has expired.
pub(crate) fn notice(instance: &mut Instance, cx: &Cx<'_>) -> bool {
    let is_listening = instance.timers.due(Timer::Resume).is_some();
    let has_lapsed = instance.master.entitled_until.is_some_and(|until| until <= cx.now);
    if !is_listening && has_lapsed {
        listen(instance, cx);
    }
    is_listening || has_lapsed
}

/// Adverts could not be sent until the lease expired.
pub(crate) fn lapsed(instance: &mut Instance, cx: &Cx<'_>) {
    if instance.timers.due(Timer::Resume).is_none() {
        listen(instance, cx);
    }
}

/// The machine was asleep. Also if it listens: its time to listen did not advance.
pub(crate) fn slept(instance: &mut Instance, cx: &Cx<'_>) {
    instance.master.entitled_until = instance.master.entitled_until.map(|until| until.min(cx.now));
    listen(instance, cx);
}

pub(crate) fn heard(instance: &Instance, heard: &PeerAdvert) -> Option<Move> {
    if heard.priority == Priority::RELEASE {
        return None;
    }
    let settings = instance.settings();
    let preempts = instance.priority().is_owner() || settings.preempt && settings.preempt_delay.is_zero();
    let endured = (!preempts).then_some(Reason::Superseded);
    let reason = election::yields_to(instance.priority(), instance.source(), heard).or(endured)?;
    Some(Move { to: State::Backup, reason, heard: Some(*heard) })
}

/// Takes over again, unless this node was suspended again, for so long that a backup that was suspended with it has
/// detected it too, and waits for it.
pub(crate) fn fired(instance: &mut Instance, due: Timestamp, cx: &Cx<'_>) -> Option<Move> {
    if cx.now.since(due) > instance.settings().advert_interval.duration() {
        listen(instance, cx);
        None
    } else {
        Some(Move::new(State::Master, Reason::Resumed))
    }
}

fn listen(instance: &mut Instance, cx: &Cx<'_>) {
    instance.stats.suspensions += 1;
    instance.timers.stop_all();
    let span = instance.settings().advert_interval.duration() + instance.skew();
    instance.timers.set(Timer::Resume, cx.now + span);
}
