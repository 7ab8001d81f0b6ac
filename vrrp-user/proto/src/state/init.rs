//! Init (RFC 9568 §6.4.1): nothing is sent and nothing is learned until the daemon is ready and every tracked object
//! has a first result.

use crate::action::{Reason, State};
use crate::context::Move;
use crate::instance::Instance;

/// Leaves Init, if it can. In a group, the group decides.
pub(crate) fn ends(instance: &Instance) -> Option<Move> {
    if instance.group.is_some() || !instance.may_leave_init() {
        return None;
    }
    Some(match instance.faults().reason() {
        Some(reason) => Move::new(State::Fault, reason),
        None if instance.priority().is_owner() => Move::new(State::Master, Reason::Owner),
        None => Move::new(State::Backup, Reason::Startup),
    })
}
