//! `vrrp_sync_group`.

use std::sync::Arc;

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::model::NotifySettings;
use super::super::source::At;
use super::super::tree::Statement;
use super::ignored::NO_BFD;
use super::notify::hook_row;
use super::root::Draft;
use super::track::TrackDraft;
use super::value;
use super::webhook::{self, WebhookDraft};
use super::{Kind, Row, Tables, mail, track};

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
    hook_row!("notify_master", notify.master, "run when all members have become masters"),
    hook_row!("notify_backup", notify.backup, "run when all members have become backups"),
    hook_row!("notify_fault", notify.fault, "run when all members have entered FAULT"),
    hook_row!("notify_stop", notify.stop, "run when the daemon ends"),
    hook_row!(
        "notify",
        notify.any,
        "run on every change, with `GROUP`, name, state and 0 appended to its arguments"
    ),
    Row::missing("track_bfd", "BFD session", NO_BFD),
    Row::missing("notify_priority_changes", "priorities to FIFOs", "write it in the instances"),
];

pub(super) const TABLES: Tables<GroupDraft> = &[ROWS, webhook::GROUP, mail::GROUP];

pub(super) fn read(draft: &mut Draft, statement: &Statement, inner: &[Statement], report: &mut Report) {
    let at = statement.keyword.at;
    let Some(name) = value::read_only_word("vrrp_sync_group", at, &statement.args, report) else { return };
    let mut group =
        GroupDraft { name: At { value: name.text.as_str().into(), at: name.at }, ..GroupDraft::default() };
    let errors = report.errors();
    super::read_block(TABLES, "vrrp_sync_group", inner, &mut group, report);
    group.flawed = report.errors() > errors;
    draft.groups.push(group);
}

/// Reads names of members, one or more per line.
fn members(it: &mut GroupDraft, _: &Statement, inner: &[Statement], report: &mut Report) {
    for line in value::lines(inner, report, &|_| true) {
        let words = std::iter::once(&line.keyword).chain(&line.args);
        it.members.extend(words.map(|word| At { value: word.text.as_str().into(), at: word.at }));
    }
}

fn global_tracking(it: &mut GroupDraft, keyword: &Word, _: &[Word], report: &mut Report) {
    report
        .warning(keyword.at, "`global_tracking` means `sync_group_tracking_weight`, as with keepalived")
        .help("write `sync_group_tracking_weight`");
    it.tracking_weight = true;
}
