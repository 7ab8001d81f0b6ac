//! `vrrpx status`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use clap::Args;

use super::{
    RUNTIME_DIR, UNKNOWN_NAME, Unprinted, complain, json, print, print_next, screen_columns, unknown,
};
use crate::daemon::control::{self, ControlError};
use crate::daemon::status::{Status, StatusVerdict, View, WIDTH, detailed, overview, table_at};
use crate::driver::clock;

/// Between two looks of `--watch`.
const PERIOD: Duration = Duration::from_secs(1);

/// Without an answer for this long, `--watch` says so.
const SILENCE: Duration = Duration::from_secs(2);

/// Moves to the upper left corner of a terminal and clears it (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[2J";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Instance or sync group to show, in full
    name: Option<String>,
    /// Show every instance, even if there are more than 20
    #[arg(short, long)]
    all: bool,
    /// Add receive paths, timers, peers, checks and unknown routers
    #[arg(short, long)]
    verbose: bool,
    /// Repeat each second until interrupted
    #[arg(short, long, conflicts_with = "json")]
    watch: bool,
    /// Print JSON, on one line; exits with 0 in every state
    #[arg(long)]
    json: bool,
    /// Runtime folder of the daemon
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
}

pub(super) fn status(arguments: &Arguments) -> ExitCode {
    if arguments.watch {
        return watch(arguments);
    }
    match control::status(&arguments.runtime_dir) {
        Ok(status) => show(arguments, status).unwrap_or_else(|code| code),
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Shows the status again and again, and says for how long there has been none. A thread asks the daemon, so that one
/// that hangs leaves no old screen that looks like the present.
fn watch(arguments: &Arguments) -> ExitCode {
    let (sender, readings) = mpsc::sync_channel(1);
    let runtime_dir = arguments.runtime_dir.clone();
    thread::spawn(move || {
        while sender.send(control::status(&runtime_dir)).is_ok() {
            thread::sleep(PERIOD);
        }
    });
    let mut answered = clock::now();
    let mut problem = None;
    loop {
        let reading = readings.recv_timeout(PERIOD);
        match reading {
            Ok(Ok(status)) => {
                (answered, problem) = (clock::now(), None);
                match show(arguments, status) {
                    Ok(code) if code == ExitCode::from(UNKNOWN_NAME) => return code,
                    Ok(_) => continue,
                    Err(code) => return code,
                }
            }
            Ok(Err(ControlError::Silent(_))) => problem = None,
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Err(error)) => problem = Some(error.to_string()),
            Err(RecvTimeoutError::Disconnected) => return ExitCode::FAILURE,
        }
        let silence = clock::now().since(answered);
        let text = match &problem {
            Some(problem) => problem.clone(),
            None if silence >= SILENCE => {
                format!("the daemon has not answered for {} s; it is stopped or hangs", silence.as_secs())
            }
            None => continue,
        };
        if io::stdout().is_terminal() && !print(CLEAR) {
            return ExitCode::FAILURE;
        }
        complain(&text);
    }
}

/// Prints a status, and returns the exit code; an error if stdout is closed.
fn show(arguments: &Arguments, status: Status) -> Result<ExitCode, ExitCode> {
    let status = match &arguments.name {
        Some(name) if status.state_of(name).is_none() => {
            return Ok(unknown(name, &status));
        }
        Some(name) => status.of(name),
        None => status,
    };
    let Some(text) = text(arguments, &status) else { return Ok(ExitCode::FAILURE) };
    let code = match status.verdict() {
        _ if arguments.json => ExitCode::SUCCESS,
        StatusVerdict::Well => ExitCode::SUCCESS,
        StatusVerdict::Look => ExitCode::from(10),
        StatusVerdict::Bad => ExitCode::from(20),
    };
    match print_next(&text) {
        Ok(()) => Ok(code),
        Err(Unprinted::Closed) => Err(code),
        Err(Unprinted::Lost) => Err(ExitCode::FAILURE),
    }
}

fn text(arguments: &Arguments, status: &Status) -> Option<String> {
    if arguments.json {
        return json(status);
    }
    let is_terminal = io::stdout().is_terminal();
    let colours = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let width = screen_columns();
    let view = View { all: arguments.all || arguments.name.is_some(), colours, width: width.min(WIDTH) };
    let mut text = overview(status, view);
    if arguments.name.is_some() {
        text = format!("{text}\n{}", detailed(status, width.min(WIDTH)));
    }
    if arguments.verbose {
        text = format!("{text}\n{}", table_at(status, width));
    }
    Some(if arguments.watch && is_terminal { format!("{CLEAR}{text}") } else { text })
}
