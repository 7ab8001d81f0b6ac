//! Command line of keepalived: its options, exit codes and files.
//!
//! Enters: arguments as keepalived takes them. Leaves: a daemon in the background or the foreground, or an answer.
//! Absent: a daemon of its own; it is the same as that of `vrrpx run`.

mod options;
mod table;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tracing::warn;

use self::options::{Options, Task, read};
use self::table::{Meaning, ROWS, Takes};
use super::{RUNTIME_DIR, complain, folded_to_screen, give_up, print, report};
use crate::config::{KEEPALIVED_CONF, Reader, Severity, Tolerance};
use crate::daemon::dump::Dump;
use crate::daemon::log::syslog::Syslog;
use crate::daemon::log::{self, LogError, Sink};
use crate::daemon::process::background::{Side, Waiting, divide};
use crate::daemon::process::options::{KeepalivedPaths, ProcessOptions, RunOptions};
use crate::daemon::process::{features, preflight};
use crate::daemon::run;

/// Program name that selects these options.
pub(super) const NAME: &str = "keepalived";

/// Version of keepalived that this command line follows; programs read it to choose options.
const LIKE: &str = "2.4.3";

/// keepalived's exit codes for a configuration check, each one above that of its manual: errors, lines left out or
/// scripts that would not run; and scripts that other users may change.
const DISABLED: u8 = 5;
const UNGUARDED: u8 = 6;

/// keepalived's exit code without a readable configuration.
const UNREADABLE: u8 = 2;

