//! Backup (RFC 9568 §6.4.2): waits for the master to fall silent, and makes sure that the silence is not our own
//! suspension.
//!
//! MasterDown is the timer of the RFC. Suspect fires an interval and most of the skew before it, and then every tenth
//! of an interval until it. The last of these ticks is half a tick before it, so that the takeover can be prepared.
//! Each advert of a healthy master moves both, so that it costs at most one wake-up in two intervals; while the master
//! is silent, Suspect ticks. If one of them fires far too late, this node was suspended (starved, stopped, or frozen
//! with the whole machine), and the silence of that time proves nothing. Then the node listens longer: see
//! [`listening_ends`].

use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::data::{Backup, RemoteMaster, Suspension, WhyExpiring};
use crate::action::{Action, Reason, State};
use crate::context::{Cx, Move};
use crate::event::PeerAdvert;
use crate::handover;
use crate::instance::Instance;
use crate::settings::ElectionSettings;
use crate::timers::Timer;
use crate::timing;
use crate::units::{Priority, Version};

pub(super) fn enter(instance: &mut Instance, heard: Option<&PeerAdvert>, cx: &mut Cx<'_>) {
    instance.backup = Backup::default();
    match heard {
        Some(heard) => obey(instance, heard, cx),
        None => {
            let deadline = serves_alone_until(instance).unwrap_or(cx.now + instance.master_down_interval());
            arm(instance, deadline, cx.now);
        }
    }
}

/// Finds its heir, or takes over again, by this time: all members of its group do so together.
pub(crate) fn serve_until(instance: &mut Instance, until: Timestamp, cx: &mut Cx<'_>) {
    handover::serve_until(instance, until, cx);
    if let Some(deadline) = serves_alone_until(instance) {
        arm(instance, deadline, cx.now);
    }
}

/// A master that an operator had hand over becomes master again if it finds no heir, just before its addresses would be
/// removed: they stay served.
fn serves_alone_until(instance: &Instance) -> Option<Timestamp> {
    let until = handover::serves_until(instance).filter(|_| instance.reason == Some(Reason::HandedOver));
    until.map(|until| until - timing::tick(instance.settings().advert_interval))
}

pub(super) fn leave(instance: &mut Instance, cx: &mut Cx<'_>) {
    dismiss(instance, cx);
    instance.backup = Backup::default();
}

pub(crate) fn heard(instance: &mut Instance, heard: &PeerAdvert, cx: &mut Cx<'_>) {
    // RFC 9568 §6.4.2 assumes adverts in order: an older one must not undo a later one.
    if instance.backup.latest.is_some_and(|latest| heard.stamp < latest) {
        return;
    }
    if instance.backup.master.is_some_and(|master| master.says_better(heard)) {
        return;
    }
    if heard.priority == Priority::RELEASE {
        released(instance, heard, cx);
    } else if judge(instance, heard.priority, heard.stamp, cx.now) {
        obey(instance, heard, cx);
    } else {
        overrule(instance, heard, cx);
    }
}

/// The watched master was seen; its equal adverts never move the deadline backwards.
pub(crate) fn seen(instance: &mut Instance, stamp: Timestamp, cx: &mut Cx<'_>) {
    let is_news = |master: &&mut RemoteMaster| master.watched && master.heard.stamp < stamp;
    let Some(master) = instance.backup.master.as_mut().filter(is_news) else { return };
    master.heard.stamp = stamp;
    instance.backup.note(stamp);
    notice_suspension(instance, cx.now);
    let deadline = deadline(instance, stamp, instance.master_down_interval());
    let current = instance.timers.due(Timer::MasterDown).unwrap_or_default();
    arm(instance, deadline.max(current), cx.now);
}

/// Another priority has another skew, and may put us above the master, or below it again.
pub(crate) fn reprioritised(instance: &mut Instance, old: Priority, cx: &mut Cx<'_>) {
    let Some(deadline) = instance.timers.due(Timer::MasterDown) else {
        return reconsider_overruled(instance, cx);
    };
    let listen = notice_suspension(instance, cx.now).then(|| listening_ends(instance));
    let before = timing::skew(instance.settings().version, old, instance.master_interval());
    let deadline = deadline + instance.skew() - before;
    arm(instance, deadline.max(listen.unwrap_or_default()).max(cx.now), cx.now);
    reconsider_master(instance, cx);
}

