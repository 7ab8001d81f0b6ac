//! Planned handover: a master that leaves goes on serving its addresses until its heir does.
//!
//! Enters: the end of a mastership, adverts of others, the time. Leaves: [`Action::StopAnswering`] when the heir is
//! heard, [`Action::RemoveAddresses`] when it has had time to announce itself. Absent: states. A handover outlives the
//! mastership in whatever state comes after it, and ends early where the instance becomes master again.
//!
//! ```text
//! released ─► serving ── heir heard ──► settling ── its moment is over ──► removed
//!        ▲       ├─ skew and two intervals, nobody came ─────────────────────▲
//!        └───────┘ released again, twice
//! yielded ─────────────────────────────► settling
//! ```
//! A release that gets lost would have the heir wait for longer than the addresses are served. It begins its skew anew
//! with each that it hears (RFC 9568 §6.4.2), so they follow within a part of it, and cost nobody anything: the
//! addresses are served meanwhile.
//!
//! Nothing is left to serve where the instance cannot be reached any more, or where somebody else holds its addresses
//! by force; then they go at once, as with [`Order::Strict`].

use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::action::{Action, Reason, State};
use super::event::Heard;
use super::instance::Instance;
use super::settings::InstanceSettings;
use super::state::Turn;
use super::timers::Timer;
use super::units::Priority;

/// What comes first when a master leaves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Order {
    /// The heir takes the addresses, then they are removed.
    #[default]
    Overlap,
    /// The addresses are removed, then the heir takes them.
    Strict,
}

/// How far the handover of an instance is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Handover {
    /// There is none.
    #[default]
    Idle,
    /// The addresses are released and still served; nobody has taken them yet.
    Serving,
    /// The heir is there; the addresses stay for those who have not heard its announcement yet.
    Settling,
}

/// From the heir's first advert to the removal of the addresses, and how much longer for each of them: what an heir
/// needs to set and announce them, with much to spare.
const SETTLE: Duration = Duration::from_millis(50);
const SETTLE_EACH: Duration = Duration::from_micros(100);

/// How often a release is said again, while no heir is heard. The first may be lost, and so may one after it.
const AGAIN: u8 = 2;

/// Between two of them, as a part of the interval, and at most.
const AGAIN_PART: u32 = 8;
const AGAIN_MAX: Duration = Duration::from_millis(50);

/// Addresses that are released and served until an heir is heard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Serving {
    until: Timestamp,
    /// Releases that are still to be said.
    again: u8,
}

/// Nobody waits longer for an heir, whatever the interval: the end of the daemon waits for this.
const SERVE_MAX: Duration = Duration::from_secs(10);

/// A mastership has ended: says so where nobody is there to take over yet.
pub(super) fn begin(instance: &mut Instance, to: State, reason: Reason, turn: &mut Turn<'_>) {
    let has_heir = to == State::Backup && reason != Reason::GroupYielded;
    if !has_heir && instance.source().is_some() {
        turn.actions.push_back(Action::Advertise(instance.id(), Priority::RELEASE));
    }
    if instance.settings().handover == Order::Strict || !can_serve(reason) {
        remove(instance, turn);
    } else if has_heir {
        settle(instance, turn);
    } else {
        instance.handover = Handover::Serving;
        let again = if says_again(reason) { AGAIN } else { 0 };
        instance.serving = Serving { until: turn.now + patience(instance), again };
        await_heir(instance, turn);
    }
}

fn await_heir(instance: &mut Instance, turn: &Turn<'_>) {
    let Serving { until, again } = instance.serving;
    let due = if again > 0 { until.min(turn.now + pause(instance)) } else { until };
    instance.timers.set(Timer::Handover, due);
}

/// Somebody sends adverts: where the addresses are released, it is the heir.
pub(super) fn heard(instance: &mut Instance, heard: &Heard, turn: &mut Turn<'_>) {
    if instance.handover == Handover::Serving && heard.priority != Priority::RELEASE {
        settle(instance, turn);
    }
}

/// The heir's moment is over, or nobody came yet.
pub(super) fn fired(instance: &mut Instance, turn: &mut Turn<'_>) {
    let Serving { until, again } = instance.serving;
    if instance.handover != Handover::Serving || turn.now >= until {
        return abort(instance, turn);
    }
    if instance.source().is_some() {
        turn.actions.push_back(Action::Advertise(instance.id(), Priority::RELEASE));
    }
    instance.serving.again = again.saturating_sub(1);
    await_heir(instance, turn);
}

/// Ends a handover, if there is one, without its heir: nothing can be served any more, or nobody may wait.
pub(super) fn abort(instance: &mut Instance, turn: &mut Turn<'_>) {
    if instance.handover != Handover::Idle {
        forget(instance);
        remove(instance, turn);
    }
}

/// The instance is master again, with its addresses still there.
pub(super) fn forget(instance: &mut Instance) {
    instance.handover = Handover::Idle;
    instance.timers.stop(Timer::Handover);
}

/// Whether an instance that leaves for this reason can be reached until its heir is there.
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

/// Not where what is served has failed: each release that the heir hears would put its takeover off.
fn says_again(reason: Reason) -> bool {
    !matches!(reason, Reason::TrackDown | Reason::GroupFault)
}

fn settle(instance: &mut Instance, turn: &mut Turn<'_>) {
    turn.actions.push_back(Action::StopAnswering(instance.id(), instance.epoch));
    match settling_time(instance.settings()) {
        Duration::ZERO => {
            forget(instance);
            remove(instance, turn);
        }
        time => {
            instance.handover = Handover::Settling;
            instance.timers.set(Timer::Handover, turn.now + time);
        }
    }
}

/// The heir's advert moves a virtual MAC address to it at once: what is sent there does not come here any more, and
/// anything sent from here would move it back.
fn settling_time(settings: &InstanceSettings) -> Duration {
    if settings.vmacs.all().next().is_some() {
        return Duration::ZERO;
    }
    let count = u32::try_from(settings.addresses.all().count()).unwrap_or(u32::MAX);
    SETTLE.saturating_add(SETTLE_EACH.saturating_mul(count))
}

/// An heir waits for its skew after the last release that it has heard; it is another one than ours but by less than an
/// interval.
fn patience(instance: &Instance) -> Duration {
    let interval = instance.settings().advert_interval.duration();
    let releases = pause(instance).saturating_mul(AGAIN.into());
    instance.skew().saturating_add(interval.saturating_mul(2)).saturating_add(releases).min(SERVE_MAX)
}

fn pause(instance: &Instance) -> Duration {
    (instance.settings().advert_interval.duration() / AGAIN_PART).min(AGAIN_MAX)
}

fn remove(instance: &Instance, turn: &mut Turn<'_>) {
    turn.actions.push_back(Action::RemoveAddresses(instance.id(), instance.epoch));
}
