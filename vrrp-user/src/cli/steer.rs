//! Orders to the daemon: the part that all their commands share.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{RUNTIME_DIR, UNKNOWN_NAME, complain, folded_to_screen, print, report};
use crate::daemon::control::{self, ControlError, Request};

/// Exit code for a refused order, as for a refused configuration.
const REFUSED: u8 = 4;

/// Exit code if another router than the named one became master.
const OTHER_MASTER: u8 = 6;

#[derive(Args, Debug)]
pub(super) struct DaemonPlace {
    /// Runtime folder of the daemon
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    pub(super) runtime_dir: PathBuf,
}

/// Has an order carried out and prints what came of it.
pub(super) fn steer(runtime_dir: &Path, request: &Request) -> ExitCode {
    match control::steer(runtime_dir, request) {
        Ok(lines) => {
            let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            if print(&folded_to_screen(&text)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(ControlError::Findings(reasons)) => complain_all(&reasons, REFUSED),
        Err(ControlError::OtherMaster(lines)) => complain_all(&lines, OTHER_MASTER),
        Err(ControlError::Unknown(text)) => {
            complain(&text);
            ExitCode::from(UNKNOWN_NAME)
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn complain_all(lines: &[String], code: u8) -> ExitCode {
    if let Some((first, rest)) = lines.split_first() {
        complain(first);
        rest.iter().for_each(report);
    }
    ExitCode::from(code)
}
