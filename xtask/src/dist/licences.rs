//! Licences of the libraries in the program: each text once, with the crates that it belongs to; and those of glibc
//! where a package contains it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{files, output};
use crate::cargo::cargo;

/// Beginnings of the names of files with licences and notices.
const NAMES: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "NOTICE"];

/// Copyright notices of glibc, where distributions keep them; the first that exists.
const GLIBC_NOTICES: [&str; 3] = [
    "/usr/share/doc/libc6-dev/copyright",
    "/usr/share/licenses/glibc/LICENSES",
    "/usr/share/doc/packages/glibc/LICENSES",
];

/// The text of its licence.
const GLIBC_LICENCES: [&str; 3] = [
    "/usr/share/common-licenses/LGPL-2.1",
    "/usr/share/licenses/glibc/COPYING.LIB",
    "/usr/share/licenses/glibc-devel-static/COPYING.LIB",
];

/// What LGPL-2.1 demands of a package that contains glibc: a notice, the licence, the sources.
const GLIBC: &str = "\
GNU C Library (@VERSION@): LGPL-2.1-or-later, in parts under the notices below
libgcc: GPL-3.0-or-later WITH GCC-exception-3.1

This package contains these two libraries (@FORM@), as the distribution has them on which it was made; the version above
is that of its package of glibc. Section 6 of the LGPL entitles you to the source of glibc, which that distribution
publishes, and to link the program with a changed glibc: vrrpx is published as source, and `cargo xtask dist @KIND@`
makes this package from it. A publisher of this package publishes the sources of both libraries beside it, or offers
them in writing for three years. You may change the program for your own use, and reverse engineer it to debug such
changes.
";

/// How a package has glibc in it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Glibc {
    /// Not at all: that of the host is used.
    OfHost,
    /// In the program, of the tarball.
    Static,
    /// Beside the program, in the image.
    Shared,
}

pub(super) fn text(glibc: Glibc) -> Result<String> {
    let libraries = of_crates()?;
    Ok(match glibc {
        Glibc::OfHost => libraries,
        Glibc::Static => of_glibc("linked into the program", "tarball")? + &libraries,
        Glibc::Shared => of_glibc("beside the program", "image")? + &libraries,
    })
}

fn of_glibc(form: &str, kind: &str) -> Result<String> {
    let mut query = Command::new("ldd");
    query.arg("--version");
    let answer = output(query)?;
    let version = version(&answer).with_context(|| format!("ldd names no version of glibc: {answer}"))?;
    let head = GLIBC.replace("@VERSION@", version).replace("@FORM@", form).replace("@KIND@", kind);
    let text = |places: [&str; 3]| {
        let found = places.into_iter().find_map(|place| fs::read_to_string(place).ok());
        found.with_context(|| format!("glibc's licence is in none of {}", places.join(", ")))
    };
    let (notices, licence) = (text(GLIBC_NOTICES)?, text(GLIBC_LICENCES)?);
    ensure!(licence.contains("LESSER GENERAL PUBLIC LICENSE"), "not the text of the LGPL: {licence:.80}");
    let line = "-".repeat(72);
    Ok(format!("{head}\n{line}\n{}\n\n{line}\n{}\n\n{line}\n", notices.trim_end(), licence.trim_end()))
}

/// What `ldd --version` calls the package: "Debian GLIBC 2.36-9+deb12u14", or "GNU libc" and a number.
fn version(answer: &str) -> Option<&str> {
    let line = answer.lines().next()?.strip_prefix("ldd (")?;
    if line.starts_with("GNU libc)") {
        return line.split_whitespace().last();
    }
    line.split_once(')').map(|(package, _)| package)
}

fn of_crates() -> Result<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_glibc_is_that_of_its_package() {
        for (answer, expected) in [
            ("ldd (Debian GLIBC 2.36-9+deb12u14) 2.36\nCopyright", Some("Debian GLIBC 2.36-9+deb12u14")),
            ("ldd (Ubuntu GLIBC 2.39-0ubuntu8.6) 2.39\n", Some("Ubuntu GLIBC 2.39-0ubuntu8.6")),
            ("ldd (GNU libc) 2.41\n", Some("2.41")),
            ("musl libc (x86_64)\n", None),
        ] {
            assert_eq!(version(answer), expected, "{answer}");
        }
    }
}
