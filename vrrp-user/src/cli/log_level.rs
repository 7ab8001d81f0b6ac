//! `vrrpx log`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::steer::{DaemonPlace, steer};
use crate::daemon::control::Request;
use crate::daemon::log::{LogError, check_level};
use crate::daemon::wall;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Level or filter as for `vrrpx run --log`: error, warn, info, debug or trace; or `reset`: that of the start
    #[arg(value_parser = checked)]
    level: String,
    /// Until the time is over, such as 90s, 30m or 1h30m [default: until `reset`, or the next boot]
    #[arg(long = "for", value_name = "TIME", value_parser = wall::span)]
    span: Option<Duration>,
    #[command(flatten)]
    place: DaemonPlace,
}

fn checked(level: &str) -> Result<String, LogError> {
    if level != "reset" {
        check_level(level)?;
    }
    Ok(level.to_owned())
}

pub(super) fn log(arguments: Arguments) -> ExitCode {
    let Arguments { level, span, place } = arguments;
    let level = (level != "reset").then_some(level);
    steer(&place.runtime_dir, &Request::Log { level, seconds: span.map(|span| span.as_secs()) })
}
