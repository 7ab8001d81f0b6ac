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
}

pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    ensure!(
        geteuid().is_root(),
        "the bench loads BPF programs and creates network namespaces: run it as root"
    );
    let program = match arguments.what {
        What::Xdp => "bench-xdp",
        What::Failover => "bench-failover",
        What::Faults => "bench-faults",
        What::Checks => "bench-checks",
    };
    build::daemon_and(program)?;
    become_built(program, true, &arguments.more)
}
