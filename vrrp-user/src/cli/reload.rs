//! `vrrpx reload`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{RUNTIME_DIR, complain, tell};
use crate::daemon::control::{self, ControlError};
use crate::daemon::log;

/// As `vrrpx check` ends for a file with errors.
const REFUSED: u8 = 4;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Folder of the daemon that is told
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
}

pub(super) fn reload(arguments: &Arguments) -> ExitCode {
    match control::request_reload(&arguments.runtime_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ControlError::Findings(findings)) => {
            // The daemon has logged them: in the journal they would stand twice.
            if !log::stderr_is_journal() {
                findings.iter().for_each(tell);
            }
            complain("the configuration is not taken over; the daemon goes on with the one before");
            ExitCode::from(REFUSED)
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
