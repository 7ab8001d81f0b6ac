//! `verify`: what the running kernel's verifier makes of the BPF program.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::build;
use crate::cargo::built;

/// Fails where an entry is refused.
pub(crate) fn verify() -> Result<ExitCode> {
    build::daemon_and("verify")?;
    let status = Command::new(built("verify", true)?).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
