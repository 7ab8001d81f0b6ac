//! `vrrpx check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::run::{UNREADABLE, file_or_default};
use super::{complain, print, tell};
use crate::config::{Config, Diagnostic, Reader, Severity, Tolerance};
use crate::daemon::process::fit::Host;
use crate::daemon::process::preflight;
use crate::daemon::run::config_exit_code;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Configuration to check [default: the one that `run` would take]
    file: Option<PathBuf>,
    /// Read the lines `@ID …` as this node [default: the host's name up to its first dot]
    #[arg(long, short = 'i', value_name = "ID")]
    config_id: Option<String>,
    /// Leave wrong lines out, as keepalived does [default for /etc/keepalived/keepalived.conf]
    #[arg(long)]
    keepalived: bool,
    /// Treat warnings as errors, except those about valid settings that keepalived treats alike
    #[arg(long)]
    strict: bool,
}

/// Exit code for a file with errors.
const ERRORS: u8 = 4;

/// Exit code for a file of which lines are left out.
const LEFT_OUT: u8 = 5;

pub(super) fn check(arguments: &Arguments) -> ExitCode {
    let Some(file) = file_or_default(arguments.file.as_deref(), "vrrpx check FILE") else {
        return ExitCode::from(UNREADABLE);
    };
    let tolerance = Tolerance::of(&file, arguments.keepalived);
    match Reader::new(arguments.config_id.as_deref()).tolerating(tolerance).load(&file) {
        Ok(loaded) => {
            show(&loaded.diagnostics);
            show_host(&loaded.config);
            if arguments.strict && loaded.diagnostics.iter().any(|it| !it.is_harmless) {
                return ExitCode::from(ERRORS);
            }
            if loaded.diagnostics.iter().any(|it| it.severity == Severity::LeftOut) {
                complain("the daemon would run without the lines left out above, as keepalived does");
                return ExitCode::from(LEFT_OUT);
            }
            let instances = match loaded.config.instances.len() {
                1 => "1 instance".to_owned(),
                count => format!("{count} instances"),
            };
            if print(&format!("{}: ok, {instances}\n", file.display())) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(diagnostics) => {
            show(&diagnostics);
            ExitCode::from(config_exit_code(&diagnostics))
        }
    }
}

/// Prints notes about this host. The file may be another host's, so they affect neither the exit code nor `--strict`.
fn show_host(config: &Config) {
    let mut lines = Vec::new();
    match Host::read() {
        Ok(host) => {
            lines.extend(host.lacks_interfaces_of(config));
            lines.extend(host.misfits(config));
        }
        Err(error) => lines.push(format!("cannot read the interfaces: {error}")),
    }
    lines.extend(preflight::scripts(&mut config.clone()));
    for line in lines {
        tell(format_args!("note: on this host: {line}"));
    }
}

fn show(diagnostics: &[Diagnostic]) {
    diagnostics.iter().for_each(tell);
}
