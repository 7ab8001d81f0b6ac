//! Inputs of a node's turn.

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{ConfigurationChanges, Event, InstanceId, InstanceSnapshot};

/// Inputs of other threads.
#[derive(Debug)]
pub(crate) enum Input {
    Event(Event),
    Reconfigure(ConfigurationChanges<()>),
    /// Another process is about to replace this one.
    Pause,
    GoOn,
    /// From a state that was taken at that time.
    Restore(Vec<(InstanceId, InstanceSnapshot)>, Timestamp),
}
