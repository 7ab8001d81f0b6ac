//! Drafts, which hold a file as written: those of blocks whose rows are in several files.

use std::net::IpAddr;
use std::ops::Range;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use vrrp_ebpf::wire::{ChecksumForm, Family};
use vrrp_proto::Order;

use super::super::check::{CheckTarget, Damping, Endpoint, Matching};
use super::super::model::{
    DumpSettings, FirewallSettings, LinkDelays, NotifyCommand, NotifySettings, ScriptUser,
};
use super::super::source::{At, Position};
use super::super::webhook::WebhookSettings;
use super::address::AddressDraft;
use super::auth::AuthDraft;
use super::hmac::HmacDraft;
use super::rule::RuleDraft;
use super::track::TrackDraft;
use crate::{ExtraAnnounce, Route};

/// A whole configuration, as written.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) globals: GlobalsDraft,
    pub(crate) scripts: Vec<ScriptDraft>,
    pub(crate) instances: Vec<InstanceDraft>,
    pub(crate) static_addresses: Vec<AddressDraft>,
    pub(crate) static_routes: Vec<Route>,
    pub(crate) static_rules: Vec<RuleDraft>,
    pub(crate) groups: Vec<GroupDraft>,
    pub(crate) link_delays: Vec<(At<Arc<str>>, LinkDelays)>,
}

#[derive(Debug, Default)]
pub(crate) struct GlobalsDraft {
    /// Files that the daemon writes, makes or removes.
    pub(crate) written: Vec<Written>,
    pub(crate) router_id: Option<At<Arc<str>>>,
    pub(crate) script_user: Option<ScriptUser>,
    pub(crate) script_security: bool,
    pub(crate) version: Option<At<i64>>,
    pub(crate) announce: AnnounceDraft,
    pub(crate) garp_interval: Option<At<Duration>>,
    pub(crate) gna_interval: Option<At<Duration>>,
    pub(crate) min_garp: bool,
    pub(crate) lower_prio_no_advert: bool,
    pub(crate) higher_prio_send_advert: Option<bool>,
    pub(crate) down_timer_adverts: Option<At<i64>>,
    pub(crate) checksum_as_v2: bool,
    pub(crate) group4: Option<At<IpAddr>>,
    pub(crate) group6: Option<At<IpAddr>>,
    pub(crate) startup_delay: Option<At<Duration>>,
    pub(crate) delay_after_boot: Option<At<Duration>>,
    pub(crate) fifo: FifoDraft,
    pub(crate) vrrp_fifo: FifoDraft,
    pub(crate) notify_priority_changes: bool,
    pub(crate) dumps: DumpSettings,
    pub(crate) default_interface: Option<At<Arc<str>>>,
    pub(crate) fifo_states_on_reload: bool,
    pub(crate) vmac_prefixes: PrefixesDraft,
    pub(crate) policies: PoliciesDraft,
    /// `disable_local_igmp`.
    pub(crate) silent_igmp: bool,
    pub(crate) mail: MailDraft,
    pub(crate) webhooks: Vec<WebhookDraft>,
    pub(crate) daemon: DaemonDraft,
}

/// A file of the daemon's: by which keyword, and its path.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) keyword: &'static str,
    pub(crate) path: At<Arc<str>>,
}

/// One FIFO as written: name and script are separate keywords, in any order.
#[derive(Debug, Default)]
pub(crate) struct FifoDraft {
    pub(super) path: Option<At<Arc<str>>>,
    pub(super) user: Option<ScriptUser>,
    pub(super) script: Option<At<NotifyCommand>>,
}

/// Keywords for the process, as written.
#[derive(Debug, Default)]
pub(crate) struct DaemonDraft {
    pub(super) nice: Option<i8>,
    pub(super) realtime: Option<u8>,
    pub(super) cpus: Vec<usize>,
    pub(super) unbroken: Option<Duration>,
    /// `vrrp_process_name`; takes precedence over `process_name`, and that over `process_names`.
    pub(super) vrrp_name: Option<Arc<str>>,
    pub(super) name: Option<Arc<str>>,
    pub(super) keepalived_name: bool,
    pub(super) umask: Option<u32>,
    pub(super) supplementary_groups: bool,
    pub(super) startup: ErrandDraft,
    pub(super) shutdown: ErrandDraft,
    pub(super) reload_file: Option<Arc<str>>,
    pub(super) instance: Option<Arc<str>>,
    pub(super) pid_folder: bool,
    pub(super) dumps_by_instance: bool,
}

#[derive(Debug, Default)]
pub(super) struct ErrandDraft {
    pub(super) command: Option<NotifyCommand>,
    pub(super) limit: Option<Duration>,
}

