//! The status document: what `vrrpx status --json` prints.

use serde::{Deserialize, Serialize};

use super::services::{Check, DisabledScript, Fifo, Hook, Mail, SlowHook, Webhook};

/// Version of the schema, `vrrp-user/dist/status.schema.json`.
pub const SCHEMA: u32 = 1;

/// State of the daemon, as `vrrpx status --json` prints it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Status {
    /// Version of the schema: another one if a field is removed or changes its meaning. Fields may be added.
    #[serde(default)]
    pub schema: u32,
    pub node: Node,
    pub configuration: Configuration,
    pub engine: Engine,
    pub fence: Fence,
    pub interfaces: Vec<Interface>,
    pub instances: Vec<Instance>,
    /// Addresses that instances have left and that could not be removed before a reload removed the instances; they are
    /// tried again. Older daemons do not send them.
    #[serde(default)]
    pub leftovers: Vec<Leftover>,
    /// Static addresses, routes and rules; older daemons do not send them.
    #[serde(default)]
    pub statics: StaticSettings,
    pub groups: Vec<Group>,
    pub checks: Vec<Check>,
    #[serde(default)]
    pub disabled_scripts: Vec<DisabledScript>,
    /// Files that cannot be written; older daemons do not send them.
    #[serde(default)]
    pub unwritten: Vec<UnwrittenFile>,
    /// What the daemon cannot mend on this host: things of killed daemons that stay, a firewall that refuses, an
    /// address for metrics that cannot be bound, and memory that is not locked. It tries again;
    /// older daemons do not send them.
    #[serde(default)]
    pub host_faults: Vec<HostFault>,
    pub unknown_routers: Vec<UnknownRouter>,
    /// Those of `notify_fifo` and `vrrp_notify_fifo`; older daemons do not send them.
    #[serde(default)]
    pub fifos: Vec<Fifo>,
    /// `None` if no mail is sent about changes.
    pub mail: Option<Mail>,
    pub webhooks: Vec<Webhook>,
}

/// An unknown router on the wire, neither ours nor a peer: its VRID is not configured here, or it uses CARP.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct UnknownRouter {
    pub interface: String,
    /// 0 without a tag.
    pub vlan: u16,
    /// `ipv4` or `ipv6`.
    pub family: String,
    pub vrid: u8,
    /// `carp`, `vrrp2`, `vrrp3`, or `unknown` for any other version.
    pub kind: String,
    /// Source of the latest advert.
    pub source: String,
    pub adverts: u64,
    pub last_advert_seconds: f64,
}

/// A difference between a peer's adverts and ours.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Differing {
    pub peer: String,
    /// `addresses`, `interval` or `owner`.
    pub what: String,
    /// Text for the operator.
    pub detail: String,
}

/// A router whose adverts are refused although they are for the instance, or that has one of its addresses under
/// another VRID.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Rejected {
    /// Sender of the latest of these adverts.
    pub peer: String,
    /// The reject's word, `other_vrid` or `duplicate_address`.
    pub reason: String,
    /// Text for the operator.
    pub detail: String,
    pub last_advert_seconds: f64,
}

/// Either the program or the sockets of this host miss adverts that the other one receives.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ReceptionFault {
    /// `program` or `host`.
    #[serde(alias = "who")]
    pub receiver: String,
    /// Text for the operator.
    pub detail: String,
}

/// The configuration in use.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Configuration {
    /// When it was read, RFC 3339 in UTC.
    pub loaded: String,
    /// Successful reloads, and refused ones.
    pub reloads: u64,
    pub refused: u64,
    /// Since when the file is not in use.
    pub stale_since: Option<String>,
    /// Why: `refused` by a reload, `refused_at_start`, or a reload was `not_kept`.
    #[serde(default)]
    pub stale_cause: Option<String>,
    /// Findings of the refused file, one each.
    pub findings: Vec<String>,
    /// When the latest reload is undone, unless it is kept.
    #[serde(default)]
    pub keep_by: Option<String>,
    /// Lines of the file that are left out, as keepalived does, and on which the election may depend.
    #[serde(default)]
    pub left_out: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Node {
    pub router_id: String,
    /// It keeps the states between the stop and the start of a restart.
    #[serde(default)]
    pub is_bridge: bool,
    pub version: String,
    pub pid: u32,
    /// Now, RFC 3339 in UTC.
    pub time: String,
    pub uptime_seconds: f64,
    /// Whether the engine runs in the real-time class; `None` before that is known.
    pub realtime: Option<bool>,
    pub memory_locked: Option<bool>,
    /// Why there is no real-time scheduling, and what that costs.
    pub realtime_note: Option<String>,
    /// The log level or filter that an operator has set.
    #[serde(default)]
    pub log: Option<Steering>,
}

/// Protection in case the daemon is killed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Fence {
    /// Process id of the guard, which then removes the addresses; `None` if there is none.
    pub guard: Option<u32>,
    /// Why it would not do so now, and what to do.
    #[serde(default)]
    pub guard_fault: Option<String>,
    /// Whether addresses without a lease are then no longer answered for, even before the guard has removed them.
    pub pinned: bool,
    /// Why not.
    pub note: Option<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Engine {
    /// How often the engine woke up.
    pub turns: u64,
    /// How often it detected that this node had been suspended.
    pub suspensions: u64,
    /// Failed netlink requests and announcements.
    pub effect_errors: u64,
    pub lateness: Lateness,
}

