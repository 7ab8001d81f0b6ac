//! Top level of a file.

use super::super::diagnostic::{Home, Report};
use super::super::tree::Statement;
use super::draft::{Draft, GlobalsDraft};
use super::table::{self, GLOBAL_DEFS, Kind, Row, TOP_LEVEL, Tables, rows};
use super::{
    address, auth, check, daemon, delay, globals, group, hmac, ignored, instance, mail, policy, process,
    route, rule, script, vmac, watch, webhook,
};

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
    table::read_block(GLOBALS, "global_defs", inner, &mut draft.globals, report);
}

/// Blocks with keywords of their own.
pub(super) const HOMES: &[Home] = &[
    (TOP_LEVEL, |keyword| has(TABLES, keyword)),
    ("global_defs", |keyword| has(GLOBALS, keyword)),
    ("vrrp_instance", |keyword| has(instance::TABLES, keyword)),
    ("vrrp_sync_group", |keyword| has(group::TABLES, keyword)),
    ("authentication", |keyword| has(&[auth::ROWS], keyword)),
    ("auth_hmac", |keyword| has(&[hmac::ROWS], keyword)),
    ("notify_webhook", |keyword| has(&[webhook::OPTIONS], keyword)),
    ("vrrp_script", |keyword| has(script::TABLES, keyword)),
    ("vrrp_check", |keyword| has(check::TABLES, keyword)),
    ("vrrp_track_process", |keyword| has(watch::PROCESS, keyword)),
    ("track_file", |keyword| has(watch::FILE, keyword)),
];

/// The blocks that a keyword belongs to, of those with keywords of their own.
pub(crate) fn homes_of(keyword: &str) -> Vec<&'static str> {
    HOMES.iter().filter(|(_, has)| has(keyword)).map(|(home, _)| *home).collect()
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
    rows(tables).any(|row| row.is(keyword) && matches!(row.kind, Kind::Block(..)))
}

fn has<T>(tables: Tables<T>, keyword: &str) -> bool {
    rows(tables).any(|row| row.is(keyword))
}
