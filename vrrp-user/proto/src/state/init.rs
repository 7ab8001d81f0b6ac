//! Init (RFC 9568 §6.4.1): nothing is sent and nothing is learned until the daemon is ready and every tracked object
//! has a first result.

use super::{Cx, go};
use crate::action::{Reason, State};
use crate::instance::Instance;

pub(crate) fn reconsider(instance: &mut Instance, cx: &mut Cx<'_>) {
    if !instance.may_leave_init() {
        return;
    }
    match instance.faults().reason() {
        Some(reason) => go(instance, State::Fault, reason, None, cx),
        None if instance.priority().is_owner() => go(instance, State::Master, Reason::Owner, None, cx),
        None => go(instance, State::Backup, Reason::Startup, None, cx),
    }
}
