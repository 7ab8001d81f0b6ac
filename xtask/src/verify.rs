//! `verify`: load of the BPF program by the running kernel's verifier.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::build;
use crate::cargo::{built, show};

/// Fails if the verifier refuses an entry, or an entry exceeds the budget.
pub(crate) fn verify() -> Result<ExitCode> {
    build::daemon_and("verify")?;
    let status = Command::new(built("verify", true)?).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Nanoseconds that this kernel's verifier takes for an instruction, measured by a program that is built already.
pub(crate) fn nanoseconds_an_instruction() -> Result<String> {
    let mut command = Command::new(built("verify", false)?);
    let output = command.arg("--per-instruction").output().with_context(|| show(&command))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", show(&command), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