/// Other settings: if they accept other adverts than before, the master must be heard again, within the longer one of
/// both master_down_intervals.
pub(crate) fn reconfigured(
    instance: &mut Instance,
    old: &ElectionSettings,
    priority: Priority,
    cx: &mut Cx<'_>,
) {
    let new = instance.settings();
    let interval = |it: &ElectionSettings| (it.version == Version::V2).then_some(it.advert_interval);
    let patience = |it: &ElectionSettings| (it.down_timer_adverts, interval(it));
    let is_patient_alike = patience(new) == patience(old);
    let is_preempting_alike = (new.preempt, new.preempt_delay) == (old.preempt, old.preempt_delay);
    if !new.judges_like(old) {
        let patience = instance.master_down_interval();
        dismiss(instance, cx);
        instance.backup.master = None;
        instance.backup.why_expiring = WhyExpiring::Silence;
        listen(instance, patience.max(instance.master_down_interval()), cx);
    } else if !is_patient_alike {
        listen(instance, instance.master_down_interval(), cx);
    } else if instance.priority() != priority {
        reprioritised(instance, priority, cx);
    }
    if !is_preempting_alike {
        instance.backup.endure_until = None;
        instance.timers.stop(Timer::PreemptDelay);
        reconsider_master(instance, cx);
    }
}

pub(crate) fn fired(instance: &mut Instance, timer: Timer, due: Timestamp, cx: &mut Cx<'_>) -> Option<Move> {
    match timer {
        Timer::Suspect | Timer::MasterDown if is_suspension(instance, due, cx.now) => {
            note_suspension(instance, due, cx.now);
            let listen = listening_ends(instance);
            let deadline = instance.timers.due(Timer::MasterDown).map_or(listen, |due| due.max(listen));
            arm(instance, deadline, cx.now);
        }
        Timer::Suspect => {
            let first = instance.backup.checks.map_or(cx.now, |(first, _)| first);
            instance.backup.checks = Some((first, cx.now));
            let next = timing::following(due, timing::tick(instance.master_interval()), cx.now);
            if instance.timers.due(Timer::MasterDown).is_some_and(|deadline| next < deadline) {
                instance.timers.set(Timer::Suspect, next);
            }
        }
        // The group decides. Meanwhile adverts of a master that comes back must be events again.
        Timer::MasterDown if instance.group().is_some() => dismiss(instance, cx),
        Timer::MasterDown => return Some(take_over(instance)),
        Timer::PreemptDelay => reconsider_master(instance, cx),
        Timer::Advert
        | Timer::AnnounceAgain
        | Timer::AnnounceRefresh
        | Timer::AnnounceContest
        | Timer::FollowContest
        | Timer::Reclaim
        | Timer::Resume
        | Timer::Handover => {}
    }
    None
}

/// Continues from the snapshot of another process. Adverts sent meanwhile may have reached neither of them.
pub(crate) fn restore(
    instance: &mut Instance,
    master: Option<PeerAdvert>,
    (endures_until, master_down): (Option<Timestamp>, Option<Timestamp>),
    cx: &mut Cx<'_>,
) {
    instance.backup = Backup::default();
    instance.backup.master = master.map(|heard| RemoteMaster { heard, watched: false });
    // Its next advert sets the timer, or ends the delay.
    instance.backup.endure_until = endures_until;
    let listen = cx.now + instance.master_interval().duration() + instance.skew();
    arm(instance, master_down.map_or(listen, |deadline| deadline.max(listen)), cx.now);
}

/// Becomes master.
pub(crate) fn take_over(instance: &Instance) -> Move {
    let master = instance.backup.master.map(|master| master.heard);
    let (reason, heard) = match instance.backup.why_expiring {
        WhyExpiring::Silence => (Reason::MasterSilent, master),
        WhyExpiring::Released(heard) => (Reason::MasterReleased, Some(heard)),
        WhyExpiring::Overruled(heard) => (Reason::Preempted, Some(heard)),
    };
    Move { to: State::Master, reason, heard }
}

/// Sets the master-down timer to `span` from now.
pub(crate) fn listen(instance: &mut Instance, span: Duration, cx: &mut Cx<'_>) {
    arm(instance, cx.now + span, cx.now);
}

/// Another member of the group found that this node was suspended: this one's knowledge of its master is old.
pub(crate) fn listen_after(instance: &mut Instance, suspension: Option<Suspension>, cx: &mut Cx<'_>) {
    instance.backup.suspension = suspension;
    let deadline = listening_ends(instance);
    arm(instance, deadline, cx.now);
}

