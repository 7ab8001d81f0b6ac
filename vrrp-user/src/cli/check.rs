//! `vrrpx check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::{self, Diagnostic};
use crate::daemon::run::config_exit_code;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Configuration to check
    file: PathBuf,
}

pub(super) fn check(arguments: &Arguments) -> ExitCode {
    match config::load(&arguments.file) {
        Ok(loaded) => {
            show(&loaded.diagnostics);
            ExitCode::SUCCESS
        }
        Err(diagnostics) => {
            show(&diagnostics);
            ExitCode::from(config_exit_code(&diagnostics))
        }
    }
}

fn show(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        eprintln!("{diagnostic}");
    }
}
