//! `ci`: the checks of a change that need neither root nor a kernel: lints, layers, prose, links, documentation,
//! dependencies, spelling.

use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::cargo::{cargo, root, run};
use crate::{docs, layers, lint, prose};

/// Packages whose documentation is built.
const DOCUMENTED: [&str; 4] = ["vrrp-ebpf", "vrrp-proto", "vrrp-conf", "vrrp-user"];

type Check = fn() -> Result<()>;

/// All checks, also after one that fails; the error names those.
pub(crate) fn ci() -> Result<()> {
    let checks: [(&str, Check); 7] = [
        ("lints", lint::lint),
        ("layers", layers::check),
        ("prose", prose::check),
        ("links", docs::check),
        ("documentation", documentation),
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