/// No advert could be received, for an unknown time: as after a suspension.
pub(crate) fn not_receiving(instance: &mut Instance, cx: &mut Cx<'_>) {
    instance.stats.suspensions += 1;
    let suspension = Suspension { resumed: cx.now, late: None, absent: Duration::MAX };
    listen_after(instance, Some(suspension), cx);
}

/// Whether to obey a master of this priority. The first advert of a lower one starts `preempt_delay`, one that is not
/// lower ends it.
fn judge(instance: &mut Instance, priority: Priority, stamp: Timestamp, now: Timestamp) -> bool {
    if priority >= instance.priority() {
        instance.backup.endure_until = None;
        instance.timers.stop(Timer::PreemptDelay);
        return true;
    }
    // The owner preempts independently of the configuration (RFC 9568 §6.1).
    if instance.priority().is_owner() {
        return false;
    }
    if !instance.settings().preempt {
        return true;
    }
    let delay = instance.settings().preempt_delay;
    if delay.is_zero() {
        return false;
    }
    let until = *instance.backup.endure_until.get_or_insert(stamp + delay);
    if now < until {
        instance.timers.set(Timer::PreemptDelay, until);
    }
    now < until
}

fn obey(instance: &mut Instance, heard: &PeerAdvert, cx: &mut Cx<'_>) {
    notice_suspension(instance, cx.now);
    let last = instance.backup.master.map_or(heard.stamp, |master| master.heard.stamp.max(heard.stamp));
    instance.backup.master =
        Some(RemoteMaster { heard: PeerAdvert { stamp: last, ..*heard }, watched: true });
    instance.backup.note(heard.stamp);
    instance.backup.why_expiring = WhyExpiring::Silence;
    // Also for a master that is watched already: its advert became an event, so it differs from the watched one.
    cx.actions.push_back(Action::Watch(instance.id()));
    let deadline = deadline(instance, last, instance.master_down_interval());
    arm(instance, deadline, cx.now);
}

fn released(instance: &mut Instance, heard: &PeerAdvert, cx: &mut Cx<'_>) {
    notice_suspension(instance, cx.now);
    let skew = instance.skew();
    // Of a router that has wrongly been master beside ours: a living one adverts within its interval. One that comes
    // from a snapshot may have done so unheard.
    let is_obeyed = matches!(instance.backup.why_expiring, WhyExpiring::Silence);
    let master = instance.backup.master().filter(|it| is_obeyed && it.heard.source != heard.source);
    if let (Some(master), Some(current)) = (master, instance.timers.due(Timer::MasterDown)) {
        let latest = if master.watched { master.heard.stamp } else { instance.backup.armed };
        let next = latest + instance.master_interval().duration();
        let after = deadline(instance, next.max(heard.stamp), skew);
        arm(instance, current.min(after), cx.now);
        return;
    }
    // Every later master must be heard first.
    dismiss(instance, cx);
    instance.backup.note(heard.stamp);
    instance.backup.why_expiring = WhyExpiring::Released(*heard);
    let deadline = deadline(instance, heard.stamp, skew);
    arm(instance, deadline, cx.now);
}

/// A lower master is not obeyed: nothing is learned from it and the timer runs on.
fn overrule(instance: &mut Instance, heard: &PeerAdvert, cx: &mut Cx<'_>) {
    let is_ours = |master: &RemoteMaster| master.heard.source == heard.source;
    if instance.backup.master().is_some_and(is_ours) {
        instance.backup.note(heard.stamp);
        dismiss(instance, cx);
    }
    if !instance.watches() && matches!(instance.backup.why_expiring, WhyExpiring::Silence) {
        instance.backup.why_expiring = WhyExpiring::Overruled(*heard);
    }
}

/// The watched master may no longer be obeyed, because our priority changed or `preempt_delay` ended.
fn reconsider_master(instance: &mut Instance, cx: &mut Cx<'_>) {
    let Some(master) = instance.backup.master.filter(|master| master.watched) else { return };
    if !judge(instance, master.heard.priority, cx.now, cx.now) {
        dismiss(instance, cx);
        instance.backup.why_expiring = WhyExpiring::Overruled(master.heard);
    }
}

/// A lower master that was not obeyed may no longer be lower after a change of our priority. This is for a member whose
/// master-down timer has fired while the group is not ready.
fn reconsider_overruled(instance: &mut Instance, cx: &mut Cx<'_>) {
    let WhyExpiring::Overruled(heard) = instance.backup.why_expiring else { return };
    if judge(instance, heard.priority, heard.stamp, cx.now) {
        instance.backup.why_expiring = WhyExpiring::Silence;
        listen(instance, instance.master_down_interval(), cx);
    }
}

