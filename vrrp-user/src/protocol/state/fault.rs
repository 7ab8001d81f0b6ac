//! Fault: kept out of the election; adverts are neither sent nor learned from. RFC 9568 has no such state; this is
//! its Init with a cause.

use super::{Turn, go};
use crate::protocol::action::{Reason, State};
use crate::protocol::instance::Instance;

pub(in crate::protocol) fn reconsider(instance: &mut Instance, turn: &mut Turn<'_>) {
    match instance.faults().reason() {
        // Another cause is no transition, but it is what keeps us here now.
        Some(reason) => instance.reason = Some(reason),
        None if instance.priority().is_owner() => go(instance, State::Master, Reason::Recovered, None, turn),
        None => go(instance, State::Backup, Reason::Recovered, None, turn),
    }
}
