//! `vrrpx reload`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{RUNTIME_DIR, complain, print, report, screen_columns};
use crate::config::{folded, wrapped_at};
use crate::daemon::control::{self, ControlError};
use crate::daemon::log;
use crate::daemon::reload::{AppliedReload, ReloadKind};
use crate::daemon::status::WIDTH;
use crate::daemon::wall;

/// Exit code for a refused configuration, as of `vrrpx check`.
const REFUSED: u8 = 4;

/// Columns by which further rows of a line are indented.
const INDENT: usize = 4;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Say what would change, and change nothing
    #[arg(long, conflicts_with_all = ["confirm", "keep"])]
    dry_run: bool,
    /// Go back to the configuration before after this time, such as 60s or 5m, unless it is kept
    #[arg(long, value_name = "TIME", value_parser = wall::span, conflicts_with = "keep")]
    confirm: Option<Duration>,
    /// Keep the reload that would be undone, and read nothing
    #[arg(long)]
    keep: bool,
    /// Runtime folder of the daemon
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
}

pub(super) fn reload(arguments: &Arguments) -> ExitCode {
    let ask = match arguments {
        Arguments { keep: true, .. } => ReloadKind::Keep,
        Arguments { dry_run: true, .. } => ReloadKind::Try,
        // The daemon counts whole seconds.
        Arguments { confirm, .. } => {
            ReloadKind::Apply { confirm: confirm.map(|time| time.max(Duration::from_secs(1))) }
        }
    };
    match control::request_reload(&arguments.runtime_dir, ask) {
        // The daemon has logged it: the journal would have it twice.
        Ok(_) if ask != ReloadKind::Try && log::stderr_is_journal() => ExitCode::SUCCESS,
        Ok(applied) if print(&text(&applied, ask)) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(ControlError::Findings(findings)) if ask == ReloadKind::Keep => {
            findings.iter().for_each(|finding| complain(finding));
            ExitCode::FAILURE
        }
        Err(ControlError::Findings(findings)) => {
            if ask == ReloadKind::Try || !log::stderr_is_journal() {
                findings.iter().for_each(report);
            }
            complain(match ask {
                ReloadKind::Try => "the configuration would be refused",
                _ => "the configuration is refused; the daemon keeps the previous one",
            });
            ExitCode::from(REFUSED)
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn text(AppliedReload { changes, warnings, handovers }: &AppliedReload, ask: ReloadKind) -> String {
    if ask == ReloadKind::Keep {
        return "the reload is kept\n".to_owned();
    }
    let columns = screen_columns().min(WIDTH);
    let mut out = String::new();
    let is_dry = ask == ReloadKind::Try;
    if changes.is_empty() {
        out.push_str(if is_dry { "nothing would change\n" } else { "nothing changed\n" });
    }
    for change in changes {
        wrapped_at(columns, &mut out, "", &change.to_string(), INDENT);
    }
    for line in
        warnings.iter().flat_map(|warning| warning.lines()).chain(handovers.iter().map(String::as_str))
    {
        wrapped_at(columns, &mut out, "", line, INDENT);
    }
    match ask {
        ReloadKind::Try => out.push_str("nothing is applied (--dry-run)\n"),
        ReloadKind::Apply { confirm: Some(time) } => {
            let seconds = time.as_secs();
            out.push_str(&format!("undone in {seconds} s unless you run: vrrpx reload --keep\n"));
        }
        ReloadKind::Apply { confirm: None } | ReloadKind::Keep => {}
    }
    folded(columns, &out)
}
