//! `verify`: load of the BPF program by the running kernel's verifier.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::build;
use crate::cargo::built;

/// Fails if the verifier refuses an entry.
pub(crate) fn verify() -> Result<ExitCode> {
    build::daemon_and("verify")?;
    let status = Command::new(built("verify", true)?).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
