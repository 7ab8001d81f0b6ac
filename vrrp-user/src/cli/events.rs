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
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
    /// Only what happened after the event of this number
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
    /// As JSON, one line each
    #[arg(long)]
    json: bool,
    /// Folder of the daemon that is asked
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
}

pub(super) fn events(arguments: &Arguments) -> ExitCode {
    let Arguments { follow, since, json, runtime_dir } = arguments;
    let mut written = Ok(());
    // Whether somebody still reads.
    let mut told = |line: &str| {
        written = writeln!(io::stdout().lock(), "{line}");
        written.is_ok()
    };
    let outcome = control::events(runtime_dir, *since, *follow, |line, text| match line {
        Line::Gap(gap) if !json => {
            let count = gap.lost.map_or("an unknown number of".to_owned(), |lost| lost.to_string());
            complain(&format!("{count} events before {} are gone", gap.until));
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
