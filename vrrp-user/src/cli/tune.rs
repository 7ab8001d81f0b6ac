//! `vrrpx tune`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{RUNTIME_DIR, complain, folded_to_screen, print, unknown};
use crate::daemon::control;
use crate::daemon::inspect::tune::{lateness, tune as advise};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Instance
    name: String,
    /// Runtime folder of the daemon
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
}

pub(super) fn tune(arguments: &Arguments) -> ExitCode {
    let status = match control::status(&arguments.runtime_dir) {
        Ok(status) => status,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    let Some(instance) = status.instances.iter().find(|it| it.name == arguments.name) else {
        return unknown(&arguments.name, &status);
    };
    match advise(instance, &lateness(&status.engine.lateness)) {
        Ok(text) if print(&folded_to_screen(&text)) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
