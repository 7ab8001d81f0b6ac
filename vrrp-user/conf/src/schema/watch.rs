//! `vrrp_track_process` and `track_file`, also inside `vrrp_check`.

use std::path::Path;
use std::time::Duration;

use super::super::check::{CheckTarget, FileTarget, Matching, ProcessTarget, Processes};
use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::source::{At, Position};
use super::super::tree::Statement;
use super::draft::{Draft, ProcessDraft, ScriptDraft};
use super::table::{Kind, Row, Tables};
use super::{hold, script, value};

pub(super) const PROCESS: Tables<ScriptDraft> = &[CALL, PROCESS_ROWS, WEIGHT, hold::ROWS];

pub(super) const FILE: Tables<ScriptDraft> = &[FILE_ROWS, WEIGHT];

/// keepalived's bounds for the delays.
const DELAY_MIN: Duration = Duration::from_micros(1);
const DELAY_MAX: Duration = Duration::from_secs(3600);

const CALL: &[Row<ScriptDraft>] = &[
    Row::works(
        "process",
        Kind::Own("PROGRAM [ARGUMENT…]", call),
        "",
        "the program's name, or its path as called",
    ),
    Row::works(
        "param_match",
        Kind::Own("initial or partial", param_match),
        "all",
        "compare the first arguments only; with `partial` the last of them may be a prefix",
    ),
    Row::works(
        "full_command",
        Kind::Flag(|it, _| it.process.full_command = true),
        "off; on with arguments",
        "compare the path as called, not the 15 bytes that the kernel keeps as its name",
    ),
];

/// Also for `process` in `vrrp_check`.
pub(super) const PROCESS_ROWS: &[Row<ScriptDraft>] = &[
    Row::works(
        "quorum",
        Kind::Integer(1, 65535, |it, n| it.process.quorum = Some(n)),
        "1",
        "of `process`: least number that must run",
    ),
    Row::works(
        "quorum_max",
        Kind::Integer(0, 65535, |it, n| it.process.quorum_max = Some(n)),
        "none",
        "of `process`: most that may run",
    ),
    Row::works(
        "delay",
        Kind::Seconds(DELAY_MIN, DELAY_MAX, |it, span| {
            (it.process.fork_delay, it.process.terminate_delay) = (Some(span), Some(span));
        }),
        "none",
        "of `process`: `fork_delay` and `terminate_delay`",
    ),
    Row::works(
        "fork_delay",
        Kind::Seconds(DELAY_MIN, DELAY_MAX, |it, span| it.process.fork_delay = Some(span)),
        "none",
        "of `process`: time for which enough must run before that counts",
    ),
    Row::works(
        "terminate_delay",
        Kind::Seconds(DELAY_MIN, DELAY_MAX, |it, span| it.process.terminate_delay = Some(span)),
        "none",
        "of `process`: time for which too few must run before that counts",
    ),
];

/// Also in `vrrp_check`.
pub(super) const FILE_ROWS: &[Row<ScriptDraft>] = &[
    Row::works("file", Kind::Own("PATH", file), "", "file with a number; number times weight counts"),
    Row::works(
        "init_file",
        Kind::Own("[NUMBER] [overwrite]", init_file),
        "not written",
        "of `file`: write NUMBER (0) at the start if the file does not exist; with `overwrite` in any case",
    ),
];

const WEIGHT: &[Row<ScriptDraft>] = &[Row::works(
    "weight",
    Kind::Own("-254 to 254 [`reverse`]", script::weight),
    "0; of files 1",
    "0: FAULT while failed, or while the number is not 0; of files, a product of -254 or less is FAULT too",
)];

