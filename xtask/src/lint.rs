//! `lint`: formatting, and clippy for the host, for BPF, and with each feature of the daemon.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{cargo, run};
use crate::setup::setup;

pub(crate) fn lint() -> Result<()> {
    setup()?;
    checks()?.into_iter().try_for_each(|(_, command)| run(command))
}

/// Features of the daemon, each of which is checked alone.
const FEATURES: [&str; 6] = ["dns", "docker", "http", "mail", "systemd", "webhook"];

/// Each check with its name.
pub(crate) fn checks() -> Result<Vec<(String, Command)>> {
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
    let named = [("formatting", format), ("clippy", host), ("clippy for bpf", bpf)];
    let mut all: Vec<_> = named.into_iter().map(|(name, command)| (name.to_owned(), command)).collect();
    for feature in FEATURES.into_iter().map(Some).chain([None]) {
        let mut alone = cargo()?;
        alone.args(["clippy", "--package", "vrrp-user", "--all-targets", "--no-default-features"]);
        alone.args(feature.map(|feature| format!("--features={feature}")));
        alone.args(["--", "-D", "warnings"]);
        all.push((format!("clippy with {} alone", feature.unwrap_or("no feature")), alone));
    }
    Ok(all)
}
