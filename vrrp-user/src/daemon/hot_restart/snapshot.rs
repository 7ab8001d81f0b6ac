//! State of a router, as it passes from one daemon to the next.

use crate::protocol::{Epoch, GroupId, InstanceId, InstanceSnapshot};

/// State of all instances and groups, by the numbers of one daemon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouterSnapshot {
    pub instances: Vec<(InstanceId, InstanceSnapshot)>,
    pub groups: Vec<(GroupId, Epoch)>,
    /// Rows of metrics that have been served, see [`InstanceRecord::kept_rows`]. The engine does not know them.
    ///
    /// [`InstanceRecord::kept_rows`]: crate::daemon::history::InstanceRecord::kept_rows
    pub rows: Vec<(InstanceId, Vec<String>)>,
}
