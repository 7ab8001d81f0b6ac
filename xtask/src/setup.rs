//! `setup`: build dependencies that cargo does not install.
//!
//! The BPF program is built with the pinned stable toolchain: `core` from its sources (rust-src), linked by
//! bpf-linker, whose release must fit the LLVM of that toolchain.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, root, run, show};

const LINKER: &str = "bpf-linker";
/// Also named in `vrrp-user/build.rs`.
const LINKER_VERSION: &str = "0.10.3";

/// Installs missing dependencies; silent if there are none.
pub(crate) fn setup() -> Result<()> {
    sources()?;
    linker()
}

fn sources() -> Result<()> {
    if sysroot()?.join("lib/rustlib/src/rust/library/Cargo.lock").exists() {
        return Ok(());
    }
    eprintln!("setup: adding rust-src");
    let mut add = Command::new("rustup");
    add.args(["component", "add", "rust-src"]).current_dir(root()?);
    let line = show(&add);
    run(add).with_context(|| {
        format!(
            "the sources of the standard library are missing. With network, in this directory, run:\n    {line}\n\
             Without rustup, install your distribution's package (Debian: rust-src)."
        )
    })
}

fn linker() -> Result<()> {
    let own = root()?.join("target").join(LINKER);
    let program = own.join("bin").join(LINKER);
    if is_right(&program) || is_right(Path::new(LINKER)) {
        return Ok(());
    }
    eprintln!("setup: installing {LINKER} {LINKER_VERSION} under target/ (once; takes some minutes)");
    let mut install = cargo()?;
    install.args(["install", LINKER, "--version", LINKER_VERSION, "--locked", "--force", "--root"]).arg(&own);
    let line = format!("cargo install {LINKER} --version {LINKER_VERSION} --locked --root {}", own.display());
    run(install).with_context(|| {
        format!(
            "{LINKER} {LINKER_VERSION} is missing. With network and write access to target/, run:\n    {line}"
        )
    })?;
    if !is_right(&program) {
        bail!("after its installation {} is not {LINKER} {LINKER_VERSION}", program.display());
    }
    Ok(())
}

fn is_right(program: &Path) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|output| says(&String::from_utf8_lossy(&output.stdout), LINKER_VERSION))
}

/// Whether the answer to `--version` names this version.
fn says(answer: &str, version: &str) -> bool {
    answer.split_whitespace().any(|word| word == version)
}

fn sysroot() -> Result<PathBuf> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(root()?)
        .output()
        .context("cannot run rustc: install Rust by rustup, https://rustup.rs")?;
    Ok(PathBuf::from(String::from_utf8(output.stdout).context("sysroot")?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pinned_release_will_do() {
        assert!(says("bpf-linker 0.10.3\n", "0.10.3"));
        assert!(!says("bpf-linker 0.10.30\n", "0.10.3"));
        assert!(!says("", "0.10.3"));
    }
}
