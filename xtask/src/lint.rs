//! `lint`: formatting, and clippy for the host, for BPF, and with each feature of the daemon.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{cargo, run};
use crate::setup::setup;

pub(crate) fn lint() -> Result<()> {
    setup()?;
    checks()?.into_iter().try_for_each(|(_, command)| run(command))?;
    FEATURES.into_iter().try_for_each(|feature| run(with_features(&[feature])?))
}

/// Features of the daemon, each of which is checked alone.
const FEATURES: [&str; 7] = ["dns", "docker", "http", "mail", "systemd", "top", "webhook"];

/// Each check of the gate with its name.
pub(crate) fn checks() -> Result<Vec<(&'static str, Command)>> {
    let mut format = cargo()?;
    format.args(["fmt", "--all", "--check"]);
    let mut host = cargo()?;
    host.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    let mut bpf = cargo()?;
    // `core` is built from its sources, which stable cargo does only with RUSTC_BOOTSTRAP.
    bpf.args(["clippy", "--package", "vrrp-ebpf", "--target", "bpfel-unknown-none", "-Z", "build-std=core"])
        .args(["--", "-D", "warnings"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH));
    let none = with_features(&[])?;
    let named = [
        ("formatting", format),
        ("clippy", host),
        ("clippy for bpf", bpf),
        ("clippy without features", none),
    ];
    Ok(named.into())
}

/// Clippy of the daemon with these features alone.
fn with_features(features: &[&str]) -> Result<Command> {
    let mut command = cargo()?;
    command.args(["clippy", "--package", "vrrp-user", "--no-default-features"]);
    command.arg(format!("--features={}", features.join(",")));
    command.args(["--", "-D", "warnings"]);
    Ok(command)
}
