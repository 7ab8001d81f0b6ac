//! `vrrp_instance`: supported keywords.

use std::time::Duration;

use vrrp_ebpf::wire::Family;

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::source::At;
use super::super::tree::Statement;
use super::draft::{Draft, InstanceDraft};
use super::table::{self, Kind, Row, Tables};
use super::value::{self, SPAN_MAX};
use super::{
    address, adverts, auth, command, hmac, ignored, mail, policy, route, rule, script, track, vmac, webhook,
};

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
        Kind::Form("seconds, 1 to 255 in version 2, 0.01 to 40.95 in version 3", |it, text| {
            it.advert_interval = Some(text);
        }),
        "1",
        "time between two adverts; version 2: whole seconds; version 3: steps of 0.01",
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
    Row::works(
        "authentication",
        Kind::Block("", |it, statement, inner, report| auth::read(&mut it.auth, statement, inner, report)),
        "none",
        "password; version 2 only",
    ),
    Row::works(
        "auth_hmac",
        Kind::Block("", |it, statement, inner, report| hmac::read(&mut it.hmac, statement, inner, report)),
        "none",
        "adverts signed with a shared key; either version, instead of `authentication`",
    ),
    Row::works(
        "virtual_ipaddress",
        Kind::Block("", |it: &mut InstanceDraft, _, inner, report| {
            address::read(&mut it.addresses, inner, report);
            it.is_of(it.addresses.first().map(|first| first.address));
        }),
        "",
        "addresses in the adverts, one per line",
    ),
    Row::works(
        "virtual_routes",
        Kind::Block("", |it, _, inner, report| route::read(&mut it.routes, inner, report)),
        "",
        "routes of a master, one per line, set after its addresses and removed before them",
    ),
    Row::works(
        "virtual_rules",
        Kind::Block("", |it, _, inner, report| rule::read(&mut it.rules, inner, report)),
        "",
        "routing policy rules of a master, one per line, set after its routes and removed before them",
    ),
    Row::works(
        "virtual_ipaddress_excluded",
        Kind::Block("", |it, _, inner, report| address::read(&mut it.excluded, inner, report)),
        "",
        "addresses that are set but not advertised; either family",
    ),
    Row::works(
        "native_ipv6",
        Kind::Own("", native_ipv6),
        "the first address decides",
        "IPv6, whatever addresses follow",
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
        Kind::Block("", |it: &mut InstanceDraft, _, inner, report| {
            track::read(&mut it.scripts, inner, report);
        }),
        "",
        "scripts and checks that count, one per line",
    )
    .alias(&["track_check"]),
    Row::works(
        "track_process",
        Kind::Block("", |it, _, inner, report| track::read(&mut it.processes, inner, report)),
        "",
        "`vrrp_track_process` blocks that count, one per line",
    ),
    Row::works(
        "track_file",
        Kind::Block("", |it, _, inner, report| track::read(&mut it.files, inner, report)),
        "",
        "`track_file` blocks that count, one per line",
    ),
    Row::works(
        "track_interface",
        Kind::Block("", |it, _, inner, report| track::read(&mut it.interfaces, inner, report)),
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
        Kind::Seconds(Duration::ZERO, SPAN_MAX, |it: &mut InstanceDraft, t| it.announce.delay = Some(t)),
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
        Kind::Seconds(Duration::ZERO, SPAN_MAX, |it: &mut InstanceDraft, t| {
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
    Row::hook("notify_master", |it| &mut it.notify.master, "run on becoming master"),
    Row::hook("notify_backup", |it| &mut it.notify.backup, "run on becoming backup"),
    Row::hook("notify_fault", |it| &mut it.notify.fault, "run on entering FAULT"),
    Row::hook("notify_stop", |it| &mut it.notify.stop, "run when the daemon ends"),
    Row::hook(
        "notify",
        |it| &mut it.notify.any,
        "run on every change, with `INSTANCE`, name, state and priority appended to its arguments",
    ),
];

/// Hooks other than those for states.
const MORE_HOOKS: &[Row<InstanceDraft>] = &[
    Row::works(
        "notify_deleted",
        Kind::Own("[COMMAND [USER [GROUP]]]", deleted),
        "off",
        "an instance that a reload removes is reported as `DELETED`, not as `FAULT`; runs the command",
    ),
    Row::hook(
        "notify_master_rx_lower_pri",
        |it| &mut it.notify.lower,
        "run when a master receives an advert of a master with lower priority",
    ),
    Row::works(
        "notify_priority_changes",
        Kind::Bool(|it, on| it.notify_priority_changes = Some(on)),
        "`vrrp_notify_priority_changes`",
        "write changes of the priority to FIFOs",
    ),
];

pub(super) const TABLES: Tables<InstanceDraft> = &[
    ROWS,
    adverts::ROWS,
    MORE_HOOKS,
    webhook::INSTANCE,
    mail::INSTANCE,
    vmac::INSTANCE,
    policy::INSTANCE,
    ignored::INSTANCE,
];

pub(super) fn read(draft: &mut Draft, statement: &Statement, inner: &[Statement], report: &mut Report) {
    let Some(name) = value::read_only_word("vrrp_instance", statement.keyword.at, &statement.args, report)
    else {
        return;
    };
    let mut instance = InstanceDraft { name: name.placed(), ..InstanceDraft::default() };
    let (errors, first) = (report.errors(), report.count());
    table::read_block(TABLES, "vrrp_instance", inner, &mut instance, report);
    let InstanceDraft { scripts, processes, files, .. } = &mut instance;
    script::mark_known([scripts, processes, files], &draft.scripts);
    instance.flawed = report.errors() > errors;
    instance.findings = first..report.count();
    draft.instances.push(instance);
}

fn state(it: &mut InstanceDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let known = [("MASTER", true), ("BACKUP", false)];
    let state = value::read_choice(&known, keyword, args, report);
    match (it.master, state) {
        (Some(At { value: true, .. }), Some(At { value: false, at })) => {
            report.warning(at, "`state` is MASTER already: BACKUP is ignored, as with keepalived");
        }
        _ => it.master = state.or(it.master),
    }
}

fn native_ipv6(it: &mut InstanceDraft, keyword: &Word, _: &[Word], report: &mut Report) {
    if *it.family.get_or_insert(Family::V6) == Family::V4 {
        report
            .warning(keyword.at, "`native_ipv6` has no effect: an IPv4 address above has decided the family")
            .help("remove the line");
    }
}

fn deleted(it: &mut InstanceDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    it.notify.reports_deleted = true;
    if !args.is_empty() {
        command::hook(&mut it.notify.deleted, keyword, args, report);
    }
}
