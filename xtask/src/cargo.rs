//! Running cargo and what it built.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};

/// The workspace's directory: that of the checkout in which cargo runs this, though it may have been compiled in another one
/// that shares the build directory.
pub(crate) fn root() -> Result<PathBuf> {
    const VARIABLE: &str = "CARGO_MANIFEST_DIR";
    let package = std::env::var_os(VARIABLE).unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let package = PathBuf::from(package);
    package.parent().map(PathBuf::from).context("xtask lies in the workspace")
}

/// cargo, in the workspace.
pub(crate) fn cargo() -> Result<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()?);
    // What is built once needs nothing kept for a second build: 10 GB.
    if std::env::var_os("CI").is_some() {
        command.env("CARGO_INCREMENTAL", "0");
    }
    Ok(command)
}

/// Runs `command` to its end, its output on ours.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", show(&command)))?;
    ensure!(status.success(), "{} failed ({status})", show(&command));
    Ok(())
}

/// Becomes a program of the build, so that signals reach it and its exit code is ours.
pub(crate) fn become_built(program: &str, release: bool, arguments: &[OsString]) -> Result<()> {
    let path = built(program, release)?;
    Err(anyhow!(Command::new(&path).args(arguments).exec()).context(path.display().to_string()))
}

/// Where cargo puts a program.
pub(crate) fn built(program: &str, release: bool) -> Result<PathBuf> {
    Ok(target()?.join(if release { "release" } else { "debug" }).join(program))
}

/// Where cargo puts all that it builds.
pub(crate) fn target() -> Result<PathBuf> {
    let directory = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(root()?.join(directory))
}

/// A command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
