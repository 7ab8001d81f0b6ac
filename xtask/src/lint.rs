//! `lint`: the oldest rustc, formatting, and clippy for the host, for BPF, and with each feature of the daemon.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::build::BUS;
use crate::cargo::{cargo, root, run};
use crate::setup::setup;

pub(crate) fn lint() -> Result<()> {
    oldest_rustc()?;
    setup()?;
    checks()?.into_iter().try_for_each(|(_, command)| run(command))?;
    FEATURES.into_iter().try_for_each(|feature| run(with_features(&[feature])?))
}

/// Everything else is compiled by the pinned toolchain, which is the oldest one that is promised.
fn oldest_rustc() -> Result<()> {
    let value = |file: &str, key: &str| -> Result<String> {
        let text = fs::read_to_string(root()?.join(file)).context(file.to_owned())?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_prefix('='));
        Ok(line.with_context(|| format!("{file} has no {key}"))?.trim().trim_matches('"').to_owned())
    };
    let promised = value("Cargo.toml", "rust-version")?;
    let pinned = value("rust-toolchain.toml", "channel")?;
    let is_same = pinned == promised || pinned.strip_suffix(".0") == Some(&promised);
    ensure!(is_same, "Cargo.toml promises rustc {promised}, and rust-toolchain.toml pins {pinned}");
    Ok(())
}

/// Features of the daemon, each of which is checked alone.
const FEATURES: [&str; 7] = ["dns", "docker", "http", "mail", "systemd", "top", "webhook"];

/// Each check of the gate with its name.
pub(crate) fn checks() -> Result<Vec<(&'static str, Command)>> {
    let mut format = cargo()?;
    format.args(["fmt", "--all", "--check"]);
    let mut host = cargo()?;
    host.args(["clippy", "--workspace", "--exclude", BUS, "--all-targets", "--", "-D", "warnings"]);
    let mut bus = cargo()?;
    bus.args(["clippy", "--package", BUS, "--", "-D", "warnings"]);
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
        ("clippy of the stand-in", bus),
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
