//! Runs of cargo and of the programs it built.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};

/// Directory of the workspace in which cargo runs this. The program may have been compiled in another checkout that
/// shares the build directory.
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
    // CI builds once, so incremental data (10 GB) is useless.
    if std::env::var_os("CI").is_some() {
        command.env("CARGO_INCREMENTAL", "0");
    }
    Ok(command)
}

/// Runs `command` to its end; it inherits stdout and stderr.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", show(&command)))?;
    ensure!(status.success(), "{} failed ({status})", show(&command));
    Ok(())
}

/// Executes a built program in place of this one, so that it gets the signals and sets the exit code.
pub(crate) fn become_built(program: &str, release: bool, arguments: &[OsString]) -> Result<()> {
    let path = built(program, release)?;
    Err(anyhow!(Command::new(&path).args(arguments).exec()).context(path.display().to_string()))
}

/// Path of a built program.
pub(crate) fn built(program: &str, release: bool) -> Result<PathBuf> {
    built_in(if release { "release" } else { "debug" }, program)
}

/// Path of a program that was built with this profile.
pub(crate) fn built_in(profile: &str, program: &str) -> Result<PathBuf> {
    Ok(target()?.join(profile).join(program))
}

/// cargo's target directory.
pub(crate) fn target() -> Result<PathBuf> {
    let directory = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(root()?.join(directory))
}

/// A command as typed.
pub(crate) fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
