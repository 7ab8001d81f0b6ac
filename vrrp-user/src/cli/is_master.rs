//! `vrrpx is-master`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{RUNTIME_DIR, complain, json, print, unknown};
use crate::daemon::control;
use crate::daemon::status::{Instance, Status};

/// Exit code without a daemon to ask.
const NO_DAEMON: u8 = 3;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Instance or sync group
    name: String,
    /// Print the state as JSON, on one line; exits with the same codes
    #[arg(long)]
    json: bool,
    /// Runtime folder of the daemon
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
}

pub(super) fn is_master(arguments: &Arguments) -> ExitCode {
    let status = match control::status(&arguments.runtime_dir) {
        Ok(status) => status,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(NO_DAEMON);
        }
    };
    let Some(answer) = Answer::of(&arguments.name, &status) else { return unknown(&arguments.name, &status) };
    let is_printed = !arguments.json || json(&answer).is_some_and(|text| print(&text));
    if answer.is_master && is_printed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The answer as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    name: &'a str,
    state: &'a str,
    is_master: bool,
    /// When the state began, RFC 3339 in UTC.
    since: Option<&'a str>,
    /// The router that is master instead, if it is heard, in each state but MASTER; `None` for a sync group, whose
    /// members may have different ones.
    master: Option<&'a str>,
}

impl<'a> Answer<'a> {
    fn of(name: &'a str, status: &'a Status) -> Option<Self> {
        let state = status.state_of(name)?;
        let instance = status.instances.iter().find(|it| it.name == name);
        let group = status.groups.iter().find(|it| it.name == name);
        let since = instance.map_or_else(|| group?.since.as_deref(), |it| it.since.as_deref());
        let is_master = state == "MASTER";
        // In FAULT the status obeys none, and may hear one.
        let heard = |it: &'a Instance| it.heard_master().map(|peer| &*peer.address);
        let instead = |it: &'a Instance| it.master.as_deref().or_else(|| heard(it));
        let master = instance.filter(|_| !is_master).and_then(instead);
        Some(Self { name, state, is_master, since, master })
    }
}
