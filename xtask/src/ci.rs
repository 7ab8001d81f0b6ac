//! `ci`: the checks of a change that need neither root nor a kernel: lints, layers, prose, documentation, the oldest
//! rustc, dependencies, spelling.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{cargo, root, run};
use crate::{layers, lint, prose};

/// Packages whose documentation is built.
const DOCUMENTED: [&str; 4] = ["vrrp-ebpf", "vrrp-proto", "vrrp-conf", "vrrp-user"];

type Check = fn() -> Result<()>;

/// All checks, also after one that fails; the error names those.
pub(crate) fn ci() -> Result<()> {
    let checks: [(&str, Check); 7] = [
        ("lints", lint::lint),
        ("layers", layers::check),
        ("prose", prose::check),
        ("documentation", documentation),
        ("oldest rustc", oldest_rustc),
        ("dependencies", dependencies),
        ("spelling", spelling),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        if let Err(error) = check() {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn documentation() -> Result<()> {
    let mut doc = cargo()?;
    let packages = DOCUMENTED.map(|package| format!("--package={package}"));
    doc.args(["doc", "--no-deps"]).args(packages).env("RUSTDOCFLAGS", "-D warnings");
    run(doc)
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

/// Licences, bans, sources, and advisories, for which it fetches RustSec's database.
fn dependencies() -> Result<()> {
    let mut deny = tool("cargo-deny", "cargo install --locked cargo-deny")?;
    deny.arg("check");
    run(deny)
}

fn spelling() -> Result<()> {
    run(tool("typos", "cargo install --locked typos-cli, or pip install typos")?)
}

/// A program that the project does not build.
fn tool(name: &str, install: &str) -> Result<Command> {
    let mut command = Command::new(name);
    command.current_dir(root()?);
    let is_there = Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there {
        bail!("there is no {name}: {install}");
    }
    Ok(command)
}
