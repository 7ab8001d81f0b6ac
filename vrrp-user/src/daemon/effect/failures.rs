//! Failures within one command: the first one, and their number.

use std::io;

use crate::daemon::queue::Object;
use crate::driver::netlink::refusal::NetlinkError;
use crate::protocol::InstanceId;

#[derive(Debug, Default)]
pub(super) struct Failures {
    first: Option<(InstanceId, Object, NetlinkError)>,
    count: u64,
}

impl Failures {
    pub(super) fn note(&mut self, id: InstanceId, object: Object, refusal: NetlinkError) {
        self.first.get_or_insert((id, object, refusal));
        self.count += 1;
    }

    /// Netlink itself failed: at this object, or at another one of the same send.
    pub(super) fn note_failure(&mut self, id: InstanceId, object: Object, error: &io::Error) {
        self.note(id, object, error.into());
    }

    pub(super) fn first(&self) -> Option<(InstanceId, Object, NetlinkError)> {
        self.first.clone()
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}
