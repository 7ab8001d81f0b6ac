//! `vrrpx announce`.

use std::process::ExitCode;

use clap::Args;

use super::steer::{DaemonPlace, steer};
use crate::daemon::control::Request;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Instance or sync group [default: every instance that is MASTER on this node]
    name: Option<String>,
    #[command(flatten)]
    place: DaemonPlace,
}

pub(super) fn announce(arguments: Arguments) -> ExitCode {
    let Arguments { name, place } = arguments;
    steer(&place.runtime_dir, &Request::Announce { name })
}
