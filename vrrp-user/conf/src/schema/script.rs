//! `vrrp_script`.

use std::time::Duration;

use super::super::check::CheckTarget;
use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::source::At;
use super::super::tree::Statement;
use super::draft::{Draft, ScriptDraft};
use super::table::{self, Kind, Row, Tables};
use super::track::TrackDraft;
use super::value::{self, SPAN_MAX};
use super::{command, hold};

/// Kinds of checks; each kind has its own names.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Class {
    /// `vrrp_script` and `vrrp_check`, tracked alike.
    Check,
    Process,
    File,
}

impl Class {
    /// For display: its blocks, and the one to suggest.
    pub(crate) fn blocks(self) -> (&'static str, &'static str) {
        match self {
            Self::Check => ("vrrp_script or vrrp_check", "vrrp_script"),
            Self::Process => ("vrrp_track_process", "vrrp_track_process"),
            Self::File => ("track_file", "track_file"),
        }
    }

    /// The keyword that tracks it.
    pub(crate) fn track(self) -> &'static str {
        match self {
            Self::Check => "track_script",
            Self::Process => "track_process",
            Self::File => "track_file",
        }
    }
}

impl ScriptDraft {
    pub(crate) fn class(&self) -> Class {
        match self.block {
            "vrrp_track_process" => Class::Process,
            "track_file" => Class::File,
            _ => Class::Check,
        }
    }
}

pub(super) const TABLES: Tables<ScriptDraft> = &[SCRIPT, ROWS, hold::ROWS];

const SCRIPT: &[Row<ScriptDraft>] =
    &[Row::works("script", Kind::Own("COMMAND", script), "", "good on exit status 0")];

/// Keywords of every check.
pub(super) const ROWS: &[Row<ScriptDraft>] = &[
    Row::works(
        "interval",
        Kind::Seconds(Duration::ZERO, SPAN_MAX, |script: &mut ScriptDraft, t| script.interval = Some(t)),
        "1",
        "time between two starts",
    )
    .instead(1),
    Row::works(
        "timeout",
        Kind::Seconds(Duration::ZERO, SPAN_MAX, |script: &mut ScriptDraft, t| script.timeout = Some(t)),
        "`interval`",
        "a run that lasts longer has failed",
    )
    .instead(1),
    Row::works(
        "weight",
        Kind::Own("-253 to 253 [`reverse`]", weight),
        "0",
        "0: FAULT while failed; positive: added while good; negative: added while failed",
    ),
    Row::works(
        "rise",
        Kind::Integer(1, i32::MAX as i64, |script, n| script.rise = Some(n)),
        "1",
        "good results in a row that make it good",
    ),
    Row::works(
        "fall",
        Kind::Integer(1, i32::MAX as i64, |script, n| script.fall = Some(n)),
        "1",
        "failures in a row that make it failed",
    ),
    Row::works("user", Kind::Own("USER [GROUP]", user), "`script_user`", "user that runs it"),
    Row::works(
        "init_fail",
        Kind::Flag(|script, _| script.init_fail = true),
        "off",
        "counts as failed until `rise` good results",
    ),
];

pub(super) fn read(draft: &mut Draft, statement: &Statement, inner: &[Statement], report: &mut Report) {
    read_as("vrrp_script", TABLES, draft, statement, inner, report);
}

/// Reads a check with the tables of its kind of block.
pub(super) fn read_as(
    block: &'static str,
    tables: Tables<ScriptDraft>,
    draft: &mut Draft,
    statement: &Statement,
    inner: &[Statement],
    report: &mut Report,
) {
    let Some(name) = value::read_only_word(block, statement.keyword.at, &statement.args, report) else {
        return;
    };
    let name = name.placed();
    let mut script = ScriptDraft { name, block, ..ScriptDraft::default() };
    let faults = report.faults();
    table::read_block(tables, block, inner, &mut script, report);
    script.flawed = report.faults() > faults;
    draft.scripts.push(script);
}

/// Marks the tracked scripts, processes and files that a block has defined so far.
pub(super) fn mark_known(lists: [&mut Vec<TrackDraft>; 3], blocks: &[ScriptDraft]) {
    for (tracks, class) in lists.into_iter().zip([Class::Check, Class::Process, Class::File]) {
        for track in tracks {
            track.is_above = blocks.iter().any(|it| it.class() == class && it.name.value == track.name.value);
        }
    }
}

fn script(script: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some((first, more)) = args.split_first() else {
        report.left_out(keyword.at, "`script` needs a command");
        return;
    };
    let (text, outer) = if let Some(second) = more.first() {
        report
            .warning(second.at, format!("keepalived would run `{}` without the words after it", first.text))
            .help("put the command and its arguments in quotes; here all words are used");
        let words: Vec<&str> = args.iter().map(|word| word.raw.as_str()).collect();
        (words.join(" "), None)
    } else {
        (first.inner().to_owned(), first.quote())
    };
    script.target = command::read(&text, outer, first.at, report)
        .map(|command| At { value: CheckTarget::Command(command), at: keyword.at });
}

pub(super) fn weight(script: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let (number, options) = args.split_at(args.len().min(1));
    script.weight = value::read_weight(keyword.at, number, report).or_else(|| beyond(number, report));
    for option in options {
        match option.text.as_str() {
            "reverse" => script.reverse = true,
            "noreverse" => script.reverse = false,
            other => {
                report
                    .left_out(option.at, format!("unknown option `{other}` of `weight`"))
                    .help("only `reverse` may follow");
            }
        }
    }
}

/// keepalived takes a weight beyond the limits as it is; it moves the priority as far as the limit does.
fn beyond(number: &[Word], report: &mut Report) -> Option<At<i64>> {
    let [word] = number else { return None };
    let value = word.text.parse::<i64>().ok().filter(|_| report.is_tolerant())?.clamp(-253, 253);
    report.help_last(format!("{value} counts instead"));
    Some(At { value, at: word.at })
}

/// Sets the target; a second one in a block is an error.
pub(super) fn set_target(check: &mut ScriptDraft, keyword: &Word, target: CheckTarget, report: &mut Report) {
    if check.target.is_some() {
        report
            .error(keyword.at, format!("a check has one target; `{}` is a second one", keyword.text))
            .help("write a second `vrrp_check` and track both");
        return;
    }
    check.target = Some(At { value: target, at: keyword.at });
}

fn user(script: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    script.user = command::user(keyword, args, report);
}
