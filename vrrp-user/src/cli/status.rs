//! `vrrpx status`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{RUNTIME_DIR, complain, print};
use crate::daemon::control;
use crate::daemon::status::table;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// As JSON, one line
    #[arg(long)]
    json: bool,
    /// Folder of the daemon that is asked
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
}

pub(super) fn status(arguments: &Arguments) -> ExitCode {
    let text =
        control::status(&arguments.runtime_dir).map_err(|error| error.to_string()).and_then(|status| {
            if arguments.json {
                serde_json::to_string(&status).map(|json| json + "\n").map_err(|error| error.to_string())
            } else {
                Ok(table(&status))
            }
        });
    match text {
        Ok(text) if print(&text) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}
