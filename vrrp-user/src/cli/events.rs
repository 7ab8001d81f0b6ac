//! `vrrpx events`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{RUNTIME_DIR, UNKNOWN_NAME, complain, is_lost, screen_columns};
use crate::config::wrapped_at;
use crate::daemon::control;
use crate::daemon::events::Event;
use crate::daemon::events::follow::Line;
use crate::daemon::events::select::{EventSelection, EventsSince};
use crate::daemon::status::{Status, WIDTH};
use crate::daemon::steering::{LOG, unknown_of};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Only events of this instance, sync group or check
    name: Option<String>,
    /// Wait for new events and print them
    #[arg(long, short)]
    follow: bool,
    /// Only events of the last 10m or 2h, after a local time ("2026-11-29 14:30", or the latest 14:30), or after that
    /// of this number
    #[arg(long, value_name = "TIME")]
    since: Option<EventsSince>,
    /// Only events of this kind, such as transition or check; may be repeated
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<String>,
    /// Print JSON, one event per line
    #[arg(long)]
    json: bool,
    /// Runtime folder of the daemon
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
}

pub(super) fn events(arguments: &Arguments) -> ExitCode {
    let Arguments { name, follow, since, kind, json, runtime_dir } = arguments;
    let selection = match EventSelection::new(*since, name.clone(), kind.clone()) {
        Ok(selection) => selection,
        Err(error) => {
            complain(&error);
            return ExitCode::from(2);
        }
    };
    if *follow && let Some(unknown) = name.as_deref().and_then(|name| unknown_to(runtime_dir, name)) {
        complain(&format!("{unknown}; waiting for it"));
    }
    let (mut written, mut is_empty) = (Ok(()), true);
    // Returns whether stdout still has a reader.
    let mut reported = |text: &str| {
        written = io::stdout().lock().write_all(text.as_bytes());
        written.is_ok()
    };
    let number = since.and_then(EventsSince::number);
    let columns = screen_columns();
    let outcome = control::events(runtime_dir, number, *follow, |line, text| match line {
        Line::Event(event) if !selection.has(event) => true,
        Line::Event(event) => {
            is_empty = false;
            reported(&if *json { format!("{text}\n") } else { row(event, columns) })
        }
        Line::Gap(gap) if !json => {
            let count = gap.lost.map_or("an unknown number of".to_owned(), |lost| lost.to_string());
            complain(&format!("{count} events before {} are no longer kept", gap.until));
            true
        }
        _ if *json => reported(&format!("{text}\n")),
        _ => true,
    });
    match outcome {
        Ok(()) if is_lost(&written) => ExitCode::FAILURE,
        Ok(()) if is_empty => match name.as_deref().and_then(|name| unknown_to(runtime_dir, name)) {
            Some(unknown) => {
                complain(&unknown);
                ExitCode::from(UNKNOWN_NAME)
            }
            None => ExitCode::SUCCESS,
        },
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Error text for a name that neither the daemon nor any kept event has, whatever its time and kind.
fn unknown_to(runtime_dir: &Path, name: &str) -> Option<String> {
    let status = control::status(runtime_dir).ok()?;
    let names = || names(&status);
    if name == LOG || names().any(|it| it == name) {
        return None;
    }
    let mut is_kept = false;
    let read = control::events(runtime_dir, None, false, |line, _| {
        is_kept |= matches!(line, Line::Event(event) if event.what.about() == Some(name));
        !is_kept
    });
    (read.is_ok() && !is_kept)
        .then(|| unknown_of(name, "neither an instance, nor a sync group, nor a check", names()))
}

/// Names that events may be about.
fn names(status: &Status) -> impl Iterator<Item = &str> + Clone {
    let instances = status.instances.iter().map(|it| it.name.as_str());
    let groups = status.groups.iter().map(|it| it.name.as_str());
    let checks = status.checks.iter().map(|it| it.name.as_str());
    // `vrrp_script web`.
    let disabled = status.disabled_scripts.iter().filter_map(|it| it.script.strip_prefix("vrrp_script "));
    instances.chain(groups).chain(checks).chain(disabled)
}

fn row(event: &Event, columns: usize) -> String {
    let (mut out, text) = (String::new(), event.to_string().replace('\n', "; "));
    // Below the text, behind the time and two blanks.
    let indent = text.find("  ").map_or(2, |end| end + 2);
    let indent = if columns < 2 * indent { 2 } else { indent };
    wrapped_at(columns.min(WIDTH), &mut out, "", &text, indent);
    out
}
