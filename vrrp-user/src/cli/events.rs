//! `vrrpx events`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{RUNTIME_DIR, complain, is_lost};
use crate::daemon::control;
use crate::daemon::events::follow::Line;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Wait for new events and print them
    #[arg(long, short)]
    follow: bool,
    /// Only events after the one with this number
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
    /// Print JSON, one event per line
    #[arg(long)]
    json: bool,
    /// Runtime folder of the daemon
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
}

pub(super) fn events(arguments: &Arguments) -> ExitCode {
    let Arguments { follow, since, json, runtime_dir } = arguments;
    let mut written = Ok(());
    // Returns whether stdout still has a reader.
    let mut told = |line: &str| {
        written = writeln!(io::stdout().lock(), "{line}");
        written.is_ok()
    };
    let outcome = control::events(runtime_dir, *since, *follow, |line, text| match line {
        Line::Gap(gap) if !json => {
            let count = gap.lost.map_or("an unknown number of".to_owned(), |lost| lost.to_string());
            complain(&format!("{count} events before {} are no longer kept", gap.until));
            true
        }
        Line::Event(event) if !json => told(&event.to_string()),
        _ if *json => told(text),
        _ => true,
    });
    match outcome {
        Ok(()) if is_lost(&written) => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
