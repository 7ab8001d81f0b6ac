//! `lint`: formatting, and clippy for the host and for BPF.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{cargo, run};
use crate::setup::setup;

pub(crate) fn lint() -> Result<()> {
    setup()?;
    checks()?.into_iter().try_for_each(|(_, command)| run(command))
}

/// Each check with its name.
pub(crate) fn checks() -> Result<[(&'static str, Command); 3]> {
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
    Ok([("formatting", format), ("clippy", host), ("clippy for bpf", bpf)])
}
