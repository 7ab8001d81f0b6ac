//! `build`: the daemon with its BPF program.

use anyhow::Result;

use crate::cargo::{built, cargo, run};
use crate::setup::setup;

/// A stand-in for systemd, in a package of its own: the features that it has of shared dependencies would have the
/// daemon built twice.
pub(crate) const BUS: &str = "vrrp-tests-bus";

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

/// Sets up and builds the daemon and another program that tests run.
pub(crate) fn for_tests() -> Result<()> {
    daemon(false)?;
    package(&["--package", BUS], false)
}

/// Sets up and builds the daemon for packages.
pub(crate) fn dist() -> Result<()> {
    setup()?;
    let mut command = cargo()?;
    command.args(["build", "--package", "vrrp-user", "--locked", "--profile", "dist"]);
    run(command)
}

/// Sets up and builds the daemon for a package that needs no library. Only the last step differs from [`dist`], or from
/// the debug build.
pub(crate) fn dist_static(debug: bool) -> Result<()> {
    setup()?;
    let mut command = cargo()?;
    command.args(["rustc", "--package", "vrrp-user", "--example", "vrrpx-static", "--locked"]);
    if !debug {
        command.args(["--profile", "dist"]);
    }
    command.args(["--", "-C", "target-feature=+crt-static"]);
    run(command)
}

/// Sets up and builds the daemon and the lab.
pub(crate) fn lab() -> Result<()> {
    setup()?;
    let packages = ["--package", "vrrp-user", "--package", "vrrp-tests", "--bin", "vrrpx", "--bin", "lab"];
    package(&packages, false)
}

/// Sets up and builds the daemon, optimised, and a program of `vrrp-tests` that runs it, in one command, so that shared
/// dependencies are compiled once.
pub(crate) fn daemon_and(program: &str) -> Result<()> {
    setup()?;
    package(
        &["--package", "vrrp-user", "--package", "vrrp-tests", "--bin", "vrrpx", "--bin", program],
        true,
    )?;
    if program == "bench-checks" { package(&["--package", BUS], true) } else { Ok(()) }
}

fn package(which: &[&str], release: bool) -> Result<()> {
    let mut command = cargo()?;
    command.arg("build").args(which);
    if release {
        command.arg("--release");
    }
    run(command)
}
