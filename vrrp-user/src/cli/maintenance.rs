//! `vrrpx maintenance`.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::steer::{DaemonPlace, steer};
use super::{UNKNOWN_NAME, complain, folded_to_screen, print};
use crate::daemon::control::{self, ControlError, Request};
use crate::daemon::wall;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Keep out of the election, take part again, or list what is kept out
    #[arg(value_enum)]
    action: Action,
    /// Instance or sync group; the members of a sync group go together
    name: Option<String>,
    /// Every instance
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// End by itself after this time, such as 90s, 30m or 1h30m [default: until `off`, or the next boot]
    #[arg(long = "for", value_name = "TIME", value_parser = wall::span)]
    span: Option<Duration>,
    /// Shown in status, events and log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Even if no router is known that would serve the addresses
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: DaemonPlace,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Action {
    /// Hand over and stay out of the election
    On,
    /// Take part again
    Off,
    /// Print what is in maintenance
    Show,
}

pub(super) fn maintenance(arguments: Arguments) -> ExitCode {
    let Arguments { action, name, all, span, reason, force, place } = arguments;
    if action == Action::Show {
        return show(name.as_deref(), &place);
    }
    if name.is_none() && !all {
        complain("name an instance or a sync group, or write --all");
        return ExitCode::from(UNKNOWN_NAME);
    }
    let (on, seconds) = (action == Action::On, span.map(|span| span.as_secs()));
    if !on && (seconds.is_some() || reason.is_some() || force) {
        complain("--for, --reason and --force are for `maintenance on`");
        return ExitCode::from(UNKNOWN_NAME);
    }
    steer(&place.runtime_dir, &Request::Maintenance { name, on, seconds, reason, force })
}

fn show(name: Option<&str>, place: &DaemonPlace) -> ExitCode {
    let orders = match control::in_maintenance(&place.runtime_dir, name) {
        Ok(orders) => orders,
        Err(error) => {
            complain(&error.to_string());
            return match error {
                ControlError::Unknown(_) => ExitCode::from(UNKNOWN_NAME),
                _ => ExitCode::FAILURE,
            };
        }
    };
    let text = match orders.as_slice() {
        [] => "no instance is in maintenance\n".to_owned(),
        orders => orders.iter().map(|order| format!("{order}\n")).collect(),
    };
    if print(&folded_to_screen(&text)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
