//! `vrrpx check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::tell;
use crate::config::{Diagnostic, Reader};
use crate::daemon::run::config_exit_code;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Configuration to check
    file: PathBuf,
    /// Read the lines `@ID …` as this node [default: the host's name up to its first dot]
    #[arg(long, short = 'i', value_name = "ID")]
    config_id: Option<String>,
    /// Take warnings as errors
    #[arg(long)]
    strict: bool,
}

/// For a file with errors.
const ERRORS: u8 = 4;

pub(super) fn check(arguments: &Arguments) -> ExitCode {
    match Reader::new(arguments.config_id.as_deref()).load(&arguments.file) {
        Ok(loaded) => {
            show(&loaded.diagnostics);
            if arguments.strict && !loaded.diagnostics.is_empty() {
                return ExitCode::from(ERRORS);
            }
            ExitCode::SUCCESS
        }
        Err(diagnostics) => {
            show(&diagnostics);
            ExitCode::from(config_exit_code(&diagnostics))
        }
    }
}

fn show(diagnostics: &[Diagnostic]) {
    diagnostics.iter().for_each(tell);
}
