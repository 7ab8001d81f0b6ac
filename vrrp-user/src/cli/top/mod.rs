//! `vrrpx top`: the status of a daemon, drawn again each second.
//!
//! Enters: status and events by the socket for readers, keys, the size of the terminal. Leaves: screens. A thread reads
//! the daemon, so that one that hangs delays no key. Absent: steering; nothing here changes a daemon.

mod board;
mod columns;
mod detail;
mod feed;
mod screen;
mod terminal;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

pub use board::{Board, Key, News};

use super::{RUNTIME_DIR, complain};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Runtime folder of the daemon
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
}

pub(super) fn top(arguments: &Arguments) -> ExitCode {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        complain("top needs a terminal; vrrpx status is for pipes, and vrrpx status --watch repeats it");
        return ExitCode::FAILURE;
    }
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match terminal::run(Board::new(colours), &feed::begin(&arguments.runtime_dir)) {
        Ok(None) => ExitCode::SUCCESS,
        // As a shell reports a program that a signal has ended.
        Ok(Some(signal)) => ExitCode::from(128_u8.saturating_add(u8::try_from(signal).unwrap_or_default())),
        Err(error) => {
            complain(&format!("terminal: {error}"));
            ExitCode::FAILURE
        }
    }
}