fn dismiss(instance: &mut Instance, cx: &mut Cx<'_>) {
    if instance.backup.unwatch() {
        cx.actions.push_back(Action::Unwatch(instance.id()));
    }
}

/// The deadline that follows from an advert: `span` after it. An advert from before a suspension proves nothing about
/// the time since.
fn deadline(instance: &Instance, stamp: Timestamp, span: Duration) -> Timestamp {
    let deadline = stamp + span;
    match instance.backup.suspension {
        Some(suspension) if stamp < suspension.resumed => deadline.max(listening_ends(instance)),
        _ => deadline,
    }
}

/// Until when a backup listens for a silent master after a suspension.
///
/// - One that was shorter than an interval hid one advert at most, and the silence before it counts. It listens for
///   half as long again: adverts that arrived meanwhile are read by then, and a master that was suspended with it has
///   sent.
/// - A longer one may have hidden all adverts since the last one that was heard. If the lease of that one has not
///   expired, its sender adverts within the rest of master_down_interval, and at once if it was suspended too.
/// - Otherwise the master may have been suspended for as long, and itself listens for less than two intervals before it
///   adverts. The skew keeps backups apart.
fn listening_ends(instance: &Instance) -> Timestamp {
    let Some(suspension) = instance.backup.suspension else { return instance.backup.armed };
    let interval = instance.master_interval();
    let lease = timing::lease(interval, instance.settings().down_timer_adverts);
    let is_silent = matches!(instance.backup.why_expiring, WhyExpiring::Silence);
    let master = instance.backup.master.filter(|_| is_silent);
    let settle = timing::suspension_threshold(interval);
    let is_entitled = master.is_some_and(|master| suspension.resumed + settle < master.heard.stamp + lease);
    let is_short = suspension.absent < interval.duration();
    let span = suspension.late.filter(|_| is_short || is_entitled).map(|late| (late / 2).max(settle));
    let longest = interval.duration() + instance.skew();
    let longest = if master.is_some() { longest + interval.duration() } else { longest };
    suspension.resumed + span.map_or(longest, |span| span.min(longest))
}

fn arm(instance: &mut Instance, deadline: Timestamp, now: Timestamp) {
    let interval = instance.master_interval();
    // Early enough to distinguish a suspension that ends here from one in which the master's lease expired too.
    let margin = interval.duration() + instance.skew().saturating_sub(timing::tick(interval));
    // After a suspension look for another one from the start.
    let resumed = instance.backup.suspension.map(|suspension| suspension.resumed);
    let heard_since = instance.backup.master.is_some_and(|it| resumed.is_none_or(|at| it.heard.stamp >= at));
    let suspicion = if resumed.is_none() || heard_since { deadline - margin } else { now };
    let tick = timing::tick(interval);
    let look = timing::in_step(if suspicion > now { suspicion } else { now + tick }, deadline, tick);
    let look = if look > now { look } else { look + tick };
    (instance.backup.armed, instance.backup.checks) = (now, None);
    instance.timers.set(Timer::MasterDown, deadline);
    if look < deadline {
        instance.timers.set(Timer::Suspect, look);
    } else {
        instance.timers.stop(Timer::Suspect);
    }
}

/// Detects a suspension before an input moves the timers: inputs are handled before timers, also overdue ones.
fn notice_suspension(instance: &mut Instance, now: Timestamp) -> bool {
    let due =
        [Timer::Suspect, Timer::MasterDown].into_iter().filter_map(|timer| instance.timers.due(timer)).min();
    let overdue = due.filter(|due| is_suspension(instance, *due, now));
    if let Some(due) = overdue {
        note_suspension(instance, due, now);
    }
    overdue.is_some()
}

fn is_suspension(instance: &Instance, due: Timestamp, now: Timestamp) -> bool {
    now.since(due) > timing::suspension_threshold(instance.master_interval())
}

fn note_suspension(instance: &mut Instance, due: Timestamp, now: Timestamp) {
    instance.stats.suspensions += 1;
    let settle = timing::suspension_threshold(instance.master_interval());
    let backup = &mut instance.backup;
    let (late, absent) = (now.since(due), backup.unchecked(settle, now));
    let earlier = backup.suspension.filter(|it| backup.latest.is_none_or(|latest| latest < it.resumed));
    let (late, absent) = earlier.map_or((Some(late), absent), |earlier| {
        (earlier.late.map(|before| before.saturating_add(late)), earlier.absent.saturating_add(absent))
    });
    backup.suspension = Some(Suspension { resumed: now, late, absent });
}
