//! `global_defs`: FIFOs for changes, and dump files.

use std::sync::Arc;

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::model::{DumpSettings, FifoSettings};
use super::super::source::At;
use super::command::{self, FORM};
use super::draft::{FifoDraft, GlobalsDraft, Written};
use super::table::{Kind, Row};
use super::value;

const FIFO_FORM: &str = "PATH [USER [GROUP]]";

pub(super) const ROWS: &[Row<GlobalsDraft>] = &[
    Row::works(
        "notify_fifo",
        Kind::Own(FIFO_FORM, |globals, keyword, args, report| {
            let path = fifo(&mut globals.fifo, keyword, args, report);
            globals.written.extend(path.map(|path| Written { keyword: "notify_fifo", path }));
        }),
        "",
        "FIFO that receives every change, one line each",
    ),
    Row::works(
        "notify_fifo_script",
        Kind::Own(FORM, |globals, keyword, args, report| {
            script(&mut globals.fifo, keyword, args, report);
        }),
        "",
        "reads `notify_fifo`, whose path is its last argument; runs as long as the daemon",
    ),
    Row::works(
        "vrrp_notify_fifo",
        Kind::Own(FIFO_FORM, |globals, keyword, args, report| {
            let path = fifo(&mut globals.vrrp_fifo, keyword, args, report);
            globals.written.extend(path.map(|path| Written { keyword: "vrrp_notify_fifo", path }));
        }),
        "",
        "as `notify_fifo`; both may be used",
    ),
    Row::works(
        "vrrp_notify_fifo_script",
        Kind::Own(FORM, |globals, keyword, args, report| {
            script(&mut globals.vrrp_fifo, keyword, args, report);
        }),
        "",
        "reads `vrrp_notify_fifo`",
    ),
    Row::works(
        "vrrp_notify_priority_changes",
        Kind::Bool(|globals, on| globals.notify_priority_changes = on.value),
        "off",
        "default `notify_priority_changes`",
    ),
    Row::works(
        "fifo_write_vrrp_states_on_reload",
        Kind::Flag(|globals, _| globals.fifo_states_on_reload = true),
        "off",
        "write all states to the FIFOs after a reload",
    ),
    Row::works(
        "state_dump_file",
        Kind::Own("PATH", |globals, keyword, args, report| {
            dump(globals, "state_dump_file", |dumps| &mut dumps.state, args, keyword, report);
        }),
        "keepalived.data in `TMPDIR` or /tmp",
        "written on SIGUSR1",
    ),
    Row::works(
        "stats_dump_file",
        Kind::Own("PATH", |globals, keyword, args, report| {
            dump(globals, "stats_dump_file", |dumps| &mut dumps.stats, args, keyword, report);
        }),
        "keepalived.stats in `TMPDIR` or /tmp",
        "written on SIGUSR2",
    ),
    Row::works(
        "json_dump_file",
        Kind::Own("PATH", |globals, keyword, args, report| {
            dump(globals, "json_dump_file", |dumps| &mut dumps.json, args, keyword, report);
        }),
        "keepalived.json in `TMPDIR` or /tmp",
        "written on SIGRTMIN+2",
    ),
    Row::works(
        "json_version",
        Kind::Integer(1, 2, |globals, n| globals.dumps.nested_json = n.value == 2),
        "1",
        "1: a list of instances; 2: an object with the list in `vrrp`",
    ),
];

/// The FIFOs of two drafts. A script without a FIFO is reported and left out.
pub(crate) fn fifos(drafts: [FifoDraft; 2], report: &mut Report) -> Vec<FifoSettings> {
    let mut fifos: Vec<FifoSettings> = Vec::new();
    for FifoDraft { path, user, script } in drafts {
        match (path, script) {
            (None, None) => {}
            (None, Some(script)) => {
                report.warning(script.at, "the script is not run: there is no FIFO for it to read");
            }
            (Some(path), script) => {
                fifos.push(FifoSettings {
                    path: path.value,
                    user,
                    script: script.map(|script| script.value),
                });
            }
        }
    }
    fifos
}

/// Returns the path if it is used.
fn fifo(draft: &mut FifoDraft, keyword: &Word, args: &[Word], report: &mut Report) -> Option<At<Arc<str>>> {
    let Some((first, user)) = args.split_first() else {
        report.left_out(keyword.at, format!("`{}` needs a path", keyword.text));
        return None;
    };
    let path = absolute(keyword, first, report)?;
    if draft.path.is_some() {
        report.warning(keyword.at, format!("`{}` is written already; this one is ignored", keyword.text));
        return None;
    }
    draft.user = if user.is_empty() { None } else { command::user(keyword, user, report) };
    draft.path = Some(path.clone());
    Some(path)
}

fn script(draft: &mut FifoDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let mut command = draft.script.take().map(|script| script.value);
    command::hook(&mut command, keyword, args, report);
    draft.script = command.map(|value| At { value, at: keyword.at });
}

fn dump(
    globals: &mut GlobalsDraft,
    keyword: &'static str,
    slot: fn(&mut DumpSettings) -> &mut Option<Arc<str>>,
    args: &[Word],
    word: &Word,
    report: &mut Report,
) {
    let path = value::read_only_word(keyword, word.at, args, report);
    let path = path.and_then(|path| absolute(word, path, report));
    *slot(&mut globals.dumps) = path.as_ref().map(|path| Arc::clone(&path.value));
    globals.written.retain(|it| it.keyword != keyword);
    globals.written.extend(path.map(|path| Written { keyword, path }));
}

fn absolute(keyword: &Word, word: &Word, report: &mut Report) -> Option<At<Arc<str>>> {
    if !word.text.starts_with('/') {
        report.left_out(word.at, format!("`{}` takes an absolute path, not `{}`", keyword.text, word.text));
        return None;
    }
    Some(word.placed())
}
