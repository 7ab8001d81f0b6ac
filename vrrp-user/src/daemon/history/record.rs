//! Records of instances, groups and the host.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use vrrp_ebpf::time::Timestamp;

use super::delivery::{HookRun, RunningHook};
use crate::daemon::events::Event;
use crate::daemon::host::reception::ReceptionFault;
use crate::daemon::queue::Lack;
use crate::daemon::reload::StaleConfiguration;
use crate::driver::RxPath;
use crate::driver::netlink::removed_by::RemovedBy;
use crate::protocol::Transition;

#[derive(Clone, Debug, Default)]
pub struct InstanceRecord {
    /// Transitions of earlier runs, latest last.
    pub earlier: Vec<Arc<Event>>,
    /// Latest last.
    pub history: VecDeque<PastTransition>,
    /// Wall-clock time of the latest transition, that of an earlier daemon included.
    pub since: Option<SystemTime>,
    /// Another process keeps removing routes and rules, and they are not set again.
    pub is_abandoned: bool,
    /// Times that it became master, and that it ceased to be master.
    pub became_master: u64,
    pub released_master: u64,
    /// Made when it is first changed.
    rare: Option<Box<RareRecord>>,
}

/// What most instances never have. Part of an [`InstanceRecord`], apart from its memory.
#[derive(Clone, Debug, Default)]
pub struct RareRecord {
    /// The latest run of each hook, by its keyword.
    pub hooks: BTreeMap<&'static str, HookRun>,
    /// The hook that runs.
    pub running_hook: Option<RunningHook>,
    /// Lower master heard last while master.
    pub contest: Option<IpAddr>,
    /// Lower master that has had the time to yield, and is heard.
    pub unyielding: Option<IpAddr>,
    /// When something of it was removed last, and the process that did, if known.
    pub removed: Option<(Timestamp, RemovedBy)>,
    /// Objects that it could not set, as master, and retries.
    pub lacks: Box<[Lack]>,
    /// Addresses that it has left and that could not be removed.
    pub leftovers: Box<[Lack]>,
    /// Its name when it left them.
    pub left_as: Box<str>,
    /// Time and errno of the latest failed send.
    pub send_failure: Option<(Timestamp, i32)>,
    /// Its reception fault.
    pub reception_fault: Option<ReceptionFault>,
    /// Rows of metrics that were once served, here or by the daemon before, and stay although they may be 0.
    pub kept_rows: BTreeSet<String>,
}

impl Deref for InstanceRecord {
    type Target = RareRecord;

    fn deref(&self) -> &RareRecord {
        static NONE: LazyLock<RareRecord> = LazyLock::new(RareRecord::default);
        self.rare.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for InstanceRecord {
    fn deref_mut(&mut self) -> &mut RareRecord {
        self.rare.get_or_insert_default()
    }
}

/// A sync group.
#[derive(Clone, Debug, Default)]
pub struct GroupRecord {
    /// Wall-clock time of the latest transition.
    pub since: Option<SystemTime>,
    /// The latest run of each hook, by its keyword.
    pub hooks: BTreeMap<&'static str, HookRun>,
    /// The hook that runs.
    pub running_hook: Option<RunningHook>,
}

/// A transition and its wall-clock time.
#[derive(Clone, Copy, Debug)]
pub struct PastTransition {
    pub transition: Transition,
    pub at: SystemTime,
}

/// Static addresses, routes and rules.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StaticRecord {
    /// Objects that could not be set.
    pub lacks: Vec<Lack>,
    /// Another process keeps removing routes and rules, and they are not set again.
    pub is_abandoned: bool,
}

/// The receive path of an interface, and why it is not a better one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RxPathNote {
    pub rx_path: RxPath,
    pub why: String,
}

/// Why an interface that is not there has no receive path.
pub const NOT_FOUND: &str = "interface not found";

/// Outcome of real-time scheduling.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Realtime {
    pub scheduled: bool,
    pub memory_locked: bool,
    /// What is missing, and what that costs; empty if nothing is.
    pub why: String,
}

/// Loads of the configuration file.
#[derive(Clone, Debug, Default)]
pub struct ConfigurationLoads {
    /// When the configuration in use was read; the start of the daemon if it was not reloaded.
    pub at: Option<SystemTime>,
    pub reloaded: u64,
    pub refused: u64,
    /// Set while the file is not in use: it was refused, or its reload was undone.
    pub stale: Option<StaleConfiguration>,
    /// When the reload is undone unless it is kept.
    pub keep_by: Option<SystemTime>,
    /// Lines of the file in use that are left out, and on which the election may depend.
    pub left_out: Vec<String>,
}

impl ConfigurationLoads {
    /// Whether the configuration was loaded after this time.
    pub fn since(&self, time: SystemTime) -> bool {
        self.at.is_some_and(|at| at > time)
    }
}
