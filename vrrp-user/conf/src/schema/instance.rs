//! `vrrp_instance`: supported keywords.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::diagnostic::{Report, did_you_mean};
use super::super::lexer::Word;
use super::super::model::NotifySettings;
use super::super::source::{At, Position};
use super::super::tree::Statement;
use super::address::AddressDraft;
use super::adverts::{self, Checksum, PeerDraft};
use super::hmac::{self, HmacDraft};
use super::notify::hook_row;
use super::policy::{self, PolicyDraft};
use super::root::Draft;
use super::rule::RuleDraft;
use super::track::TrackDraft;
use super::value;
use super::vmac::{self, VmacsDraft};
use super::webhook::{self, WebhookDraft};
use super::{Kind, Row, Tables, ignored, mail, notify};
use crate::{ExtraAnnounce, Route};

#[derive(Debug, Default)]
pub(crate) struct InstanceDraft {
    pub(crate) name: At<Arc<str>>,
    /// `state` is MASTER.
    pub(crate) master: Option<At<bool>>,
    pub(crate) interface: Option<At<Arc<str>>>,
    pub(crate) vrid: Option<At<i64>>,
    pub(crate) priority: Option<At<i64>>,
    pub(crate) advert_interval: Option<At<Duration>>,
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

#[derive(Debug, Default)]
pub(crate) struct AuthDraft {
    pub(crate) kind: Option<At<AuthType>>,
    /// As sent, before truncation to eight bytes.
    pub(crate) password: Option<At<String>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AuthType {
    None,
    Pass,
    Ah,
}

const DELAY_MAX: Duration = Duration::from_secs(4294);
/// keepalived stores these in whole seconds, the others in microseconds.
pub(super) const REFRESH_MAX: Duration = Duration::from_secs(u32::MAX as u64);

pub(super) const ROWS: &[Row<InstanceDraft>] = &[
    Row::works(
        "state",
        Kind::Own("MASTER or BACKUP", state),
        "BACKUP",
        "a hint: with priority 255, MASTER starts as master; otherwise the election decides",
    ),
    Row::works(
        "interface",
        Kind::Text(|it, name| it.interface = Some(name)),
        "required; with unicast, that of `unicast_src_ip`",
        "interface for the adverts",
    ),
    Row::works(
        "virtual_router_id",
        Kind::Integer(1, 255, |it, n| it.vrid = Some(n)),
        "required",
        "VRID, the same on all nodes",
    ),
    Row::works(
        "priority",
        Kind::Integer(1, 255, |it: &mut InstanceDraft, n| it.priority = Some(n)),
        "100; 255 with `state MASTER`",
        "the highest becomes master; 255 owns the addresses",
    )
    .instead(100),
    Row::works(
        "advert_int",
        Kind::Seconds(Duration::from_millis(10), Duration::from_secs(255), |it, t| {
            it.advert_interval = Some(t);
        }),
        "1",
        "time between two adverts; version 2: whole seconds; version 3: steps of 0.01, at most 40.95",
    ),
    Row::works(
        "version",
        Kind::Integer(2, 3, |it, n| it.version = Some(n)),
        "`vrrp_version`; 3 for IPv6",
        "VRRP version",
    ),
    Row::works(
        "preempt",
        Kind::Flag(|it, at| it.preempt = Some(At { value: true, at: at.at })),
        "on",
        "take over from a master with lower priority",
    ),
    Row::works(
        "nopreempt",
        Kind::Flag(|it, at| it.preempt = Some(At { value: false, at: at.at })),
        "off",
        "do not take over from a master with lower priority; needs `state BACKUP`",
    ),
    Row::works(
        "preempt_delay",
        Kind::Seconds(Duration::ZERO, Duration::from_secs(1000), |it, t| it.preempt_delay = Some(t)),
        "0",
        "delay before taking over from a master with lower priority",
    ),
    Row::works("authentication", Kind::Block("", authentication), "none", "password; version 2 only"),
    Row::works(
        "auth_hmac",
        Kind::Block("", hmac::read),
        "none",
        "adverts signed with a shared key; either version, instead of `authentication`",
    ),
    Row::works("virtual_ipaddress", Kind::Block("", addresses), "", "addresses in the adverts, one per line"),
    Row::works(
        "virtual_routes",
        Kind::Block("", |it, _, inner, report| super::route::read(&mut it.routes, inner, report)),
        "",
        "routes of a master, one per line, set after its addresses and removed before them",
    ),
    Row::works(
        "virtual_rules",
        Kind::Block("", |it, _, inner, report| super::rule::read(&mut it.rules, inner, report)),
        "",
        "routing policy rules of a master, one per line, set after its routes and removed before them",
    ),
    Row::works(
        "virtual_ipaddress_excluded",
        Kind::Block("", excluded),
        "",
        "addresses that are set but not advertised; either family",
    ),
    Row::works(
        "no_virtual_ipaddress",
        Kind::Flag(|it, _| it.no_addresses = true),
        "off",
        "confirms that the instance has no addresses",
    ),
    Row::works(
        "unicast_fault_no_peer",
        Kind::Flag(|it, _| it.needs_peer = true),
        "off",
        "with unicast and an empty list of peers: FAULT instead of multicast",
    ),
    Row::works(
        "track_script",
        Kind::Block("", track_script),
        "",
        "scripts and checks that count, one per line",
    )
    .alias(&["track_check"]),
    Row::works(
        "track_process",
        Kind::Block("", |it, _, inner, report| super::track::read(&mut it.processes, inner, report)),
        "",
        "`vrrp_track_process` blocks that count, one per line",
    ),
    Row::works(
        "track_file",
        Kind::Block("", |it, _, inner, report| super::track::read(&mut it.files, inner, report)),
        "",
        "`track_file` blocks that count, one per line",
    ),
    Row::works(
        "track_interface",
        Kind::Block("", track_interface),
        "",
        "other interfaces that count, one per line",
    ),
    Row::moot("track_src_ip", "FAULT while the host lacks the source address", "it always is").flag(),
    Row::works(
        "promote_secondaries",
        Kind::Flag(|it, at| it.promote_secondaries = Some(at.at)),
        "off",
        "while the daemon runs, `interface` keeps the other IPv4 addresses of a subnet when the first one is removed",
    ),
    Row::works(
        "dont_track_primary",
        Kind::Flag(|it, _| it.ignore_own_link = true),
        "off",
        "ignore the link state of `interface`",
    ),
    Row::works(
        "down_timer_adverts",
        Kind::Integer(1, 100, |it, n| it.down_timer_adverts = Some(n)),
        "`vrrp_down_timer_adverts`",
        "advert intervals in the master_down_interval, after which a silent master is replaced",
    ),
    Row::works(
        "lower_prio_no_advert",
        Kind::Bool(|it, on| it.lower_prio_no_advert = Some(on)),
        "global",
        "do not answer a master with lower priority at once",
    ),
    Row::works(
        "higher_prio_send_advert",
        Kind::Bool(|it, on| it.higher_prio_send_advert = Some(on)),
        "global",
        "send one advert before yielding to a master with higher priority, which then announces itself again",
    ),
    Row::works(
        "garp_master_delay",
        Kind::Seconds(Duration::ZERO, DELAY_MAX, |it: &mut InstanceDraft, t| it.announce.delay = Some(t)),
        "global",
        "time from becoming master to the second set of announcements; 0: no second set",
    )
    .instead(0),
    Row::works(
        "garp_master_repeat",
        Kind::Integer(0, u32::MAX as i64, |it: &mut InstanceDraft, n| it.announce.repeat = Some(n)),
        "global",
        "announcements per address and set",
    )
    .instead(1),
    Row::works(
        "garp_master_refresh",
        Kind::Seconds(Duration::ZERO, REFRESH_MAX, |it: &mut InstanceDraft, t| it.announce.refresh = Some(t)),
        "global",
        "period of further sets while master; 0: none",
    )
    .instead(0),
    Row::works(
        "garp_master_refresh_repeat",
        Kind::Integer(0, u32::MAX as i64, |it, n| it.announce.refresh_repeat = Some(n)),
        "global",
        "announcements per address and refresh",
    ),
    Row::works(
        "garp_lower_prio_delay",
        Kind::Seconds(Duration::ZERO, DELAY_MAX, |it: &mut InstanceDraft, t| {
            it.announce.lower_prio_delay = Some(t);
        }),
        "global",
        "time from an advert of a master with lower priority to the second set",
    )
    .instead(0),
    Row::works(
        "garp_lower_prio_repeat",
        Kind::Integer(0, u32::MAX as i64, |it: &mut InstanceDraft, n| {
            it.announce.lower_prio_repeat = Some(n);
        }),
        "global",
        "announcements per address after an advert of a master with lower priority",
    )
    .instead(0),
    hook_row!("notify_master", notify.master, "run on becoming master"),
    hook_row!("notify_backup", notify.backup, "run on becoming backup"),
    hook_row!("notify_fault", notify.fault, "run on entering FAULT"),
    hook_row!("notify_stop", notify.stop, "run when the daemon ends"),
    hook_row!(
        "notify",
        notify.any,
        "run on every change, with `INSTANCE`, name, state and priority appended to its arguments"
    ),
];

pub(super) const TABLES: Tables<InstanceDraft> = &[
    ROWS,
    adverts::ROWS,
    notify::MORE,
    webhook::INSTANCE,
    mail::INSTANCE,
    vmac::INSTANCE,
    policy::INSTANCE,
    ignored::INSTANCE,
];

pub(super) const AUTH_ROWS: &[Row<AuthDraft>] = &[
    Row::works(
        "auth_type",
        Kind::Own("PASS or AH", auth_type),
        "none",
        "PASS sends the password; AH signs with it, in an IPsec authentication header",
    ),
    Row::works("auth_pass", Kind::Own("TEXT", auth_pass), "", "password; its first 8 bytes count"),
];

pub(super) fn read(draft: &mut Draft, statement: &Statement, inner: &[Statement], report: &mut Report) {
    let Some(name) = value::read_only_word("vrrp_instance", statement.keyword.at, &statement.args, report)
    else {
        return;
    };
    let mut instance = InstanceDraft {
        name: At { value: name.text.as_str().into(), at: name.at },
        ..InstanceDraft::default()
    };
    let errors = report.errors();
    super::read_block(TABLES, "vrrp_instance", inner, &mut instance, report);
    instance.flawed = report.errors() > errors;
    draft.instances.push(instance);
}

fn state(it: &mut InstanceDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word(&keyword.text, keyword.at, args, report) else { return };
    let value = match word.text.as_str() {
        "MASTER" => true,
        "BACKUP" => false,
        other => {
            let help = did_you_mean(other, ["MASTER", "BACKUP"]);
            report.left_out(word.at, format!("`state` is MASTER or BACKUP, not `{other}`")).help_maybe(help);
            return;
        }
    };
    it.master = Some(At { value, at: word.at });
}

fn authentication(it: &mut InstanceDraft, statement: &Statement, inner: &[Statement], report: &mut Report) {
    let at = statement.keyword.at;
    if it.auth.is_some() {
        report.warning(
            at,
            "a second `authentication` block: its lines replace the same lines of the first one",
        );
    }
    // keepalived keeps lines that the second block does not repeat.
    let mut auth = it.auth.take().unwrap_or(At { value: AuthDraft::default(), at });
    super::read_block(&[AUTH_ROWS], "authentication", inner, &mut auth.value, report);
    it.auth = Some(auth);
}

fn auth_type(auth: &mut AuthDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word(&keyword.text, keyword.at, args, report) else { return };
    let value = match word.text.as_str() {
        "PASS" => AuthType::Pass,
        "NONE" => AuthType::None,
        "AH" => AuthType::Ah,
        other => {
            let help = did_you_mean(other, ["PASS", "AH"]);
            report
                .left_out(word.at, format!("`auth_type` is PASS or AH, not `{other}`"))
                .elects(true)
                .help_maybe(help);
            AuthType::None
        }
    };
    auth.kind = Some(At { value, at: word.at });
}

fn auth_pass(auth: &mut AuthDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word(&keyword.text, keyword.at, args, report) else { return };
    let text = password(word, "password", report);
    auth.password = Some(At { value: text.to_owned(), at: word.at });
}

/// The same bytes as in keepalived: double quotes are removed, single quotes and backslashes are part of the password.
pub(super) fn password<'a>(word: &'a Word, what: &str, report: &mut Report) -> &'a str {
    // In keepalived a backslash is a literal here; the next quote, or outside of quotes a blank, ends the password.
    let (written, text) = if word.quote() == Some('"') {
        (word.inner(), word.inner().split('"').next())
    } else {
        (word.raw.as_str(), word.raw.split(|letter: char| letter == '"' || letter.is_whitespace()).next())
    };
    let text = text.unwrap_or(written);
    if text.len() < written.len() {
        report
            .warning(
                word.at,
                format!("the {what} ends at the first quote or blank in it, as with keepalived"),
            )
            .help(format!("use a {what} without quotes and blanks"));
    }
    if word.quote() == Some('\'') {
        report
            .warning(word.at, format!("single quotes are part of the {what}, as with keepalived"))
            .help("use double quotes, or no quotes");
    }
    if word.comment_follows {
        report
            .warning(word.at, format!("the {what} ends at the comment that directly follows it"))
            .help(format!("put the {what} in double quotes if `#` or `!` is part of it"));
    }
    if text.contains('\u{fffd}') {
        report.left_out(word.at, format!("the {what} contains bytes that are not UTF-8"));
    }
    text
}

fn addresses(it: &mut InstanceDraft, _: &Statement, inner: &[Statement], report: &mut Report) {
    super::address::read(&mut it.addresses, inner, report);
}

fn excluded(it: &mut InstanceDraft, _: &Statement, inner: &[Statement], report: &mut Report) {
    super::address::read(&mut it.excluded, inner, report);
}

fn track_script(it: &mut InstanceDraft, _: &Statement, inner: &[Statement], report: &mut Report) {
    super::track::read(&mut it.scripts, inner, report);
}

fn track_interface(it: &mut InstanceDraft, _: &Statement, inner: &[Statement], report: &mut Report) {
    super::track::read(&mut it.interfaces, inner, report);
}
