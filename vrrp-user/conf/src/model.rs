//! Configuration, checked and resolved.

use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;

use super::check::{CheckTarget, Endpoint, HoldSettings};
use super::webhook::WebhookSettings;
use crate::{InstanceSettings, Route, Rule, VirtualAddress};
use vrrp_proto::{GroupSettings, InstanceId, TrackId, Weight};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub globals: Globals,
    /// In the order of the file.
    pub instances: Vec<Instance>,
    /// In the order of the file; a group's index is its [`vrrp_proto::GroupId`].
    pub groups: Vec<Group>,
    /// Checks that an instance tracks.
    pub checks: Vec<CheckSettings>,
    pub statics: Statics,
    /// Interfaces that an instance tracks, other than its own.
    pub tracked_interfaces: Vec<(TrackId, Arc<str>)>,
    /// Link delays by interface, from `interface_up_down_delays`.
    pub link_delays: Vec<(Arc<str>, LinkDelays)>,
}

/// Time that a link must be down, or up again, before the change counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LinkDelays {
    pub down: Duration,
    pub up: Duration,
}

impl Config {
    pub fn instance(&self, id: InstanceId) -> Option<&Instance> {
        // Until the first reload, ids equal positions.
        let in_place = self.instances.get(id.index()).filter(|instance| instance.id == id);
        in_place.or_else(|| self.instances.iter().find(|instance| instance.id == id))
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Globals {
    /// Name of this node in hooks and status; `None`: the host name.
    pub router_id: Option<Arc<str>>,
    /// Default user of scripts.
    pub script_user: Option<ScriptUser>,
    /// Refuse scripts run as root if another user may write to a part of their path.
    pub script_security: bool,
    /// From the start of the daemon to the first election.
    pub startup_delay: Duration,
    /// From the boot of the host to the first election.
    pub delay_after_boot: Duration,
    /// FIFOs that receive every change; no two have the same path.
    pub fifos: Vec<FifoSettings>,
    pub dumps: DumpSettings,
    /// After a reload, write all states to the FIFOs.
    pub fifo_states_on_reload: bool,
    pub firewall: FirewallSettings,
    /// Log adverts of virtual routers that are not configured.
    pub log_unknown_vrids: bool,
    /// Suppress IGMP reports for 224.0.0.0/24.
    pub silent_igmp: bool,
    pub process: ProcessSettings,
    /// `None` if no mail is sent.
    pub mail: Option<MailSettings>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its position in the file, from 0; after a reload, the number it had before. See [`super::succeed`].
    pub id: InstanceId,
    /// Shared with all that works by it.
    pub settings: Arc<InstanceSettings>,
    /// Instances that notify alike share it.
    pub notify: Arc<NotifySettings>,
    /// Keep the other addresses of a subnet on `interface` when the first one is removed.
    pub promote_secondaries: bool,
    /// In strict mode; its consequences are in the settings.
    pub is_strict: bool,
}

/// Addresses, routes and rules set at the start and removed at the end.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Statics {
    /// Each with its interface.
    pub addresses: Vec<(Arc<str>, VirtualAddress)>,
    pub routes: Vec<Route>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub settings: GroupSettings,
    pub notify: Arc<NotifySettings>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct NotifySettings {
    /// Run with exactly the arguments written, as the next three.
    pub master: Option<NotifyCommand>,
    pub backup: Option<NotifyCommand>,
    pub fault: Option<NotifyCommand>,
    pub stop: Option<NotifyCommand>,
    /// Run with four more arguments: `INSTANCE` or `GROUP`, name, state, priority (0 for a group).
    pub any: Option<NotifyCommand>,
    /// Report an instance that a reload removes as `DELETED`, not as `FAULT`.
    pub reports_deleted: bool,
    pub deleted: Option<NotifyCommand>,
    /// Run when a master receives an advert of a master with lower priority.
    pub lower: Option<NotifyCommand>,
    /// Write changes of the priority to the FIFOs.
    pub priority_changes: bool,
    /// Send mail, if a server is configured.
    pub mail: bool,
    /// Webhooks for changes of the state; no two are the same.
    pub webhooks: Vec<WebhookSettings>,
}

impl NotifySettings {
    /// The commands, by keyword.
    pub fn hooks(&mut self) -> [(&'static str, &mut Option<NotifyCommand>); 7] {
        [
            ("notify_master", &mut self.master),
            ("notify_backup", &mut self.backup),
            ("notify_fault", &mut self.fault),
            ("notify_stop", &mut self.stop),
            ("notify_deleted", &mut self.deleted),
            ("notify_master_rx_lower_pri", &mut self.lower),
            ("notify", &mut self.any),
        ]
    }

    /// Whether any command is run.
    pub fn has_hooks(&self) -> bool {
        let Self { master, backup, fault, stop, deleted, lower, any, .. } = self;
        [master, backup, fault, stop, deleted, lower, any].into_iter().any(Option::is_some)
    }
}

/// A FIFO that receives the changes of all instances.
#[derive(Clone, Debug, PartialEq)]
pub struct FifoSettings {
    pub path: Arc<str>,
    /// Owner if the daemon creates it; `None`: the daemon's user.
    pub user: Option<ScriptUser>,
    /// Reader of the FIFO; the path is its last argument.
    pub script: Option<NotifyCommand>,
}

/// Settings of the process. All except `reload_file` take effect at the start of the daemon only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessSettings {
    /// Nice value of engine and effect thread; `None`: inherited.
    pub nice: Option<i8>,
    /// SCHED_FIFO priority of the engine.
    pub realtime: Option<u8>,
    /// CPUs of engine and effect thread; empty: all.
    pub cpus: Vec<usize>,
    /// Longest time that one of them may run as a real-time thread without blocking.
    pub unbroken: Option<Duration>,
    pub name: Option<Arc<str>>,
    pub umask: Option<u32>,
    /// Scripts of another user run with all groups of that user.
    pub supplementary_groups: bool,
    /// Run before the start, and after the end.
    pub startup: Option<LifecycleScript>,
    pub shutdown: Option<LifecycleScript>,
    /// File that exists while a reload reads the configuration.
    pub reload_file: Option<Arc<str>>,
    /// Name of this daemon, if several run.
    pub instance: Option<Arc<str>>,
    /// Pid files without a configured path are in a folder of their own.
    pub pid_folder: bool,
    /// Dump files have the name of this daemon in theirs.
    pub dumps_by_instance: bool,
}

/// A command that the daemon waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct LifecycleScript {
    pub command: NotifyCommand,
    /// Longest run time; then the command is terminated.
    pub limit: Duration,
}

/// Settings for mail about changes.
#[derive(Clone, Debug, PartialEq)]
pub struct MailSettings {
    /// A name is resolved again for each connection.
    pub server: Endpoint,
    /// At least one.
    pub to: Vec<Mailbox>,
    /// `None`: the daemon's user at this host.
    pub from: Option<Mailbox>,
    /// Name in the greeting; `None`: the host's name.
    pub helo: Option<Arc<str>>,
    /// Longest time for each step: connection, greeting, encryption, transfer of a mail.
    pub patience: Duration,
    /// Send mail about FAULT too.
    pub faults: bool,
    /// Send mail about rejected peers too.
    pub rejections: bool,
}

/// Files written on a signal. By default they are in `TMPDIR`, else in /tmp, under keepalived's names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DumpSettings {
    pub state: Option<Arc<str>>,
    pub stats: Option<Arc<str>>,
    pub json: Option<Arc<str>>,
    /// `json_version 2`: the list of instances is inside an object.
    pub nested_json: bool,
}

