//! State of a router, as it passes from one daemon to the next.

use std::sync::Arc;

use vrrp_ebpf::time::Timestamp;

use crate::config::Config;
use crate::daemon::notify::hooks::notification::LeftHooks;
use crate::protocol::{Epoch, GroupId, InstanceId, InstanceSnapshot};

/// State of all instances and groups, by the numbers of one daemon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouterSnapshot {
    /// When the other daemon's engine has paused.
    pub taken: Timestamp,
    pub instances: Vec<(InstanceId, InstanceSnapshot)>,
    /// Names of instances in the other daemon, as far as it sends them.
    pub names: Vec<(InstanceId, Arc<str>)>,
    pub groups: Vec<(GroupId, Epoch)>,
    /// Rows of metrics that have been served, see [`InstanceRecord::kept_rows`]. The engine does not know them.
    ///
    /// [`InstanceRecord::kept_rows`]: crate::daemon::history::InstanceRecord::kept_rows
    pub rows: Vec<(InstanceId, Vec<String>)>,
    /// Hooks that the other daemon has not started, or that still run.
    pub(crate) hooks: Vec<LeftHooks>,
}

impl RouterSnapshot {
    /// Whether an instance has another name in this configuration.
    pub fn has_renamed(&self, config: &Config) -> bool {
        let is_renamed = |(id, name): &(InstanceId, Arc<str>)| {
            config.instance(*id).is_some_and(|instance| instance.settings.name != *name)
        };
        self.names.iter().any(is_renamed)
    }
}
