//! `vrrpx failover`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::steer::{DaemonPlace, steer};
use crate::daemon::control::Request;
use crate::daemon::wall;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Instance or sync group that is MASTER on this node; the members of a sync group go together
    name: String,
    /// Compete with priority 1 for this time, such as 90s, 30m or 1h30m; `vrrpx priority NAME reset` ends it before
    #[arg(long = "for", value_name = "TIME", value_parser = wall::span, default_value = "30m")]
    span: Duration,
    /// Shown in status, events and log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Try even if no heir is known; without one this node stays master
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: DaemonPlace,
}

pub(super) fn failover(arguments: Arguments) -> ExitCode {
    let Arguments { name, span, reason, force, place } = arguments;
    let seconds = Some(span.as_secs());
    steer(&place.runtime_dir, &Request::Failover { name, seconds, reason, force })
}