/// Runs with the arguments after the program's name.
pub(super) fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match read(arguments) {
        Ok(options) => options,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    match &options.task {
        Task::Run => daemon(options),
        Task::Test(file) => test(&options, file.as_deref()),
        Task::Signum(word) => signum(word),
        Task::Version => {
            // On stderr, as keepalived prints it and programs expect it.
            eprintln!("Keepalived v{LIKE} ({})\n\nvrrpx {0}, in its place", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Task::Help => {
            print(&folded_to_screen(&help()));
            ExitCode::SUCCESS
        }
    }
}

fn daemon(mut options: Options) -> ExitCode {
    // The background process runs in `/`, so relative paths are resolved here.
    let paths = [&mut options.config, &mut options.pid, &mut options.vrrp_pid, &mut options.runtime_dir];
    for path in paths.into_iter().flatten() {
        *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
    }
    let waiting = if options.foreground {
        None
    } else {
        // SAFETY: this is the first thread and has started no other.
        match unsafe { divide() } {
            Ok(Side::Foreground(code)) => return ExitCode::from(code),
            Ok(Side::Background(waiting)) => Some(waiting),
            Err(error) => {
                complain(&format!("cannot go into the background: {error}"));
                return ExitCode::FAILURE;
            }
        }
    };
    let sink = match start_log(&options) {
        Ok(sink) => sink,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    for notice in &options.notices {
        warn!("{notice}");
    }
    let console = options.console;
    let ready = || waiting.map_or(Ok(()), |waiting: Waiting| waiting.ready(console));
    match run::run(&run_options(options), ready) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => give_up(&error, sink),
    }
}

/// Logs to syslog as keepalived does, unless the journal would get each line twice or there is no syslog.
fn start_log(options: &Options) -> Result<Sink, LogError> {
    let detail = options.detail.then_some("info,vrrp_user=debug");
    let level = options.log.as_deref().or(detail);
    let journal = options.foreground && log::stderr_is_journal();
    if options.console || options.no_syslog || journal || !Syslog::is_there() {
        log::start(level)
    } else {
        log::start_syslog(level, Syslog::new(options.facility, NAME))
    }
}

fn run_options(options: Options) -> RunOptions {
    let beside = |pid: &PathBuf| pid.with_extension("vrrpx");
    let folder = options.runtime_dir.or_else(|| options.pid.as_ref().map(beside));
    RunOptions {
        // As keepalived does.
        strict_start: true,
        tolerance: Tolerance::AsKeepalived,
        config: options.config.unwrap_or_else(|| KEEPALIVED_CONF.into()),
        config_id: options.config_id,
        runtime_dir: folder.clone().unwrap_or_else(|| RUNTIME_DIR.into()),
        metrics: options.metrics,
        mode: options.mode,
        hot_restart: false,
        bridge: None,
        realtime: !options.no_realtime,
        control_group: None,
        status_group: None,
        process: ProcessOptions {
            places: Some(KeepalivedPaths {
                pid: options.pid,
                vrrp_pid: options.vrrp_pid,
                folder: folder.is_some(),
            }),
            dump_at_start: options.dump,
            umask: options.umask,
            is_silent: !options.foreground && !options.console,
        },
    }
}

/// Checks a configuration; findings go to `file`, or to stderr.
fn test(options: &Options, file: Option<&Path>) -> ExitCode {
    let config = options.config.clone().unwrap_or_else(|| KEEPALIVED_CONF.into());
    let reader = Reader::new(options.config_id.as_deref()).tolerating(Tolerance::AsKeepalived);
    let (lines, code) = findings(&reader, &config);
    let written = match file {
        Some(file) => File::create(file).and_then(|mut file| file.write_all(lines.as_bytes())),
        None if lines.is_empty() => Ok(()),
        None => {
            report(lines.trim_end());
            Ok(())
        }
    };
    if let (Err(error), Some(file)) = (written, file) {
        complain(&format!("{}: {error}", file.display()));
    }
    ExitCode::from(code)
}

fn findings(reader: &Reader, config: &Path) -> (String, u8) {
    let mut lines = String::new();
    let (diagnostics, code) = match reader.load(config) {
        Ok(loaded) => {
            let scripts = preflight::script_findings(&loaded.config);
            for line in &scripts.lines {
                // Writing to a string cannot fail.
                let _ = writeln!(lines, "{line}");
            }
            let lacking = features::lacking(&loaded.config, features::BUILT);
            for line in &lacking {
                let _ = writeln!(lines, "{line}");
            }
            let left_out = loaded.diagnostics.iter().any(|it| it.severity == Severity::LeftOut);
            let code = match scripts.lines.len() {
                _ if left_out || !lacking.is_empty() => DISABLED,
                _ if scripts.unguarded => UNGUARDED,
                0 => 0,
                _ => DISABLED,
            };
            (loaded.diagnostics, code)
        }
        Err(diagnostics) => {
            let is_unreadable = diagnostics.iter().any(|it| it.severity == Severity::Unreadable);
            (diagnostics, if is_unreadable { UNREADABLE } else { DISABLED })
        }
    };
    for diagnostic in &diagnostics {
        let _ = writeln!(lines, "{diagnostic}");
    }
    (lines, code)
}

fn signum(word: &str) -> ExitCode {
    let dump = Dump::ALL.into_iter().find(|dump| dump.word() == word).map(Dump::signal);
    let number = match word {
        "STOP" => Some(libc::SIGTERM),
        "RELOAD" => Some(libc::SIGHUP),
        _ => dump,
    };
    if let Some(number) = number {
        print(&format!("{number}\n"));
        ExitCode::SUCCESS
    } else {
        complain(&format!("unknown signal `{word}`; use STOP, RELOAD, DATA, STATS, STATS_CLEAR or JSON"));
        ExitCode::FAILURE
    }
}

fn help() -> String {
    let mut text = format!("Usage: {NAME} [OPTION]...\n\n");
    for (row, (option, summary)) in ROWS.iter().zip(options()) {
        let indent = if row.short.is_some() { "" } else { "    " };
        let option = format!("{indent}{option}");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {option:<34} {summary}");
    }
    text
}

/// Each option as written, and its effect.
pub(super) fn options() -> Vec<(String, String)> {
    let option = |row: &table::OptionRow| {
        let short = row.short.map_or(String::new(), |short| format!("-{}, ", char::from(short)));
        let value = match row.takes {
            Takes::Nothing => String::new(),
            Takes::Optional => format!("[={}]", row.value),
            Takes::Required => format!("={}", row.value),
        };
        let refused = if matches!(row.meaning, Meaning::Refused(_)) { "refused: " } else { "" };
        (format!("{short}--{}{value}", row.long), format!("{refused}{}", row.summary))
    };
    ROWS.iter().map(option).collect()
}