/// Keywords for mail, as written.
#[derive(Debug, Default)]
pub(crate) struct MailDraft {
    pub(super) server: Option<At<Endpoint>>,
    /// All receivers, with the position of the first block.
    pub(super) to: Option<At<Vec<Mailbox>>>,
    pub(super) from: Option<Mailbox>,
    pub(super) helo: Option<Arc<str>>,
    pub(super) patience: Option<Duration>,
    pub(super) no_faults: bool,
    pub(super) rejections: bool,
    /// `smtp_alert`.
    pub(super) alert: Option<At<bool>>,
    /// `smtp_alert_vrrp`; takes precedence over `smtp_alert`.
    pub(super) alert_vrrp: Option<At<bool>>,
}

/// Strict mode, accepted senders and packets to the addresses, of `global_defs`.
#[derive(Debug, Default)]
pub(crate) struct PoliciesDraft {
    pub(crate) strict: Option<At<bool>>,
    pub(crate) check_source: bool,
    pub(crate) owner_ignores: Option<bool>,
    pub(crate) handover: Order,
    pub(crate) firewall: FirewallSettings,
    pub(crate) log_unknown_vrids: bool,
}

/// Name prefixes of the created interfaces, of `global_defs`.
#[derive(Debug, Default)]
pub(crate) struct PrefixesDraft {
    pub(crate) own: Option<At<Arc<str>>>,
    pub(crate) further: Option<At<Arc<str>>>,
}

#[derive(Debug, Default)]
pub(crate) struct InstanceDraft {
    pub(crate) name: At<Arc<str>>,
    /// `state` is MASTER.
    pub(crate) master: Option<At<bool>>,
    pub(crate) interface: Option<At<Arc<str>>>,
    pub(crate) vrid: Option<At<i64>>,
    pub(crate) priority: Option<At<i64>>,
    /// As it is written: its range depends on the version.
    pub(crate) advert_interval: Option<At<Arc<str>>>,
    pub(crate) version: Option<At<i64>>,
    pub(crate) also_version_2: Option<Position>,
    /// `preempt` is true, `nopreempt` false.
    pub(crate) preempt: Option<At<bool>>,
    pub(crate) preempt_delay: Option<At<Duration>>,
    pub(crate) auth: Option<At<AuthDraft>>,
    pub(crate) hmac: Option<At<HmacDraft>>,
    pub(crate) addresses: Vec<AddressDraft>,
    pub(crate) excluded: Vec<AddressDraft>,
    pub(crate) routes: Vec<Route>,
    pub(crate) rules: Vec<RuleDraft>,
    pub(crate) no_addresses: bool,
    /// Of the first keyword that has one.
    pub(crate) family: Option<Family>,
    pub(crate) source: Option<At<IpAddr>>,
    pub(crate) group: Option<At<IpAddr>>,
    /// The first keyword that selects unicast.
    pub(crate) unicast: Option<Position>,
    pub(crate) peers: Vec<PeerDraft>,
    pub(crate) ttl: Option<At<i64>>,
    /// Without a peer: FAULT instead of multicast.
    pub(crate) needs_peer: bool,
    pub(crate) promote_secondaries: Option<Position>,
    pub(crate) checksum_as_v2: Option<At<bool>>,
    pub(crate) checksum: Option<At<Checksum>>,
    pub(crate) down_timer_adverts: Option<At<i64>>,
    pub(crate) announce: AnnounceDraft,
    pub(crate) lower_prio_no_advert: Option<At<bool>>,
    pub(crate) higher_prio_send_advert: Option<At<bool>>,
    pub(crate) ignore_own_link: bool,
    pub(crate) scripts: Vec<TrackDraft>,
    pub(crate) interfaces: Vec<TrackDraft>,
    pub(crate) processes: Vec<TrackDraft>,
    pub(crate) files: Vec<TrackDraft>,
    pub(crate) notify: NotifySettings,
    pub(crate) notify_priority_changes: Option<At<bool>>,
    pub(crate) webhooks: Vec<WebhookDraft>,
    pub(crate) vmacs: VmacsDraft,
    /// `smtp_alert`.
    pub(crate) mail: Option<At<bool>>,
    pub(crate) policy: PolicyDraft,
    /// Without `interface`: it is found by the source address.
    pub(crate) finds_interface: bool,
    /// The block has errors; a keyword that seems to be missing may be one of them.
    pub(crate) flawed: bool,
    /// The findings about the block, by their numbers in the report.
    pub(crate) findings: Range<usize>,
}

impl InstanceDraft {
    /// An address of it is read: the first one decides the family.
    pub(super) fn is_of(&mut self, address: Option<At<IpAddr>>) {
        let family = address.map(|it| if it.value.is_ipv4() { Family::V4 } else { Family::V6 });
        self.family = self.family.or(family);
    }
}

#[derive(Debug)]
pub(crate) struct PeerDraft {
    pub(crate) address: At<IpAddr>,
    pub(crate) min_ttl: u8,
    pub(crate) max_ttl: u8,
}

/// Checksum form of version 3 over IPv4.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Checksum {
    Auto,
    Form(ChecksumForm),
}

