//! `vrrpx is-master`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{RUNTIME_DIR, complain, unknown};
use crate::daemon::control;

/// Exit code without a daemon to ask.
const NO_DAEMON: u8 = 3;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Instance or sync group
    name: String,
    /// Runtime folder of the daemon
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
}

pub(super) fn is_master(arguments: &Arguments) -> ExitCode {
    let status = match control::status(&arguments.runtime_dir) {
        Ok(status) => status,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(NO_DAEMON);
        }
    };
    match status.state_of(&arguments.name) {
        Some("MASTER") => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
        None => unknown(&arguments.name, &status),
    }
}
