//! Planned handover: a master that leaves serves its addresses until its heir does.
//!
//! Enters: the end of a mastership, adverts of others, the time. Leaves: [`Action::StopAnswering`] when the heir is
//! heard, [`Action::RemoveAddresses`] when it has had time to announce itself. Absent: states. A handover continues in
//! the state that follows the mastership, and ends early if the instance becomes master again.
//!
//! ```text
//! released ─► serving ── heir heard ──► settling ── settling time over ──► removed
//!        ▲       ├─ skew and two intervals without an heir ──────────────────▲
//!        └───────┘ released again, twice
//! yielded ─────────────────────────────► settling
//! ```
//! After a lost release the heir would wait for longer than the addresses are served, so the release is repeated. The
//! heir restarts its skew with each one that it hears (RFC 9568 §6.4.2): the repeats follow within a part of it, and
//! cost no outage, because the addresses are served meanwhile.
//!
//! The heirs of a sync group take over together, so its members serve together: as long as the one that waits longest.
//!
//! If the instance cannot be reached any more, or another process keeps removing its addresses, there is nothing to
//! serve: the addresses go at once, as with [`Order::Strict`].

use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::action::{Action, Reason, State};
use super::context::Cx;
use super::event::PeerAdvert;
use super::instance::Instance;
use super::settings::{ElectionSettings, Order};
use super::timers::Timer;
use super::units::Priority;

/// Progress of an instance's handover.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Handover {
    /// No handover.
    #[default]
    Idle,
    /// The addresses are released and still served; no heir is heard yet.
    Serving,
    /// The heir is there; the addresses stay for hosts that have not received its announcement yet.
    Settling,
}

/// Time from the heir's first advert to the removal of the addresses, and the time added for each of them: ample for an
/// heir to set and announce them.
const SETTLE: Duration = Duration::from_millis(50);
const SETTLE_EACH: Duration = Duration::from_micros(100);

/// Repeats of a release while no heir is heard. The first may be lost, and so may one after it.
const AGAIN: u8 = 2;

/// Pause between two releases: this fraction of the interval, and at most.
const AGAIN_PART: u32 = 8;
const AGAIN_MAX: Duration = Duration::from_millis(50);

/// Addresses that are released and served until an heir is heard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Serving {
    until: Timestamp,
    /// Releases still to be sent.
    again: u8,
}

/// Longest wait for an heir, whatever the interval: the daemon's shutdown waits for it.
const SERVE_MAX: Duration = Duration::from_secs(10);

/// A mastership has ended: sends priority 0 if there is no heir yet. One whose adverts are refused has heard another
/// master; a release would reach other backups only, and one of them may take over before it hears that master.
pub(super) fn begin(instance: &mut Instance, to: State, reason: Reason, cx: &mut Cx<'_>) {
    let has_heir = reason == Reason::Refused
        || to == State::Backup && !matches!(reason, Reason::GroupYielded | Reason::HandedOver);
    if !has_heir && instance.source().is_some() {
        cx.actions.push_back(Action::Advertise(instance.id(), Priority::RELEASE));
    }
    if instance.settings().handover == Order::Strict || !can_serve(reason) {
        remove(instance, cx);
    } else if has_heir {
        settle(instance, cx);
    } else {
        instance.handover = Handover::Serving;
        let again = if says_again(reason) { AGAIN } else { 0 };
        instance.serving = Serving { until: cx.now + patience(instance), again };
        await_heir(instance, cx);
    }
}

/// When it ceases to serve, if no heir is heard.
pub(super) fn serves_until(instance: &Instance) -> Option<Timestamp> {
    (instance.handover == Handover::Serving).then_some(instance.serving.until)
}

/// When a group of heirs has this member's part at the latest, after a mastership that has ended before or at `now`: as
/// long as it serves, or, if its release cannot have arrived, once a heir has waited in vain.
pub(super) fn heir_due(instance: &Instance, now: Timestamp) -> Option<Timestamp> {
    let is_silent = instance.state() == State::Fault
        && instance.since() == now
        && instance.reason().is_some_and(|reason| !can_serve(reason));
    // As in `patience`, a heir's skew differs from ours by less than an interval.
    let wait = instance.master_down_interval().saturating_add(instance.settings().advert_interval.duration());
    serves_until(instance).or_else(|| is_silent.then(|| now + wait.min(SERVE_MAX)))
}

