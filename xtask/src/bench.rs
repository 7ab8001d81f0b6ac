//! `bench`: measurements of cost and failover times.

use std::ffi::OsString;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use nix::unistd::geteuid;

use crate::build;
use crate::cargo::become_built;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    what: What,
    /// Arguments for the bench; see its --help
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    more: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Nanoseconds of the BPF program, by frame
    Xdp,
    /// Detection, outage and load, compared with keepalived
    Failover,
    /// Faults as a client sees them, compared with keepalived
    Faults,
    /// Detection time of a failed service, and cost of checks, compared with keepalived
    Checks,
    /// Memory by number of instances, compared with keepalived
    Memory,
    /// Time of a start by number of instances, compared with keepalived
    Start,
}

pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    ensure!(
        geteuid().is_root(),
        "the bench loads BPF programs and creates network namespaces: run it as root"
    );
    let (program, word) = match arguments.what {
        What::Xdp => ("bench-xdp", None),
        What::Failover => ("bench-failover", None),
        What::Faults => ("bench-faults", None),
        What::Checks => ("bench-checks", None),
        What::Memory => ("bench-footprint", Some("memory")),
        What::Start => ("bench-footprint", Some("start")),
    };
    build::daemon_and(program)?;
    let all: Vec<OsString> =
        word.map(OsString::from).into_iter().chain(arguments.more.iter().cloned()).collect();
    become_built(program, true, &all)
}
