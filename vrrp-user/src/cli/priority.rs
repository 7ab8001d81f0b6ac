//! `vrrpx priority`.

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::steer::{DaemonPlace, steer};
use super::{UNKNOWN_NAME, complain};
use crate::daemon::control::Request;
use crate::daemon::wall;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Instance
    name: String,
    /// Base priority from 1 to 254, or `reset`: that of the configuration, also after a failover
    #[arg(value_name = "PRIORITY")]
    base: Base,
    /// Until the time is over, such as 90s, 30m or 1h30m [default: until `reset`, or the next boot]
    #[arg(long = "for", value_name = "TIME", value_parser = wall::span)]
    span: Option<Duration>,
    /// Shown in status, events and log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    place: DaemonPlace,
}

#[derive(Clone, Copy, Debug)]
struct Base(Option<u8>);

impl FromStr for Base {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "reset" => Ok(Self(None)),
            number => {
                let error = || format!("`{number}` is no priority; write 1 to 254, or reset");
                let number = number.parse().ok().filter(|number| (1..=254).contains(number));
                number.map(|number| Self(Some(number))).ok_or_else(error)
            }
        }
    }
}

pub(super) fn priority(arguments: Arguments) -> ExitCode {
    let Arguments { name, base: Base(priority), span, reason, place } = arguments;
    if priority.is_none() && (span.is_some() || reason.is_some()) {
        complain("--for and --reason are for a number, not for `reset`");
        return ExitCode::from(UNKNOWN_NAME);
    }
    let seconds = span.map(|span| span.as_secs());
    steer(&place.runtime_dir, &Request::Priority { name, priority, seconds, reason })
}
