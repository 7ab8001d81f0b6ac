//! A new Master and the silent one before it, which may return without knowing that it has an heir.
//!
//! The clock of a machine stops while its hypervisor pauses it. When the machine resumes, its lease is as long as
//! before, and it answers for the addresses beside its heir until one of them hears the other. It hears adverts that
//! have waited in a queue at once; if the queue was full before the heir sent any, that takes up to an interval.
//!
//! Therefore an heir that has taken over from a silent master sends an advert at each ARP request or neighbour
//! solicitation for an address. The other one received the same broadcast, and hears the advert directly behind it.

use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::data::Heir;
use super::master::{self, ANSWER_PAUSE};
use super::suspended;
use crate::action::{Action, Reason};
use crate::context::Cx;
use crate::event::PeerAdvert;
use crate::instance::Instance;

/// How long the silent master is expected back.
const EXPECTED: Duration = Duration::from_secs(300);

/// Least time between an advert and the next one that is sent because of a request. With a shorter advert interval no
/// request needs one.
const ASKED_PAUSE: Duration = Duration::from_millis(20);

pub(super) fn enter(instance: &mut Instance, heard: Option<&PeerAdvert>, cx: &mut Cx<'_>) {
    instance.master.heir = match instance.reason {
        Some(Reason::MasterSilent) => Heir { expected_until: Some(cx.now + EXPECTED), overruled: None },
        Some(Reason::Preempted) => Heir { expected_until: None, overruled: heard.map(|heard| heard.source) },
        _ => Heir::default(),
    };
    heed(instance, cx.now + ASKED_PAUSE, cx);
}

/// Another master is heard: it is no longer expected.
pub(super) fn met(instance: &mut Instance) {
    instance.master.heir.expected_until = None;
}

/// Whether this is the last advert of the lower master that this one has just preempted. That master has heard our
/// first advert then, and the addresses are being announced.
pub(super) fn is_farewell(instance: &Instance, heard: &PeerAdvert) -> bool {
    let pause = instance.settings().advert_interval.duration().min(ANSWER_PAUSE);
    instance.master.heir.overruled == Some(heard.source) && heard.stamp.since(instance.since) <= pause
}

/// An address was requested: the master before may have received the request too, and answer it.
pub(super) fn asked(instance: &mut Instance, cx: &mut Cx<'_>) {
    if suspended::notice(instance, cx) {
        return;
    }
    let latest = instance.master.advertised.unwrap_or_default();
    let next = latest + ASKED_PAUSE;
    if next > cx.now {
        return heed(instance, next, cx);
    }
    if is_expecting(instance, cx.now) {
        master::advertise(instance, cx);
    }
    heed(instance, cx.now + ASKED_PAUSE, cx);
}

fn heed(instance: &Instance, from: Timestamp, cx: &mut Cx<'_>) {
    if is_expecting(instance, cx.now) && instance.settings().advert_interval.duration() > ASKED_PAUSE {
        cx.actions.push_back(Action::Heed(instance.id(), from));
    }
}

fn is_expecting(instance: &Instance, now: Timestamp) -> bool {
    instance.master.heir.expected_until.is_some_and(|until| now < until)
}
