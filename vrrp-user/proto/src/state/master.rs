//! Master (RFC 9568 §6.4.3): sends adverts, answers lower masters, yields to better ones.

use core::net::IpAddr;
use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::data::Master;
use super::{fault, heir, suspended};
use crate::action::{Action, Announcement, Missing, State};
use crate::context::{Cx, Move};
use crate::election;
use crate::event::{Loss, PeerAdvert};
use crate::handover;
use crate::instance::Instance;
use crate::removals::{RemovalCounter, RemovalResponse};
use crate::settings::ElectionSettings;
use crate::timers::Timer;
use crate::timing;
use crate::units::Priority;

/// Least time between two answers, or the interval, if shorter. Every advert may be forged, and answers amplify them.
pub(super) const ANSWER_PAUSE: Duration = Duration::from_millis(100);

/// Least time between two sets of announcements for lower masters; one for every advert would be a storm.
const CONTEST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn enter(instance: &mut Instance, heard: Option<&PeerAdvert>, cx: &mut Cx<'_>) {
    instance.master = Master::default();
    handover::forget(instance);
    advertise(instance, cx);
    cx.actions.push_back(Action::AddAddresses(instance.id(), instance.epoch));
    let settings = instance.settings().announce;
    // Adding the addresses announces each once.
    announce(instance, settings.repeat.saturating_sub(1), cx);
    announce_after_delay(instance, cx.now);
    refresh(instance, cx.now);
    heir::enter(instance, heard, cx);
}

/// Continues from the snapshot of another process: the next advert is due at the same time.
pub(crate) fn restore(instance: &mut Instance, advert: Timestamp, until: Timestamp, cx: &mut Cx<'_>) {
    instance.master = Master::default();
    instance.master.entitled_until = Some(until);
    instance.master.advertised = Some(advert - instance.settings().advert_interval.duration());
    instance.timers.set(Timer::Advert, advert);
    // The second set, if it is still due.
    let settings = instance.settings().announce;
    let again = instance.since + settings.delay;
    if settings.repeat > 0 && again > cx.now {
        instance.timers.set(Timer::AnnounceAgain, again);
    }
    refresh(instance, cx.now);
}

pub(crate) fn heard(instance: &mut Instance, heard: &PeerAdvert, cx: &mut Cx<'_>) -> Option<Move> {
    let is_refused = core::mem::take(&mut instance.master.refused);
    heir::met(instance);
    if suspended::notice(instance, cx) {
        return suspended::heard(instance, heard);
    }
    if heard.priority == Priority::RELEASE {
        instance.stats.contests += 1;
        answer_release(instance, cx);
    } else if let Some(reason) = election::yields_to(instance.priority(), instance.source(), heard) {
        // Clients may have got answers of this one while the other was master: this advert makes it announce again.
        if instance.settings().higher_prio_send_advert {
            advertise(instance, cx);
        }
        return Some(Move { to: State::Backup, reason, heard: Some(*heard) });
    } else if is_refused && instance.master.rivalled.is_some() {
        // A lower master that does not yield to our advert does not hear us, and has the addresses too.
        fault::hold_refused(instance, heard);
        return fault::begins(instance);
    } else {
        contested(instance, heard, cx);
    }
    None
}

pub(crate) fn asked(instance: &mut Instance, cx: &mut Cx<'_>) {
    heir::asked(instance, cx);
}

/// Puts removed objects back. If another process keeps removing them, addresses are a Fault, while routes and rules are
/// left to it.
pub(crate) fn lost(
    instance: &mut Instance,
    loss: Loss,
    addresses: &[IpAddr],
    cx: &mut Cx<'_>,
) -> Option<Move> {
    // Taking over again puts everything back.
    if suspended::notice(instance, cx) {
        return None;
    }
    let verdict = match loss {
        Loss::Address => {
            let counters = &mut instance.master.addresses_lost;
            let noted = addresses.iter().map(|it| counters.entry(*it).or_default().note(cx.now));
            noted.max().unwrap_or(RemovalResponse::PutBack)
        }
        Loss::Path => instance.master.paths_lost.note(cx.now),
        Loss::Flushed | Loss::Shared | Loss::Order => RemovalResponse::PutBack,
    };
    match (verdict, loss) {
        (RemovalResponse::PutBack, _) => {
            let paths = instance.master.paths_lost.verdict() == RemovalResponse::PutBack;
            cx.actions.push_back(Action::PutBack(instance.id(), instance.epoch, Missing { loss, paths }));
        }
        (RemovalResponse::GiveUp, Loss::Address) => {
            instance.hold_taken_away();
            return fault::begins(instance);
        }
        (RemovalResponse::GiveUp, _) => cx.actions.push_back(Action::ReportAbandoned(instance.id())),
        (RemovalResponse::Leave, _) => {}
    }
    None
}

