//! `build`: the daemon with its BPF program.

use anyhow::Result;

use crate::cargo::{built, cargo, run};
use crate::setup::setup;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Optimised, for use
    #[arg(long)]
    release: bool,
}

pub(crate) fn build(arguments: &Arguments) -> Result<()> {
    daemon(arguments.release)?;
    println!("{}", built("vrrpx", arguments.release)?.display());
    Ok(())
}

/// Sets up and builds the daemon.
pub(crate) fn daemon(release: bool) -> Result<()> {
    setup()?;
    package(&["--package", "vrrp-user"], release)
}

/// Sets up and builds the daemon for packages.
pub(crate) fn dist() -> Result<()> {
    setup()?;
    let mut command = cargo()?;
    command.args(["build", "--package", "vrrp-user", "--locked", "--profile", "dist"]);
    run(command)
}

/// Sets up and builds the daemon, optimised, and a program of `vrrp-tests` that runs it, in one command, so that shared
/// dependencies are compiled once.
pub(crate) fn daemon_and(program: &str) -> Result<()> {
    setup()?;
    package(&["--package", "vrrp-user", "--package", "vrrp-tests", "--bin", "vrrpx", "--bin", program], true)
}

fn package(which: &[&str], release: bool) -> Result<()> {
    let mut command = cargo()?;
    command.arg("build").args(which);
    if release {
        command.arg("--release");
    }
    run(command)
}
