//! `vrrpx status`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;

use super::{RUNTIME_DIR, UNKNOWN_NAME, Unprinted, complain, json, print_next, unknown};
use crate::daemon::control;
use crate::daemon::status::{Status, StatusVerdict, View, overview, table};

/// Between two looks of `--watch`.
const PERIOD: Duration = Duration::from_secs(1);

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
    loop {
        let code = match look(arguments) {
            Ok(code) if arguments.watch => code,
            Ok(code) | Err(code) => return code,
        };
        if code == ExitCode::from(UNKNOWN_NAME) {
            return code;
        }
        sleep(PERIOD);
    }
}

/// Prints the status. An error if stdout is closed.
fn look(arguments: &Arguments) -> Result<ExitCode, ExitCode> {
    let status = match control::status(&arguments.runtime_dir) {
        Ok(status) => status,
        Err(error) => {
            complain(&error.to_string());
            return Ok(ExitCode::FAILURE);
        }
    };
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
    let view = View { all: arguments.all || arguments.name.is_some(), colours };
    let mut text = overview(status, view);
    if arguments.verbose || arguments.name.is_some() {
        text = format!("{text}\n{}", table(status));
    }
    Some(if arguments.watch && is_terminal { format!("{CLEAR}{text}") } else { text })
}