/// After a reload: sets missing objects, also routes and rules that had been left to another process.
pub(crate) fn renew(instance: &mut Instance, cx: &mut Cx<'_>) -> Option<Move> {
    instance.master.paths_lost = RemovalCounter::default();
    lost(instance, Loss::Flushed, &[], cx)
}

/// Sends a lowered priority at once: this is how a failed check hands over. A raised one does not change the master and
/// goes out with the next advert.
pub(crate) fn reprioritised(instance: &mut Instance, old: Priority, cx: &mut Cx<'_>) {
    if instance.priority() < old {
        advertise(instance, cx);
    }
}

/// Other settings: changes that other routers can see are sent at once. New addresses are announced when they are set,
/// and again after the delay.
pub(crate) fn reconfigured(
    instance: &mut Instance,
    old: &ElectionSettings,
    has_new_addresses: bool,
    priority: Priority,
    cx: &mut Cx<'_>,
) {
    // Setting objects again removes them first.
    (instance.master.addresses_lost, instance.master.paths_lost) = Default::default();
    let new = instance.settings();
    let (announce, speaks_alike) = (new.announce, new.speaks_like(old));
    if !speaks_alike || instance.priority() != priority {
        advertise(instance, cx);
    }
    if has_new_addresses {
        announce_after_delay(instance, cx.now);
    }
    if (announce.refresh, announce.refresh_repeat) != (old.announce.refresh, old.announce.refresh_repeat) {
        refresh(instance, cx.now);
    }
}

/// Has the second set follow.
fn announce_after_delay(instance: &mut Instance, now: Timestamp) {
    let settings = instance.settings().announce;
    if !settings.delay.is_zero() && settings.repeat > 0 {
        instance.timers.set(Timer::AnnounceAgain, now + settings.delay);
    }
}

fn refresh(instance: &mut Instance, now: Timestamp) {
    let settings = instance.settings().announce;
    if !settings.refresh.is_zero() && settings.refresh_repeat > 0 {
        instance.timers.set(Timer::AnnounceRefresh, now + settings.refresh);
    } else {
        instance.timers.stop(Timer::AnnounceRefresh);
    }
}

pub(crate) fn fired(instance: &mut Instance, timer: Timer, due: Timestamp, cx: &mut Cx<'_>) -> Option<Move> {
    if timer == Timer::Resume {
        return suspended::fired(instance, due, cx);
    }
    if suspended::notice(instance, cx) {
        return None;
    }
    let settings = instance.settings().announce;
    match timer {
        Timer::Advert => say_in_turn(instance, due, cx),
        Timer::AnnounceAgain => announce(instance, settings.repeat, cx),
        Timer::AnnounceContest => announce(instance, settings.lower_prio_repeat, cx),
        Timer::FollowContest => {
            instance.master.contest_followed = Some(cx.now);
            announce(instance, settings.lower_prio_repeat, cx);
        }
        Timer::AnnounceRefresh => {
            instance.timers.set(timer, timing::following(due, settings.refresh, cx.now));
            announce(instance, settings.refresh_repeat, cx);
        }
        Timer::MasterDown
        | Timer::Suspect
        | Timer::PreemptDelay
        | Timer::Reclaim
        | Timer::Handover
        | Timer::Resume => {}
    }
    None
}

/// Sends the advert if it is due. Returns when the next one is; `None` for any other instance, and for one that was
/// suspended, or whose adverts wait for that to end.
pub(crate) fn sustain(instance: &mut Instance, cx: &mut Cx<'_>) -> Option<Timestamp> {
    let due = instance.timers.due(Timer::Advert).filter(|_| instance.state() == State::Master)?;
    instance.entitled_until().filter(|until| *until > cx.now)?;
    if due <= cx.now {
        say_in_turn(instance, due, cx);
    }
    instance.timers.due(Timer::Advert)
}

/// A lower master was heard. Hosts that followed it must learn again who has the addresses.
fn contested(instance: &mut Instance, heard: &PeerAdvert, cx: &mut Cx<'_>) {
    if heir::is_farewell(instance, heard) {
        return;
    }
    instance.stats.contests += 1;
    note_rival(instance, heard);
    if !instance.settings().lower_prio_no_advert {
        answer(instance, cx);
    }
    if announce_contest(instance, cx) {
        cx.actions.push_back(Action::ReportContest(instance.id(), heard.source));
    }
}