/// How late the engine's timer fired. Quantiles are upper bounds of a bucket; `None` without a sample, or beyond the
/// last bound.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Lateness {
    pub count: u64,
    pub p50_microseconds: Option<u64>,
    pub p99_microseconds: Option<u64>,
    pub max_microseconds: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Interface {
    pub name: String,
    /// The receive path: `native`, `tcx`, `tc`, `generic`, `socket` or `none`.
    pub receive_path: String,
    /// Why there is no better one.
    pub why: Option<String>,
    /// Another XDP program that keeps adverts from this node; older daemons do not send it.
    #[serde(default)]
    pub hidden_by: Option<XdpProgram>,
}

/// An XDP program that is not ours.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct XdpProgram {
    pub id: u32,
    /// As the kernel keeps it: 15 bytes; empty if it has none.
    pub name: String,
}

/// Something that the daemon cannot mend on this host.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct HostFault {
    /// `nftables`, `tc`, or a killed daemon with its runtime directory.
    pub about: String,
    /// Text for the operator: the fault, and what to do.
    pub detail: String,
}

/// A file whose latest write failed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct UnwrittenFile {
    /// Its name in the state directory or the runtime directory.
    pub file: String,
    pub error: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Instance {
    pub name: String,
    pub interface: String,
    /// Interfaces with virtual MAC addresses; that of the instance's own addresses first.
    pub vmacs: Vec<Vmac>,
    pub vrid: u8,
    /// `ipv4` or `ipv6`.
    pub family: String,
    pub version: u8,
    /// `INIT`, `BACKUP`, `MASTER` or `FAULT`.
    pub state: String,
    /// Reason of the latest transition.
    pub reason: String,
    /// Why it is in this state now, for people.
    pub why: String,
    /// Causes of Fault that hold now, in the words of `reason`.
    pub faults: Vec<String>,
    /// Wall-clock time of the latest transition, RFC 3339 in UTC.
    pub since: Option<String>,
    pub since_seconds: Option<f64>,
    /// Number of the present mastership, raised by every transition.
    pub epoch: u64,
    pub priority: PriorityPair,
    /// Orders of operators that are in force.
    #[serde(default)]
    pub steering: Vec<Steering>,
    pub advert_interval_seconds: f64,
    /// Intervals of a master that master_down_interval has, besides the skew.
    pub down_timer_adverts: u8,
    /// Time for which its addresses are still answered for if it sends no more adverts; `None` without a lease.
    pub lease_seconds: Option<f64>,
    /// Without a lease, ARP requests and neighbour solicitations for any of its addresses are dropped.
    pub fenced: bool,
    /// The peer whose adverts count while backup; `None` while master, or when none is heard.
    pub master: Option<String>,
    /// As backup: time left until it becomes master if no advert comes, by its master-down timer. `None` in other
    /// states, and while it waits for the other members of its sync group.
    #[serde(default)]
    pub takes_over_seconds: Option<f64>,
    /// As backup: rest of `preempt_delay`, after which it takes over from the lower master; `None` if none runs.
    #[serde(default)]
    pub preempts_seconds: Option<f64>,
    pub peers: Vec<Peer>,
    pub differences: Vec<Differing>,
    /// Routers whose adverts are refused at present.
    pub rejected: Vec<Rejected>,
    /// The lower master that is heard while this is master, and has not yielded in three intervals.
    #[serde(default)]
    pub unyielding: Option<Unyielding>,
    /// The receiver on this host that misses adverts; `None` if program and sockets receive the same.
    pub reception_fault: Option<ReceptionFault>,
    pub addresses: Vec<Address>,
    /// The process that removed an address, route or rule of it in the last ten seconds, if the kernel named it.
    pub removed_by: Option<String>,
    /// Objects that it could not set, as master, and retries.
    pub lacks: Vec<Lacking>,
    /// Addresses that it has left and that could not be removed; they are tried again.
    #[serde(default)]
    pub leftovers: Vec<Lacking>,
    /// Another process keeps removing routes and rules; they are not set again until the next takeover or reload.
    pub paths_left_alone: bool,
    /// Why adverts cannot be sent at present.
    pub send_error: Option<String>,
    /// What drops them, if the kernel shows it.
    #[serde(default)]
    pub send_error_cause: Option<String>,
    pub tracks: Vec<Tracked>,
    pub hooks: Vec<Hook>,
    /// The hook that runs for longer than five seconds.
    #[serde(default)]
    pub slow_hook: Option<SlowHook>,
    pub counters: Counts,
    /// Latest last.
    pub history: Vec<PastTransition>,
}

/// A lower master that does not yield.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Unyielding {
    pub peer: String,
    /// What to look at.
    pub detail: String,
}

