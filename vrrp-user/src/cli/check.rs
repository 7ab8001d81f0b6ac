//! `vrrpx check`.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::run::{UNREADABLE, file_or_default};
use super::{complain, print, tell};
use crate::config::{Config, Diagnostic, Reader, Severity, Tolerance};
use crate::daemon::process::{features, fit, preflight};
use crate::daemon::run::config_exit_code;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Configuration to check, - for standard input [default: the one that `run` would take]
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
    /// Count what does not fit this host as warnings: interfaces, subnets, source addresses, scripts and their users
    #[arg(long)]
    host: bool,
}

/// Name of the standard input.
const STDIN: &str = "-";

/// Exit code for a file with errors.
const ERRORS: u8 = 4;

/// Exit code for a file of which lines are left out.
const LEFT_OUT: u8 = 5;

pub(super) fn check(arguments: &Arguments) -> ExitCode {
    let Some(file) = file_or_default(arguments.file.as_deref(), "vrrpx check FILE") else {
        return ExitCode::from(UNREADABLE);
    };
    let tolerance = Tolerance::of(&file, arguments.keepalived);
    let reader = Reader::new(arguments.config_id.as_deref()).tolerating(tolerance);
    let read = if file.as_os_str() == STDIN {
        let mut text = Vec::new();
        if let Err(error) = io::stdin().lock().read_to_end(&mut text) {
            complain(&format!("stdin: {error}"));
            return ExitCode::from(UNREADABLE);
        }
        reader.load_text("stdin", &String::from_utf8_lossy(&text))
    } else {
        reader.load(&file)
    };
    match read {
        Ok(loaded) => {
            show(&loaded.diagnostics);
            show(&loaded.traps());
            let lacking = features::lacking(&loaded.config, features::BUILT);
            if !lacking.is_empty() {
                lacking.iter().for_each(|line| complain(line));
                return ExitCode::from(ERRORS);
            }
            let misfits = host_findings(&loaded.config);
            let word = if arguments.host { "warning" } else { "note" };
            misfits.iter().for_each(|line| tell(format_args!("{word}: on this host: {line}")));
            let counts = arguments.host && !misfits.is_empty();
            if arguments.strict && (counts || loaded.diagnostics.iter().any(|it| !it.is_harmless)) {
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
            let name = if file.as_os_str() == STDIN { "stdin".into() } else { file.display().to_string() };
            if print(&format!("{name}: ok, {instances}\n")) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(diagnostics) => {
            show(&diagnostics);
            ExitCode::from(config_exit_code(&diagnostics))
        }
    }
}

/// What does not fit this host. The file may be another host's, so that it counts only if that is asked for.
fn host_findings(config: &Config) -> Vec<String> {
    let mut lines: Vec<String> = fit::findings(config).into_iter().map(|it| it.text).collect();
    lines.extend(preflight::scripts(&mut config.clone()));
    lines
}

fn show(diagnostics: &[Diagnostic]) {
    diagnostics.iter().for_each(tell);
}
