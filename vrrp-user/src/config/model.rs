//! A whole configuration, checked and resolved.

use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;

use super::check::{CheckTarget, Endpoint, HoldSettings};
use super::webhook::WebhookSettings;
use crate::protocol::{
    GroupSettings, InstanceId, InstanceSettings, Route, Rule, TrackId, VirtualAddress, Weight,
};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub globals: Globals,
    /// In the order of the file.
    pub instances: Vec<Instance>,
    /// In the order of the file; a group's index is its [`crate::protocol::GroupId`].
    pub groups: Vec<Group>,
    /// Checks that some instance tracks.
    pub checks: Vec<CheckSettings>,
    pub statics: Statics,
    /// Interfaces that some instance tracks, beside its own.
    pub tracked_interfaces: Vec<(TrackId, Arc<str>)>,
    /// Of interfaces that bounce.
    pub link_delays: Vec<(Arc<str>, LinkDelays)>,
}

/// How long a link must be down, or up again, before that counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LinkDelays {
    pub down: Duration,
    pub up: Duration,
}

impl Config {
    pub fn instance(&self, id: InstanceId) -> Option<&Instance> {
        // Without a reload in between, everyone is in his place.
        let in_place = self.instances.get(id.index()).filter(|instance| instance.id == id);
        in_place.or_else(|| self.instances.iter().find(|instance| instance.id == id))
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Globals {
    /// Name of this node in hooks and status; the host name where it is not set.
    pub router_id: Option<Arc<str>>,
    /// Who runs scripts that name no user themselves.
    pub script_user: Option<ScriptUser>,
    /// Refuse scripts run as root when somebody else may write to a part of their path.
    pub script_security: bool,
    /// From the start of the daemon to the first election.
    pub startup_delay: Duration,
    /// From the boot of the machine to the first election.
    pub delay_after_boot: Duration,
    /// Told every change; no two have the same path.
    pub fifos: Vec<FifoSettings>,
    pub dumps: DumpSettings,
    /// Tell FIFOs after a reload where everyone stands.
    pub fifo_states_on_reload: bool,
    pub firewall: FirewallSettings,
    /// Log adverts of virtual routers that are not configured.
    pub log_unknown_vrids: bool,
    /// No IGMP reports for 224.0.0.0/24.
    pub silent_igmp: bool,
    pub process: ProcessSettings,
    /// `None` where no mail is sent.
    pub mail: Option<MailSettings>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its place in the file, from 0; after a reload, the number that it has kept. See [`super::succeed`].
    pub id: InstanceId,
    pub settings: InstanceSettings,
    pub notify: NotifySettings,
    /// The kernel is to keep the other addresses of a subnet of `interface` when the first one goes.
    pub promote_secondaries: bool,
    /// In strict mode; what follows from that is in the settings.
    pub is_strict: bool,
}

/// Set at the start and removed at the end.
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
    pub notify: NotifySettings,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct NotifySettings {
    /// Run with exactly the arguments written.
    pub master: Option<NotifyCommand>,
    pub backup: Option<NotifyCommand>,
    pub fault: Option<NotifyCommand>,
    pub stop: Option<NotifyCommand>,
    /// Run with four more arguments: `INSTANCE` or `GROUP`, name, state, priority, which is 0 for a group.
    pub any: Option<NotifyCommand>,
    /// An instance that a reload removes is told as `DELETED`, not as `FAULT`.
    pub tell_deleted: bool,
    pub deleted: Option<NotifyCommand>,
    /// Run when a lower master is heard while master.
    pub lower: Option<NotifyCommand>,
    /// FIFOs are told of changes of the priority.
    pub priority_changes: bool,
    /// Mail is sent, where there is a server for it.
    pub mail: bool,
    /// Told of changes of the state; no two are the same.
    pub webhooks: Vec<WebhookSettings>,
}

impl NotifySettings {
    /// Whether any command is run.
    pub fn has_hooks(&self) -> bool {
        let Self { master, backup, fault, stop, deleted, lower, any, .. } = self;
        [master, backup, fault, stop, deleted, lower, any].into_iter().any(Option::is_some)
    }
}

/// A FIFO for the changes of all instances.
#[derive(Clone, Debug, PartialEq)]
pub struct FifoSettings {
    pub path: Arc<str>,
    /// Who owns it where the daemon makes it; the daemon itself where not set.
    pub user: Option<ScriptUser>,
    /// Reads it; the path is its last argument.
    pub script: Option<NotifyCommand>,
}

/// The process itself. All but `reload_file` counts from the start of the daemon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessSettings {
    /// Nice value of engine and effect thread; that of the daemon where not set.
    pub nice: Option<i8>,
    /// SCHED_FIFO priority of the engine.
    pub realtime: Option<u8>,
    /// CPUs of engine and effect thread; all where empty.
    pub cpus: Vec<usize>,
    /// Longest time that one of them may compute as a real-time thread without waiting for anything.
    pub unbroken: Option<Duration>,
    pub name: Option<Arc<str>>,
    pub umask: Option<u32>,
    /// Scripts of another user get all groups of that user.
    pub supplementary_groups: bool,
    /// Run before the start, and after the end.
    pub startup: Option<Errand>,
    pub shutdown: Option<Errand>,
    /// Is there while a reload reads the configuration.
    pub reload_file: Option<Arc<str>>,
    /// Name of this daemon among several.
    pub instance: Option<Arc<str>>,
    /// Pid files that are not named are in a folder of their own.
    pub pid_folder: bool,
    /// The name of this daemon is part of the names of dump files.
    pub dumps_by_instance: bool,
}

/// A command that is waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct Errand {
    pub command: NotifyCommand,
    /// It is ended after this time.
    pub limit: Duration,
}

/// How mail about changes is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct MailSettings {
    /// A name is looked up anew for each connection.
    pub server: Endpoint,
    /// At least one.
    pub to: Vec<Mailbox>,
    /// The user of the daemon at the host where not set.
    pub from: Option<Mailbox>,
    /// What the server is greeted with; the host's name where not set.
    pub helo: Option<Arc<str>>,
    /// Longest time for each step: to connect, to greet, to encrypt, to hand over a mail.
    pub patience: Duration,
    /// Mail is sent about FAULT too.
    pub faults: bool,
    /// Mail is sent about refused peers too.
    pub rejections: bool,
}

/// Files written on a signal; where no path is set they are in `TMPDIR`, else in /tmp, under keepalived's names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DumpSettings {
    pub state: Option<Arc<str>>,
    pub stats: Option<Arc<str>>,
    pub json: Option<Arc<str>>,
    /// `json_version 2`: the list of instances within an object.
    pub nested_json: bool,
}

impl DumpSettings {
    /// Those that are set.
    pub fn paths(&self) -> impl Iterator<Item = &Arc<str>> {
        [&self.state, &self.stats, &self.json].into_iter().flatten()
    }
}

/// nftables rules for instances whose addresses do not answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FirewallSettings {
    /// Of the family inet; the daemon's own.
    pub table: Arc<str>,
    /// Of its chains.
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
    /// Anything that needs a shell, handed to `/bin/sh -c`.
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
    /// Between two starts, or between two looks at what tells of its changes itself.
    pub interval: Duration,
    /// A run, or a look, that lasts longer has failed.
    pub timeout: Duration,
    /// Weight for instances that name none themselves.
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
