//! `setup`: build dependencies that cargo does not install.
//!
//! The BPF program is built with the pinned stable toolchain: `core` from its sources (rust-src), linked by
//! bpf-linker, whose release must fit the LLVM of that toolchain.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, root, run, show};

/// A program from crates.io, of one version.
#[derive(Clone, Copy, Debug)]
struct Tool {
    name: &'static str,
    version: &'static str,
    features: &'static [&'static str],
}

/// Its version is also named in `vrrp-user/build.rs`.
const LINKER: Tool = Tool { name: "bpf-linker", version: "0.10.3", features: &[] };

/// Makes the site of the documentation.
const MDBOOK: Tool =
    Tool { name: "mdbook", version: "0.5.4", features: &["--no-default-features", "--features", "search"] };

/// Installs missing dependencies; silent if there are none.
pub(crate) fn setup() -> Result<()> {
    sources()?;
    LINKER.installed().map(drop)
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

/// mdBook, installed if it is missing.
pub(crate) fn mdbook() -> Result<PathBuf> {
    MDBOOK.installed()
}

impl Tool {
    /// The program in PATH or under target/, installed there if it is missing.
    fn installed(self) -> Result<PathBuf> {
        let Self { name, version, features } = self;
        let own = root()?.join("target").join(name);
        let program = own.join("bin").join(name);
        if self.is(&program) {
            return Ok(program);
        }
        if self.is(Path::new(name)) {
            return Ok(name.into());
        }
        eprintln!("setup: installing {name} {version} under target/ (once; takes some minutes)");
        let mut install = cargo()?;
        install
            .args(["install", name, "--version", version, "--locked", "--force", "--debug"])
            .args(features);
        // Quickly built: the linker's work is that of LLVM, which is in the toolchain.
        for setting in ["DEBUG", "DEBUG_ASSERTIONS", "OVERFLOW_CHECKS"] {
            install.env(format!("CARGO_PROFILE_DEV_{setting}"), "false");
        }
        install.arg("--root").arg(&own);
        let line = show(&install);
        run(install).with_context(|| {
            format!("{name} {version} is missing. With network and write access to target/, run:\n    {line}")
        })?;
        if !self.is(&program) {
            bail!("after its installation {} is not {name} {version}", program.display());
        }
        Ok(program)
    }

    fn is(self, program: &Path) -> bool {
        let output = Command::new(program).arg("--version").output();
        output.is_ok_and(|output| says(&String::from_utf8_lossy(&output.stdout), self.version))
    }
}

/// Whether the answer to `--version` names this version.
fn says(answer: &str, version: &str) -> bool {
    answer.split_whitespace().any(|word| word.trim_start_matches('v') == version)
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
        assert!(says("mdbook v0.5.4\n", "0.5.4"));
    }
}
