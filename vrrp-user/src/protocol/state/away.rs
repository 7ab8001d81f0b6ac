//! A Master that was suspended: it sent no advert for longer than its peers wait, and one of them may be master by now.
//! Its lease has expired meanwhile. It sends neither adverts nor announcements, and listens for an interval and the
//! skew. If it hears no master that it would obey as a Backup, it takes over again.
//!
//! Starvation, a stopped process, a frozen machine and adverts that could not be sent all lead here.

use vrrp_ebpf::time::Timestamp;

use super::{Turn, go};
use crate::protocol::action::{Reason, State};
use crate::protocol::election;
use crate::protocol::event::Heard;
use crate::protocol::instance::Instance;
use crate::protocol::timers::Timer;
use crate::protocol::units::Priority;

/// Whether it listens. It starts to listen here if the lease of the latest advert has expired.
pub(in crate::protocol) fn notice(instance: &mut Instance, turn: &Turn<'_>) -> bool {
    let is_listening = instance.timers.due(Timer::Return).is_some();
    let has_lapsed = instance.master.entitled_until.is_some_and(|until| until <= turn.now);
    if !is_listening && has_lapsed {
        listen(instance, turn);
    }
    is_listening || has_lapsed
}

/// Adverts could not be sent until the lease expired.
pub(in crate::protocol) fn lapsed(instance: &mut Instance, turn: &Turn<'_>) {
    if instance.timers.due(Timer::Return).is_none() {
        listen(instance, turn);
    }
}

pub(in crate::protocol) fn heard(instance: &mut Instance, heard: &Heard, turn: &mut Turn<'_>) {
    if heard.priority == Priority::RELEASE {
        return;
    }
    let settings = instance.settings();
    let preempts = instance.priority().is_owner() || settings.preempt && settings.preempt_delay.is_zero();
    let endured = (!preempts).then_some(Reason::Superseded);
    let reason = election::yields_to(instance.priority(), instance.source(), heard).or(endured);
    if let Some(reason) = reason {
        go(instance, State::Backup, reason, Some(heard), turn);
    }
}

/// Takes over again, unless this node was suspended again, for so long that a backup that was suspended with it has
/// detected it too, and waits for it.
pub(in crate::protocol) fn fired(instance: &mut Instance, due: Timestamp, turn: &mut Turn<'_>) {
    if turn.now.since(due) > instance.settings().advert_interval.duration() {
        listen(instance, turn);
    } else {
        go(instance, State::Master, Reason::Returned, None, turn);
    }
}

fn listen(instance: &mut Instance, turn: &Turn<'_>) {
    instance.stats.away += 1;
    instance.timers.stop_all();
    let span = instance.settings().advert_interval.duration() + instance.skew();
    instance.timers.set(Timer::Return, turn.now + span);
}