/// An order of an operator.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Steering {
    /// `maintenance`, `failover`, `priority` or `log`.
    pub what: String,
    /// The base priority, or the log level.
    pub value: Option<String>,
    /// RFC 3339 in UTC; `None`: until it is taken back.
    pub until: Option<String>,
    pub seconds_left: Option<f64>,
    /// The user, as the kernel knows it.
    pub by: String,
    pub reason: Option<String>,
}

/// A virtual address.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Address {
    /// With its prefix length.
    pub address: String,
    /// Whether it is set on its interface; `None`: the kernel did not say.
    pub set: Option<bool>,
    /// Its interface, if it is set there.
    pub interface: Option<String>,
    /// Announcements of it that have left since this daemon started: gratuitous ARP, unsolicited neighbour
    /// advertisements.
    #[serde(default)]
    pub announcements: u64,
    /// Time since the latest one; `None` before the first one.
    #[serde(default)]
    pub announced_seconds: Option<f64>,
    /// Whether this host answers ARP requests or neighbour solicitations for it, by what the daemon knows without
    /// sending any: the address, the fence, the interface and its settings. `None`: that does not tell.
    #[serde(default)]
    pub answered: Option<bool>,
    /// Why not, or why it is not known.
    #[serde(default)]
    pub answered_why: Option<String>,
}

/// An address, route or rule that is not set.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Lacking {
    pub object: String,
    /// The kernel's error.
    pub error: String,
}

/// An address that a removed instance has left.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Leftover {
    pub instance: String,
    pub object: String,
    /// The kernel's error.
    pub error: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Vmac {
    pub interface: String,
    pub parent: String,
    pub mac: String,
    /// Why it is missing.
    pub missing: Option<String>,
}

/// A sync group.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Group {
    pub name: String,
    /// State of all members: `INIT`, `BACKUP`, `MASTER` or `FAULT`.
    pub state: String,
    /// Reason of the member that moved the others.
    pub reason: String,
    /// Wall-clock time of the latest transition, RFC 3339 in UTC.
    pub since: Option<String>,
    pub since_seconds: Option<f64>,
    /// Raised by every transition of the group.
    pub epoch: u64,
    /// Names of instances.
    pub members: Vec<String>,
    pub hooks: Vec<Hook>,
    /// The hook that runs for longer than five seconds.
    #[serde(default)]
    pub slow_hook: Option<SlowHook>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct PriorityPair {
    pub configured: u8,
    /// Including the weights of what is tracked.
    pub effective: u8,
}

/// A sender of valid adverts, from the maps.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Peer {
    pub address: String,
    pub priority: u8,
    pub version: u8,
    pub advert_interval_seconds: Option<f64>,
    /// `pseudo` or `plain`; see the checksum of RFC 9568 §5.2.8.
    pub checksum: String,
    pub adverts: u64,
    pub last_advert_seconds: f64,
    /// Smoothed difference of successive gaps.
    pub jitter_seconds: f64,
    pub gap_max_seconds: f64,
    /// How far its clock is ahead of ours, if its adverts are signed.
    pub clock_skew_seconds: Option<f64>,
    /// The skew is more than half of the window beyond which its adverts are refused.
    pub clock_skew_alarm: bool,
    /// Mean of the gaps; `None` without one.
    #[serde(default)]
    pub gap_mean_seconds: Option<f64>,
    /// Its adverts that came in the last interval of master_down_interval, while this node was its backup.
    #[serde(default)]
    pub near_misses: u64,
    /// Gaps between adverts of one mastership; empty buckets are left out.
    pub gaps: Vec<Gaps>,
}

/// How many gaps were shorter than a bound, and not shorter than half of it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Gaps {
    /// `None` in the last bucket.
    pub below_seconds: Option<f64>,
    pub count: u32,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Tracked {
    pub name: String,
    /// `script`, `process`, `file` or `interface`.
    pub kind: String,
    pub weight: i16,
    pub reverse: bool,
    /// `None` before the first result.
    pub up: Option<bool>,
    /// Its part of the effective priority; `None` before the first result.
    #[serde(default)]
    pub adds: Option<i32>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Counts {
    pub adverts_sent: u64,
    /// Those with priority 0.
    pub releases_sent: u64,
    #[serde(default)]
    pub releases_received: u64,
    pub send_errors: u64,
    pub announcements_sent: u64,
    /// Valid adverts of others.
    pub adverts_received: u64,
    /// Lower masters heard while master.
    pub contests: u64,
    /// For how long they, and masters whose adverts are refused, were heard.
    pub dual_master_seconds: f64,
    pub takeover_seconds: Option<f64>,
    /// Counters of the program or the socket, by word; zeros are left out.
    pub received: Vec<Count>,
    /// Refused adverts by reason; zeros are left out.
    pub rejects: Vec<Count>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Count {
    pub word: String,
    pub count: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PastTransition {
    pub at: String,
    pub from: String,
    pub to: String,
    pub reason: String,
    pub priority: u8,
    pub epoch: u64,
    pub peer: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct StaticSettings {
    /// Those that could not be set.
    pub lacks: Vec<Lacking>,
    /// Another process keeps removing routes or rules; they are not set again until the next reload.
    pub paths_left_alone: bool,
}