/// Adds the time between two adverts of a lower master, unless one was due between them and missed.
fn note_rival(instance: &mut Instance, heard: &PeerAdvert) {
    let before = instance.master.rivalled.replace(heard.stamp);
    let span = before.map_or(Duration::ZERO, |before| heard.stamp.since(before));
    if span <= 2 * heard.interval.duration() {
        instance.stats.rivalled += span;
    }
}

/// Announces all addresses, because of another master that lost against us or against a member of our group. False if
/// they were announced for that just before.
pub(crate) fn announce_contest(instance: &mut Instance, cx: &mut Cx<'_>) -> bool {
    if !is_over(instance.master.contest_announced, CONTEST_PAUSE, cx.now) {
        follow_contest(instance, cx.now);
        return false;
    }
    instance.master.contest_announced = Some(cx.now);
    let settings = instance.settings().announce;
    announce(instance, settings.lower_prio_repeat, cx);
    let is_waiting = instance.timers.due(Timer::AnnounceContest).is_some();
    if !is_waiting && settings.lower_prio_repeat > 0 && !settings.lower_prio_delay.is_zero() {
        instance.timers.set(Timer::AnnounceContest, cx.now + settings.lower_prio_delay);
    }
    true
}

/// The other master may have answered clients since the addresses were announced: announces them once more, soon.
fn follow_contest(instance: &mut Instance, now: Timestamp) {
    let is_waiting = instance.timers.due(Timer::FollowContest).is_some();
    if !is_waiting && instance.settings().announce.lower_prio_repeat > 0 {
        let earliest = instance.master.contest_followed.map_or(now, |last| last + CONTEST_PAUSE);
        instance.timers.set(Timer::FollowContest, earliest.max(now + ANSWER_PAUSE));
    }
}

/// Sends an advert at once, within the rate limit. A withheld answer leaves the timer as it is.
fn answer(instance: &mut Instance, cx: &mut Cx<'_>) {
    let pause = instance.settings().advert_interval.duration().min(ANSWER_PAUSE);
    if is_over(instance.master.answered, pause, cx.now) {
        instance.master.answered = Some(cx.now);
        advertise(instance, cx);
    } else {
        instance.stats.answers_withheld += 1;
    }
}

/// Answers a release at once, or, if the last answer was just before, after the pause between two releases: a backup
/// that has heard this one takes over after its skew, which an answer to the one before does not end.
fn answer_release(instance: &mut Instance, cx: &mut Cx<'_>) {
    let due = instance.master.answered.map_or(cx.now, |last| last + handover::pause(instance));
    if due <= cx.now {
        instance.master.answered = Some(cx.now);
        advertise(instance, cx);
        return;
    }
    instance.stats.answers_withheld += 1;
    if instance.timers.due(Timer::Advert).is_some_and(|advert| due < advert) {
        instance.master.answered = Some(due);
        instance.timers.set(Timer::Advert, due);
    }
}

/// Sends an advert now; the next one follows after a whole interval.
pub(super) fn advertise(instance: &mut Instance, cx: &mut Cx<'_>) {
    if suspended::notice(instance, cx) {
        return;
    }
    say(instance, cx);
    instance.timers.set(Timer::Advert, cx.now + instance.settings().advert_interval.duration());
}

fn say_in_turn(instance: &mut Instance, due: Timestamp, cx: &mut Cx<'_>) {
    let period = instance.settings().advert_interval.duration();
    say(instance, cx);
    instance.timers.set(Timer::Advert, timing::following(due, period, cx.now));
}

fn say(instance: &mut Instance, cx: &mut Cx<'_>) {
    cx.actions.push_back(Action::Advertise(instance.id(), instance.priority()));
    instance.master.entitled_until = Some(cx.now + instance.settings().lease());
    instance.master.advertised = Some(cx.now);
}

/// Announces all addresses, now and after the delay: behind a link that has just come up, a switch may not forward yet.
pub(crate) fn announce_again(instance: &mut Instance, cx: &mut Cx<'_>) {
    if !suspended::notice(instance, cx) {
        announce(instance, instance.settings().announce.repeat.max(1), cx);
        announce_after_delay(instance, cx.now);
    }
}

fn announce(instance: &Instance, repeat: u32, cx: &mut Cx<'_>) {
    if repeat > 0 {
        let announcement = Announcement { epoch: instance.epoch, repeat };
        cx.actions.push_back(Action::Announce(instance.id(), announcement));
    }
}

fn is_over(start: Option<Timestamp>, pause: Duration, now: Timestamp) -> bool {
    start.is_none_or(|start| now.since(start) >= pause)
}