/// `garp_*` of an instance, or their defaults in `global_defs`.
#[derive(Debug, Default)]
pub(crate) struct AnnounceDraft {
    pub(crate) delay: Option<At<Duration>>,
    pub(crate) repeat: Option<At<i64>>,
    pub(crate) refresh: Option<At<Duration>>,
    pub(crate) refresh_repeat: Option<At<i64>>,
    pub(crate) lower_prio_delay: Option<At<Duration>>,
    pub(crate) lower_prio_repeat: Option<At<i64>>,
    /// A period of zero disables it.
    pub(crate) extra_announce: Option<ExtraAnnounce>,
}

/// Virtual MAC keywords of one instance.
#[derive(Debug, Default)]
pub(crate) struct VmacsDraft {
    pub(crate) own: Option<VmacDraft>,
    pub(crate) transmit_base: Option<Position>,
    /// Also on every other interface with addresses of the instance.
    pub(crate) further: bool,
}

#[derive(Debug, Default)]
pub(crate) struct VmacDraft {
    pub(crate) at: Position,
    pub(crate) name: Option<At<Arc<str>>>,
    /// The last octet may be missing.
    pub(crate) mac: Option<At<Vec<u8>>>,
    pub(crate) group: u32,
    pub(crate) notify: bool,
}

/// The same of one instance; `None`: as in `global_defs`.
#[derive(Debug, Default)]
pub(crate) struct PolicyDraft {
    pub(crate) strict: Option<At<bool>>,
    /// `accept` is true, `no_accept` false.
    pub(crate) accept: Option<At<bool>>,
    pub(crate) check_source: Option<At<bool>>,
    pub(crate) owner_ignores: Option<At<bool>>,
    pub(crate) handover: Option<Order>,
}

/// A webhook whose template may be in a file not read yet.
#[derive(Debug)]
pub(crate) struct WebhookDraft {
    pub(crate) settings: WebhookSettings,
    pub(crate) file: Option<At<Arc<str>>>,
}

#[derive(Debug, Default)]
pub(crate) struct GroupDraft {
    pub(crate) name: At<Arc<str>>,
    pub(crate) members: Vec<At<Arc<str>>>,
    /// Tracked by every member.
    pub(crate) scripts: Vec<TrackDraft>,
    pub(crate) interfaces: Vec<TrackDraft>,
    pub(crate) processes: Vec<TrackDraft>,
    pub(crate) files: Vec<TrackDraft>,
    /// `sync_group_tracking_weight`: weights of members count.
    pub(crate) tracking_weight: bool,
    pub(crate) notify: NotifySettings,
    pub(crate) webhooks: Vec<WebhookDraft>,
    /// `smtp_alert`.
    pub(crate) mail: Option<At<bool>>,
    /// The block has errors; a keyword that seems to be missing may be one of them.
    pub(crate) flawed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct ScriptDraft {
    pub(crate) name: At<Arc<str>>,
    pub(crate) target: Option<At<CheckTarget>>,
    pub(crate) http: HttpDraft,
    pub(crate) process: ProcessDraft,
    pub(crate) init_file: Option<At<(i32, bool)>>,
    pub(crate) docker_socket: Option<At<Arc<str>>>,
    /// `vrrp_script`, `vrrp_check`, `vrrp_track_process` or `track_file`.
    pub(crate) block: &'static str,
    /// The block has errors; a keyword that seems to be missing may be one of them.
    pub(crate) flawed: bool,
    pub(crate) interval: Option<At<Duration>>,
    pub(crate) timeout: Option<At<Duration>>,
    pub(crate) weight: Option<At<i64>>,
    pub(crate) reverse: bool,
    pub(crate) rise: Option<At<i64>>,
    pub(crate) fall: Option<At<i64>>,
    pub(crate) user: Option<ScriptUser>,
    pub(crate) init_fail: bool,
    pub(crate) hold: HoldDraft,
}

/// Keywords that belong to `http`; they may precede it.
#[derive(Debug, Default)]
pub(crate) struct HttpDraft {
    pub(super) method: Option<At<Arc<str>>>,
    pub(super) headers: Vec<At<(Arc<str>, Arc<str>)>>,
    pub(super) status: Option<At<RangeInclusive<u16>>>,
    pub(super) body: Option<At<Arc<str>>>,
    pub(super) verify_tls: Option<At<bool>>,
}

/// Keywords that belong to `process`; they may precede it.
#[derive(Debug, Default)]
pub(crate) struct ProcessDraft {
    pub(super) program: Option<Arc<str>>,
    pub(super) arguments: Vec<Arc<str>>,
    pub(super) matching: Option<Matching>,
    pub(super) full_command: bool,
    pub(super) quorum: Option<At<i64>>,
    pub(super) quorum_max: Option<At<i64>>,
    pub(super) fork_delay: Option<At<Duration>>,
    pub(super) terminate_delay: Option<At<Duration>>,
}

#[derive(Debug, Default)]
pub(crate) struct HoldDraft {
    pub(super) least: Option<At<Duration>>,
    pub(super) damping: Option<At<Damping>>,
}
