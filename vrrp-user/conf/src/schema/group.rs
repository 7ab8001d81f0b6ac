//! `vrrp_sync_group`.

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::tree::Statement;
use super::draft::{Draft, GroupDraft};
use super::ignored::NO_BFD;
use super::table::{self, Kind, Row, Tables};
use super::{mail, script, track, value, webhook};

const ROWS: &[Row<GroupDraft>] = &[
    Row::works(
        "group",
        Kind::Block("", members),
        "required",
        "instance names; each may be in one group only",
    ),
    Row::works(
        "track_script",
        Kind::Block("", |it, _, inner, report| track::read(&mut it.scripts, inner, report)),
        "",
        "scripts that count for all members, one per line",
    ),
    Row::works(
        "track_interface",
        Kind::Block("", |it, _, inner, report| track::read(&mut it.interfaces, inner, report)),
        "",
        "interfaces that count for all members, one per line",
    ),
    Row::works(
        "track_process",
        Kind::Block("", |it, _, inner, report| track::read(&mut it.processes, inner, report)),
        "",
        "processes that count for all members, one per line",
    ),
    Row::works(
        "track_file",
        Kind::Block("", |it, _, inner, report| track::read(&mut it.files, inner, report)),
        "",
        "files that count for all members, one per line",
    ),
    Row::works(
        "sync_group_tracking_weight",
        Kind::Flag(|it, _| it.tracking_weight = true),
        "off",
        "weights of members count; without it, their scripts and files with a weight are not tracked",
    ),
    Row::works(
        "global_tracking",
        Kind::Own("", global_tracking),
        "off",
        "older name of `sync_group_tracking_weight`",
    ),
    Row::hook("notify_master", |it| &mut it.notify.master, "run when all members have become masters"),
    Row::hook("notify_backup", |it| &mut it.notify.backup, "run when all members have become backups"),
    Row::hook("notify_fault", |it| &mut it.notify.fault, "run when all members have entered FAULT"),
    Row::hook("notify_stop", |it| &mut it.notify.stop, "run when the daemon ends"),
    Row::hook(
        "notify",
        |it| &mut it.notify.any,
        "run on every change, with `GROUP`, name, state and 0 appended to its arguments",
    ),
    Row::missing("track_bfd", "BFD session", NO_BFD),
    Row::missing("notify_priority_changes", "priorities to FIFOs", "write it in the instances"),
];

pub(super) const TABLES: Tables<GroupDraft> = &[ROWS, webhook::GROUP, mail::GROUP];

pub(super) fn read(draft: &mut Draft, statement: &Statement, inner: &[Statement], report: &mut Report) {
    let at = statement.keyword.at;
    let Some(name) = value::read_only_word("vrrp_sync_group", at, &statement.args, report) else { return };
    let mut group = GroupDraft { name: name.placed(), ..GroupDraft::default() };
    let errors = report.errors();
    table::read_block(TABLES, "vrrp_sync_group", inner, &mut group, report);
    let GroupDraft { scripts, processes, files, .. } = &mut group;
    script::mark_known([scripts, processes, files], &draft.scripts);
    group.flawed = report.errors() > errors;
    draft.groups.push(group);
}

/// Reads names of members, one or more per line.
fn members(it: &mut GroupDraft, _: &Statement, inner: &[Statement], report: &mut Report) {
    for line in value::lines(inner, report, &|_| true) {
        let words = std::iter::once(&line.keyword).chain(&line.args);
        it.members.extend(words.map(Word::placed));
    }
}

fn global_tracking(it: &mut GroupDraft, keyword: &Word, _: &[Word], report: &mut Report) {
    report
        .warning(keyword.at, "`global_tracking` means `sync_group_tracking_weight`, as with keepalived")
        .help("write `sync_group_tracking_weight`");
    it.tracking_weight = true;
}
