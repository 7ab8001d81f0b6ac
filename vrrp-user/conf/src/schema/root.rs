//! Top level of a file.

use std::sync::Arc;

use super::super::diagnostic::Report;
use super::super::model::LinkDelays;
use super::super::source::At;
use super::super::tree::Statement;
use super::globals::{self, GlobalsDraft};
use super::group::{self, GroupDraft};
use super::instance::{self, InstanceDraft};
use super::script::{self, ScriptDraft};
use super::{
    AddressDraft, Kind, Row, Tables, address, check, daemon, delay, hmac, ignored, mail, policy, process,
    route, rule, vmac, watch, webhook,
};
use crate::Route;

/// A whole configuration, as written.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) globals: GlobalsDraft,
    pub(crate) scripts: Vec<ScriptDraft>,
    pub(crate) instances: Vec<InstanceDraft>,
    pub(crate) static_addresses: Vec<AddressDraft>,
    pub(crate) static_routes: Vec<Route>,
    pub(crate) static_rules: Vec<rule::RuleDraft>,
    pub(crate) groups: Vec<GroupDraft>,
    pub(crate) link_delays: Vec<(At<Arc<str>>, LinkDelays)>,
}

pub(crate) const TOP_LEVEL: &str = "the top level";

pub(super) const GLOBAL_DEFS: &str = "global_defs";

pub(super) const TABLES: Tables<Draft> = &[ROWS, daemon::TOP, ignored::TOP];

pub(super) const ROWS: &[Row<Draft>] = &[
    Row::works(GLOBAL_DEFS, Kind::Block("", read_globals), "", "settings for all instances"),
    Row::works(
        "vrrp_script",
        Kind::Block("NAME", script::read),
        "",
        "a script check, tracked by NAME in `track_script`",
    ),
    Row::works(
        "vrrp_check",
        Kind::Block("NAME", check::read),
        "",
        "a built-in check, tracked by NAME in `track_script`",
    ),
    Row::works(
        "vrrp_track_process",
        Kind::Block("NAME", watch::read_process),
        "",
        "processes that must run, tracked by NAME in `track_process`",
    ),
    Row::works(
        "track_file",
        Kind::Block("NAME", watch::read_file),
        "",
        "a file whose number counts, tracked by NAME in `track_file`",
    )
    .alias(&["vrrp_track_file"]),
    Row::works(
        "static_ipaddress",
        Kind::Block("", |draft, _, inner, report| {
            address::read(&mut draft.static_addresses, inner, report);
        }),
        "",
        "addresses set at the start and removed at the end; they never move",
    ),
    Row::works(
        "static_routes",
        Kind::Block("", |draft, _, inner, report| route::read(&mut draft.static_routes, inner, report)),
        "",
        "the same for routes",
    ),
    Row::works(
        "static_rules",
        Kind::Block("", |draft, _, inner, report| rule::read(&mut draft.static_rules, inner, report)),
        "",
        "the same for routing policy rules",
    ),
    Row::works(
        "interface_up_down_delays",
        Kind::Block("", |draft, _, inner, report| delay::read(&mut draft.link_delays, inner, report)),
        "",
        "seconds that a link must be down, or up again, before the change counts: `INTERFACE DOWN [UP]` per line, \
         each 0 to 255; default of UP: 0",
    ),
    Row::works("vrrp_instance", Kind::Block("NAME", instance::read), "", "one virtual router"),
    Row::works(
        "vrrp_sync_group",
        Kind::Block("NAME", group::read),
        "",
        "instances that are master together or not at all",
    ),
];

pub(super) const GLOBALS: Tables<GlobalsDraft> = &[
    globals::ROWS,
    process::ROWS,
    daemon::ROWS,
    mail::GLOBALS,
    webhook::GLOBALS,
    vmac::GLOBALS,
    policy::GLOBALS,
    ignored::GLOBALS,
];

fn read_globals(draft: &mut Draft, _: &Statement, inner: &[Statement], report: &mut Report) {
    super::read_block(GLOBALS, "global_defs", inner, &mut draft.globals, report);
}

/// The blocks that a keyword belongs to, of those with keywords of their own.
pub(crate) fn homes_of(keyword: &str) -> Vec<&'static str> {
    let homes = [
        (TOP_LEVEL, has(TABLES, keyword)),
        ("global_defs", has(GLOBALS, keyword)),
        ("vrrp_instance", has(instance::TABLES, keyword)),
        ("vrrp_sync_group", has(group::TABLES, keyword)),
        ("authentication", has(&[instance::AUTH_ROWS], keyword)),
        ("auth_hmac", has(&[hmac::ROWS], keyword)),
        ("notify_webhook", has(&[webhook::OPTIONS], keyword)),
        ("vrrp_script", has(script::TABLES, keyword)),
        ("vrrp_check", has(check::TABLES, keyword)),
        ("vrrp_track_process", has(watch::PROCESS, keyword)),
        ("track_file", has(watch::FILE, keyword)),
    ];
    homes.into_iter().filter(|(_, found)| *found).map(|(home, _)| home).collect()
}

/// Whether the keyword begins a block in the block `home`; apart from `global_defs`, whose block keepalived needs a
/// brace for.
pub(crate) fn opens_block(home: &str, keyword: &str) -> bool {
    match home {
        TOP_LEVEL => keyword != GLOBAL_DEFS && is_block(TABLES, keyword),
        GLOBAL_DEFS => is_block(GLOBALS, keyword),
        "vrrp_instance" => is_block(instance::TABLES, keyword),
        "vrrp_sync_group" => is_block(group::TABLES, keyword),
        _ => false,
    }
}

fn is_block<T>(tables: Tables<T>, keyword: &str) -> bool {
    let mut rows = tables.iter().copied().flatten();
    rows.any(|row| row.is(keyword) && matches!(row.kind, Kind::Block(..)))
}

/// The block of a keyword that belongs to one block only.
pub(super) fn home_of(keyword: &str) -> Option<&'static str> {
    match homes_of(keyword)[..] {
        [home] => Some(home),
        _ => None,
    }
}

fn has<T>(tables: Tables<T>, keyword: &str) -> bool {
    tables.iter().copied().flatten().any(|row| row.is(keyword))
}