impl DumpSettings {
    /// The paths that are set.
    pub fn paths(&self) -> impl Iterator<Item = &Arc<str>> {
        [&self.state, &self.stats, &self.json].into_iter().flatten()
    }
}

/// nftables rules for instances with `no_accept`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FirewallSettings {
    /// Table of the family inet, owned by the daemon.
    pub table: Arc<str>,
    /// Priority of its chains.
    pub priority: i32,
    pub counters: bool,
}

impl Default for FirewallSettings {
    fn default() -> Self {
        Self { table: "vrrpx".into(), priority: -1, counters: false }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct NotifyCommand {
    pub command: ScriptCommand,
    pub user: Option<ScriptUser>,
}

/// A command line as written.
#[derive(Clone, Debug, PartialEq)]
pub enum ScriptCommand {
    /// Program and arguments, run directly.
    Direct(Vec<Arc<str>>),
    /// A line for a shell, run with `/bin/sh -c`: `</FILE` asks whether the file can be opened.
    Shell(Arc<str>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ScriptUser {
    pub name: Arc<str>,
    pub group: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CheckSettings {
    pub id: TrackId,
    pub name: Arc<str>,
    pub target: CheckTarget,
    /// Time between two starts; for a target that notifies its changes, between two polls.
    pub interval: Duration,
    /// A run or poll that lasts longer has failed.
    pub timeout: Duration,
    /// Default weight.
    pub weight: Weight,
    pub reverse: bool,
    /// Results in a row that change the state.
    pub rise: u32,
    pub fall: u32,
    pub user: Option<ScriptUser>,
    /// Counts as failed until `rise` good results.
    pub init_fail: bool,
    pub hold: HoldSettings,
}
