//! Requirements of a test on the machine.

use std::io::Write;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::control_group::ControlGroup;
use crate::daemon;

/// The reason, if `need` is not met here. It is `root`, `vrrpx` or `xtask` (both built), `memory limits` (control
/// groups with one), or a program in PATH.
pub fn missing(need: &str) -> Option<String> {
    match need {
        "root" => (!geteuid().is_root()).then(|| "must run as root to make network namespaces".to_owned()),
        "vrrpx" => {
            let path = daemon::vrrpx();
            (!path.is_file()).then(|| format!("{} is not built: cargo build -p vrrp-user", path.display()))
        }
        "xtask" => {
            let path = daemon::built("xtask");
            (!path.is_file()).then(|| format!("{} is not built: cargo build -p xtask", path.display()))
        }
        "memory limits" => ControlGroup::new("probe", 64)
            .is_none()
            .then(|| "no control group with a limit of memory can be made here".to_owned()),
        program => find(program).is_none().then(|| format!("{program} is not installed")),
    }
}

/// Whether `need` is met, see [`missing`]. A test without it returns at once and is listed as skipped by
/// `cargo xtask test`, which reads the line printed here.
///
/// # Panics
/// In CI (`CI` set), where nothing may be skipped.
#[must_use]
pub fn require(need: &str) -> bool {
    let Some(reason) = missing(need) else { return true };
    skip(std::thread::current().name().unwrap_or("main"), &reason);
    false
}

/// Reports `test` as skipped, past libtest's capture.
#[expect(clippy::panic, reason = "in CI a skipped test is a failed one")]
fn skip(test: &str, reason: &str) {
    if std::env::var_os("CI").is_some() {
        panic!("{test} cannot be skipped in CI: {reason}");
    }
    // libtest captures the print macros only.
    let _closed = writeln!(std::io::stderr(), "skipped: {test} ({reason})");
}

/// Path of `program`, found as a shell does, and in the directories that an unprivileged PATH lacks.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(
            ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/lib/frr"]
                .iter()
                .map(|dir| Path::new(dir).to_owned()),
        )
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}
