//! `global_defs`: supported keywords.

use std::net::IpAddr;
use std::time::Duration;

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::source::At;
use super::command;
use super::draft::GlobalsDraft;
use super::instance::REFRESH_MAX;
use super::table::{Kind, Row};
use super::value::{self, SPAN_MAX};

/// Longest pause between two announcements.
const PAUSE_MAX: Duration = Duration::from_secs(1_000);

pub(super) const ROWS: &[Row<GlobalsDraft>] = &[
    Row::works(
        "router_id",
        Kind::Text(|globals, name| globals.router_id = Some(name)),
        "host name",
        "name of this node in status",
    ),
    // Handled while files are included, before the tables are read.
    Row::works(
        "include_check",
        Kind::Own("[[+\\|-]readable, match, wildcard_match, brace_match …]", |_, _, _, _| {}),
        "",
        "cases in which a missing file is an error, in the lines below; without a word, all of them",
    ),
    Row::works(
        "default_interface",
        Kind::Text(|globals, name| globals.default_interface = Some(name)),
        "eth0",
        "interface of static addresses without `dev`",
    ),
    Row::works("script_user", Kind::Own("USER [GROUP]", script_user), "", "default user of scripts"),
    Row::works(
        "enable_script_security",
        Kind::Flag(|globals, _| globals.script_security = true),
        "off",
        "refuse a script run as root if other users may write to a part of its path, including links and interpreters, \
         or if it needs a shell",
    ),
    Row::works(
        "vrrp_version",
        Kind::Integer(2, 3, |globals, n| globals.version = Some(n)),
        "2",
        "default `version`",
    ),
    Row::works(
        "vrrp_garp_master_delay",
        Kind::Seconds(Duration::ZERO, SPAN_MAX, |globals: &mut GlobalsDraft, t| {
            globals.announce.delay = Some(t);
        }),
        "5",
        "default `garp_master_delay`",
    )
    .instead(0),
    Row::works(
        "vrrp_garp_master_repeat",
        Kind::Integer(0, u32::MAX as i64, |globals: &mut GlobalsDraft, n| globals.announce.repeat = Some(n)),
        "5",
        "default `garp_master_repeat`",
    )
    .instead(1),
    Row::works(
        "vrrp_garp_master_refresh",
        Kind::Seconds(Duration::ZERO, REFRESH_MAX, |globals, t| globals.announce.refresh = Some(t)),
        "0",
        "default `garp_master_refresh`",
    ),
    Row::works(
        "vrrp_garp_master_refresh_repeat",
        Kind::Integer(0, u32::MAX as i64, |globals, n| globals.announce.refresh_repeat = Some(n)),
        "1",
        "default `garp_master_refresh_repeat`",
    ),
    Row::works(
        "vrrp_garp_lower_prio_delay",
        Kind::Seconds(Duration::ZERO, SPAN_MAX, |globals: &mut GlobalsDraft, t| {
            globals.announce.lower_prio_delay = Some(t);
        }),
        "`vrrp_garp_master_delay`",
        "default `garp_lower_prio_delay`",
    )
    .instead(0),
    Row::works(
        "vrrp_garp_lower_prio_repeat",
        Kind::Integer(0, u32::MAX as i64, |globals: &mut GlobalsDraft, n| {
            globals.announce.lower_prio_repeat = Some(n);
        }),
        "`vrrp_garp_master_repeat`",
        "default `garp_lower_prio_repeat`",
    )
    .instead(0),
    Row::works(
        "vrrp_garp_interval",
        Kind::Seconds(Duration::ZERO, PAUSE_MAX, |globals, t| globals.garp_interval = Some(t)),
        "0",
        "pause between two gratuitous ARPs on one interface; 0: none",
    ),
    Row::works(
        "vrrp_gna_interval",
        Kind::Seconds(Duration::ZERO, PAUSE_MAX, |globals, t| globals.gna_interval = Some(t)),
        "0",
        "pause between two unsolicited neighbour advertisements on one interface; 0: none",
    ),
    Row::works(
        "vrrp_min_garp",
        Kind::Bool(|globals, on| globals.min_garp = on.value),
        "off",
        "by default one announcement per address and no second set",
    ),
    Row::works(
        "vrrp_lower_prio_no_advert",
        Kind::Bool(|globals, on| globals.lower_prio_no_advert = on.value),
        "off",
        "default `lower_prio_no_advert`",
    ),
    Row::works(
        "vrrp_higher_prio_send_advert",
        Kind::Bool(|globals, on| globals.higher_prio_send_advert = Some(on.value)),
        "on",
        "default `higher_prio_send_advert`",
    ),
    Row::works(
        "vrrp_down_timer_adverts",
        Kind::Integer(1, 100, |globals, n| globals.down_timer_adverts = Some(n)),
        "3",
        "default `down_timer_adverts`",
    ),
    Row::works(
        "v3_checksum_as_v2",
        Kind::Own("[BOOL]", checksum_as_v2),
        "off",
        "default `v3_checksum_as_v2`",
    ),
    Row::works(
        "vrrp_mcast_group4",
        Kind::Own("ADDRESS", group4),
        "224.0.0.18",
        "group for adverts over IPv4",
    ),
    Row::works("vrrp_mcast_group6", Kind::Own("ADDRESS", group6), "ff02::12", "the same over IPv6"),
    Row::works(
        "vrrp_startup_delay",
        Kind::Seconds(Duration::ZERO, SPAN_MAX, |globals, t| globals.startup_delay = Some(t)),
        "0",
        "time from the start of the daemon to the first election; earlier adverts are ignored",
    ),
    Row::works(
        "vrrp_delay_after_boot",
        Kind::Seconds(Duration::ZERO, SPAN_MAX, |globals, t| globals.delay_after_boot = Some(t)),
        "0",
        "the same from the boot of the host; the longer one counts",
    ),
];

fn group4(globals: &mut GlobalsDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    globals.group4 = group(keyword, args, IpAddr::is_ipv4, report);
}

fn group6(globals: &mut GlobalsDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    globals.group6 = group(keyword, args, IpAddr::is_ipv6, report);
}

fn group(
    keyword: &Word,
    args: &[Word],
    is_of_family: fn(&IpAddr) -> bool,
    report: &mut Report,
) -> Option<At<IpAddr>> {
    let group = value::read_group(&keyword.text, keyword.at, args, report)?;
    if !is_of_family(&group.value) {
        report.left_out(group.at, format!("`{}` takes no {}", keyword.text, group.value));
        return None;
    }
    Some(group)
}

fn script_user(globals: &mut GlobalsDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    globals.script_user = command::user(keyword, args, report);
}

fn checksum_as_v2(globals: &mut GlobalsDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(on) = value::read_bool(&keyword.text, keyword.at, args, report) else { return };
    globals.checksum_as_v2 = on.value;
    if !on.value {
        report.warning(on.at, "keepalived reads `v3_checksum_as_v2 no` in global_defs as on; here it is off");
    }
}
