//! Objects that status and metrics are read from.

use std::sync::Arc;

use vrrp_ebpf::time::Timestamp;

use crate::config::{self, Config};
use crate::daemon::history::{History, SUMS};
use crate::daemon::live::{LiveInstance, LiveState};
use crate::driver::maps::Maps;

/// Everything that status and metrics are read from.
#[derive(Clone, Debug)]
pub struct DaemonContext {
    pub config: Arc<Config>,
    pub live: Arc<LiveState>,
    pub maps: Arc<Maps>,
    pub history: Arc<History>,
    /// Name of this node: `router_id`, or the host's name.
    pub router_id: Arc<str>,
    /// When the daemon started.
    pub started: Timestamp,
    /// What instances had counted, in the sums of all, that reloads have removed.
    pub gone: [u64; SUMS],
}

impl DaemonContext {
    /// The instances in the order of the file, each with its live state.
    pub fn instances(&self) -> impl Iterator<Item = (&config::Instance, &LiveInstance)> {
        let live = |instance: &config::Instance| self.live.instances.get(instance.id.index());
        self.config.instances.iter().filter_map(move |instance| Some((instance, live(instance)?)))
    }
}