/// Serves for longer, if it serves, and has the lease for that: no heir takes over before its group does.
pub(super) fn serve_until(instance: &mut Instance, until: Timestamp, cx: &mut Cx<'_>) {
    if instance.handover == Handover::Serving {
        if until > instance.serving.until {
            cx.actions.push_back(Action::ProlongLease(instance.id(), until));
        }
        instance.serving.until = until;
        await_heir(instance, cx);
    }
}

fn await_heir(instance: &mut Instance, cx: &Cx<'_>) {
    let Serving { until, again } = instance.serving;
    let due = if again > 0 { until.min(cx.now + pause(instance)) } else { until };
    instance.timers.set(Timer::Handover, due);
}

/// Another router sends adverts: after a release, it is the heir.
pub(super) fn heard(instance: &mut Instance, heard: &PeerAdvert, cx: &mut Cx<'_>) {
    if instance.handover == Handover::Serving && heard.priority != Priority::RELEASE {
        settle(instance, cx);
    }
}

/// The settling time is over, or no heir is heard yet.
pub(super) fn fired(instance: &mut Instance, cx: &mut Cx<'_>) {
    let Serving { until, again } = instance.serving;
    if instance.handover != Handover::Serving || cx.now >= until {
        return abort(instance, cx);
    }
    if instance.source().is_some() {
        cx.actions.push_back(Action::Advertise(instance.id(), Priority::RELEASE));
    }
    instance.serving.again = again.saturating_sub(1);
    await_heir(instance, cx);
}

/// Ends a handover, if there is one, without its heir: nothing can be served any more, or waiting is over.
pub(super) fn abort(instance: &mut Instance, cx: &mut Cx<'_>) {
    if instance.handover != Handover::Idle {
        forget(instance);
        remove(instance, cx);
    }
}

/// The instance is master again, with its addresses still there.
pub(super) fn forget(instance: &mut Instance) {
    instance.handover = Handover::Idle;
    instance.timers.stop(Timer::Handover);
}

/// Whether an instance that leaves for this reason can serve its addresses until its heir is there.
pub(super) fn can_serve(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::LinkDown
            | Reason::NoSource
            | Reason::NoPeer
            | Reason::TakenAway
            | Reason::Refused
            | Reason::Removed
    )
}

/// Whether the release is repeated. Not if the service has failed: each release that the heir hears restarts its skew
/// and delays its takeover.
fn says_again(reason: Reason) -> bool {
    !matches!(reason, Reason::TrackDown | Reason::GroupFault)
}

fn settle(instance: &mut Instance, cx: &mut Cx<'_>) {
    cx.actions.push_back(Action::StopAnswering(instance.id(), instance.epoch));
    match settling_time(instance.settings()) {
        Duration::ZERO => {
            forget(instance);
            remove(instance, cx);
        }
        time => {
            instance.handover = Handover::Settling;
            instance.timers.set(Timer::Handover, cx.now + time);
        }
    }
}

/// How long the addresses stay once the heir is heard. Zero with a virtual MAC address, which the heir's advert moves
/// to it at once: frames no longer arrive here, and a frame sent from here would move it back.
fn settling_time(settings: &ElectionSettings) -> Duration {
    if settings.has_virtual_mac {
        return Duration::ZERO;
    }
    let count = u32::try_from(settings.advertised.len() + settings.excluded).unwrap_or(u32::MAX);
    SETTLE.saturating_add(SETTLE_EACH.saturating_mul(count))
}

/// How long to serve without an heir. An heir waits for its skew after the last release that it hears; that differs
/// from ours by less than an interval.
fn patience(instance: &Instance) -> Duration {
    let interval = instance.settings().advert_interval.duration();
    let releases = pause(instance).saturating_mul(AGAIN.into());
    instance.skew().saturating_add(interval.saturating_mul(2)).saturating_add(releases).min(SERVE_MAX)
}

/// Between two releases of a router with the same interval.
pub(super) fn pause(instance: &Instance) -> Duration {
    (instance.settings().advert_interval.duration() / AGAIN_PART).min(AGAIN_MAX)
}

fn remove(instance: &Instance, cx: &mut Cx<'_>) {
    cx.actions.push_back(Action::RemoveAddresses(instance.id(), instance.epoch));
}
