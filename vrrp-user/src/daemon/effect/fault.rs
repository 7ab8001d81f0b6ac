//! What went wrong within one command: the first fault, and how many.

use std::io;

use crate::daemon::queue::Object;
use crate::protocol::InstanceId;

#[derive(Debug, Default)]
pub(super) struct Faults {
    first: Option<(InstanceId, Object, i32)>,
    count: u64,
}

impl Faults {
    pub(super) fn note(&mut self, id: InstanceId, object: Object, errno: i32) {
        self.first.get_or_insert((id, object, errno));
        self.count += 1;
    }

    /// Netlink itself failed at this one, or at another one of its send.
    pub(super) fn note_failure(&mut self, id: InstanceId, object: Object, error: &io::Error) {
        self.note(id, object, error.raw_os_error().unwrap_or(libc::EIO));
    }

    pub(super) fn first(&self) -> Option<(InstanceId, Object, i32)> {
        self.first
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}
