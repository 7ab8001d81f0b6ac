//! A Master and the one before it, which may not know that it has an heir.
//!
//! A machine whose hypervisor pauses it stands still with its clock. When it goes on, its lease is as long as before, and
//! it answers for the addresses beside its heir until one of them hears the other. Adverts that have waited for it in a
//! queue are heard at once; where the queue was full before the heir sent any, it would take up to an interval.
//!
//! So an heir that has taken over from silence says that it is master whenever it is asked for an address. The other one
//! was asked as well, by the same broadcast, and hears the advert right behind it.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::master::{self, ANSWER_PAUSE};
use super::{Turn, away};
use crate::protocol::action::{Action, Reason};
use crate::protocol::event::Heard;
use crate::protocol::instance::Instance;

/// For how long the one that fell silent is expected back.
const EXPECTED: Duration = Duration::from_secs(300);

/// Between two adverts of which the later one is sent because of a question. A shorter interval needs none of these.
const ASKED_PAUSE: Duration = Duration::from_millis(20);

/// What an heir remembers of the master before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heir {
    /// It fell silent, and may come back until then.
    expected_until: Option<Timestamp>,
    /// It was heard all the while, as a lower master, until this one took over.
    overruled: Option<IpAddr>,
}

pub(super) fn enter(instance: &mut Instance, heard: Option<&Heard>, turn: &mut Turn<'_>) {
    instance.master.heir = match instance.reason {
        Some(Reason::MasterSilent) => Heir { expected_until: Some(turn.now + EXPECTED), overruled: None },
        Some(Reason::Preempted) => Heir { expected_until: None, overruled: heard.map(|heard| heard.source) },
        _ => Heir::default(),
    };
    heed(instance, turn.now + ASKED_PAUSE, turn);
}

/// Another master is heard: both know of each other.
pub(super) fn met(instance: &mut Instance) {
    instance.master.heir.expected_until = None;
}

/// Whether this is the advert with which the lower master leaves, which this one has taken over from before its very eyes.
/// It has heard our first advert then, and the addresses are being announced.
pub(super) fn is_farewell(instance: &Instance, heard: &Heard) -> bool {
    let pause = instance.settings().advert_interval.duration().min(ANSWER_PAUSE);
    instance.master.heir.overruled == Some(heard.source) && heard.stamp.since(instance.since) <= pause
}

/// The one before it may be asked too, and answer.
pub(super) fn asked(instance: &mut Instance, turn: &mut Turn<'_>) {
    if away::notice(instance, turn) {
        return;
    }
    let latest = instance.master.advertised.unwrap_or_default();
    let next = latest + ASKED_PAUSE;
    if next > turn.now {
        return heed(instance, next, turn);
    }
    if is_expecting(instance, turn.now) {
        master::advertise(instance, turn);
    }
    heed(instance, turn.now + ASKED_PAUSE, turn);
}

fn heed(instance: &Instance, from: Timestamp, turn: &mut Turn<'_>) {
    if is_expecting(instance, turn.now) && instance.settings().advert_interval.duration() > ASKED_PAUSE {
        turn.actions.push_back(Action::Heed(instance.id(), from));
    }
}

fn is_expecting(instance: &Instance, now: Timestamp) -> bool {
    instance.master.heir.expected_until.is_some_and(|until| now < until)
}