pub(super) fn read_process(
    draft: &mut Draft,
    statement: &Statement,
    inner: &[Statement],
    report: &mut Report,
) {
    script::read_as("vrrp_track_process", PROCESS, draft, statement, inner, report);
    let Some(it) = draft.scripts.last_mut() else { return };
    if let Some(program) = it.process.program.take() {
        let draft = std::mem::take(&mut it.process);
        let which = if draft.full_command || !draft.arguments.is_empty() || draft.matching.is_some() {
            let matching = draft.matching.unwrap_or(Matching::Exact);
            Processes::Called { program, arguments: draft.arguments.clone(), matching }
        } else {
            Processes::Named(program)
        };
        let target = CheckTarget::Process(draft.target(which));
        it.target = Some(At { value: target, at: statement.keyword.at });
    }
}

pub(super) fn read_file(draft: &mut Draft, statement: &Statement, inner: &[Statement], report: &mut Report) {
    script::read_as("track_file", FILE, draft, statement, inner, report);
    if let Some(it) = draft.scripts.last_mut() {
        finish_file(it, report);
    }
}

impl ProcessDraft {
    pub(super) fn target(&self, which: Processes) -> ProcessTarget {
        let count = |count: At<i64>| u32::try_from(count.value).unwrap_or(u32::MAX);
        let span = |span: Option<At<Duration>>| span.map_or(Duration::ZERO, |span| span.value);
        let quorum_max = self.quorum_max.map(count);
        ProcessTarget {
            which,
            // `quorum_max 0`: no process may run.
            quorum: self.quorum.map_or(u32::from(quorum_max != Some(0)), count),
            quorum_max,
            fork_delay: span(self.fork_delay),
            terminate_delay: span(self.terminate_delay),
        }
    }

    /// The first keyword written that only a process uses.
    pub(super) fn first_written(&self) -> Option<(&'static str, Position)> {
        let quorum = self.quorum.map(|it| ("quorum", it.at));
        let quorum_max = self.quorum_max.map(|it| ("quorum_max", it.at));
        let fork = self.fork_delay.map(|it| ("fork_delay", it.at));
        let terminate = self.terminate_delay.map(|it| ("terminate_delay", it.at));
        quorum.or(quorum_max).or(fork).or(terminate)
    }
}

/// Stores `init_file` in its file.
pub(super) fn finish_file(it: &mut ScriptDraft, report: &mut Report) {
    let Some(At { value: initial, at }) = it.init_file.take() else { return };
    match it.target.as_mut().map(|target| &mut target.value) {
        Some(CheckTarget::File(target)) => target.initial = Some(initial),
        _ => {
            report.left_out(at, "`init_file` belongs to `file`, which this check does not have");
        }
    }
}

fn call(it: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    // One quoted word, as for a script, or several words.
    let mut words = args.iter().flat_map(|word| {
        let quoted = args.len() == 1;
        let parts: Vec<&str> = if quoted { word.text.split_whitespace().collect() } else { vec![&word.text] };
        parts
    });
    let Some(program) = words.next() else {
        report.error(keyword.at, "`process` needs a program");
        return;
    };
    it.process.program = Some(program.into());
    it.process.arguments = words.map(Into::into).collect();
}

fn param_match(it: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let known = [("initial", Matching::Initial), ("partial", Matching::Partial)];
    it.process.matching = value::read_choice(&known, keyword, args, report).map(|it| it.value);
}

pub(super) fn file(it: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word("file", keyword.at, args, report) else { return };
    let path = Path::new(&word.text);
    if !path.is_absolute() {
        report.left_out(word.at, format!("`file` needs an absolute path, not `{}`", word.text));
        return;
    }
    let target = CheckTarget::File(FileTarget { path: path.to_owned(), initial: None });
    script::set_target(it, keyword, target, report);
}

fn init_file(it: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let mut initial = (0, false);
    for word in args {
        match word.text.parse::<i32>() {
            Ok(number) => initial.0 = number,
            Err(_) if word.text == "overwrite" => initial.1 = true,
            Err(_) => {
                report.left_out(
                    word.at,
                    format!("`init_file` takes a number and `overwrite`, not `{}`", word.text),
                );
                return;
            }
        }
    }
    it.init_file = Some(At { value: initial, at: keyword.at });
}
