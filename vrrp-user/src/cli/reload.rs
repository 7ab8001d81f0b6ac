//! `vrrpx reload`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{RUNTIME_DIR, complain, tell};
use crate::daemon::control::{self, ControlError};
use crate::daemon::log;

/// Exit code for a refused configuration, as of `vrrpx check`.
const REFUSED: u8 = 4;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Runtime folder of the daemon
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
}

pub(super) fn reload(arguments: &Arguments) -> ExitCode {
    match control::request_reload(&arguments.runtime_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ControlError::Findings(findings)) => {
            // The daemon has logged them: the journal would have them twice.
            if !log::stderr_is_journal() {
                findings.iter().for_each(tell);
            }
            complain("the configuration is refused; the daemon keeps the previous one");
            ExitCode::from(REFUSED)
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
