//! Licences of the libraries in the program: each text once, with the crates that it belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{files, output};
use crate::cargo::cargo;

/// Beginnings of the names of files with licences and notices.
const NAMES: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "NOTICE"];

pub(super) fn text() -> Result<String> {
    let mut query = cargo()?;
    query.args(["metadata", "--format-version", "1", "--locked"]);
    let metadata: Value = serde_json::from_str(&output(query)?).context("cargo metadata")?;
    let contained = contained()?;
    let mut list = String::from("Libraries in the program, with their licences.\n\n");
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let word = |key: &str| package[key].as_str().unwrap_or_default();
        let name = format!("{} v{}", word("name"), word("version"));
        // The project's own have no source.
        if package["source"].is_null() || !contained.contains(&name) {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(list, "{name}: {}", word("license"));
        let folder = Path::new(word("manifest_path")).parent().context("a manifest lies in a folder")?;
        for text in of_package(folder)? {
            texts.entry(text).or_default().insert(name.clone());
        }
    }
    for (text, names) in &texts {
        let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let _ = write!(list, "\n{}\n{names}\n\n{}\n", "-".repeat(72), text.trim_end());
    }
    Ok(list)
}

/// "name vVERSION" of each crate in the program or its BPF program.
fn contained() -> Result<BTreeSet<String>> {
    let mut query = cargo()?;
    query.args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    query.args(["--package", "vrrp-user", "--package", "vrrp-ebpf"]);
    let first_two = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    Ok(output(query)?.lines().map(first_two).collect())
}

fn of_package(folder: &Path) -> Result<Vec<String>> {
    let is_licence = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        path.is_file() && NAMES.iter().any(|start| name.starts_with(start))
    };
    let found = files(folder)?.into_iter().filter(|path| is_licence(path));
    found.map(|path| fs::read_to_string(&path).with_context(|| path.display().to_string())).collect()
}
