//! `layers`: check that dependencies between modules and packages point one way.
//!
//! ```text
//! vrrp-ebpf:   time, wire ─► map ─► path ─► xdp
//! vrrp-proto:  wire ─► protocol
//! vrrp-conf:   wire, protocol ─► config
//! vrrp-user:   protocol ─► config ─► driver ─► daemon ─► cli;  wire, map, path ─► driver
//! ```
//! The check searches the sources for paths that begin with `crate::` or `vrrp_ebpf::`; comments do not count.
//! vrrp-user calls the packages vrrp-proto and vrrp-conf `crate::protocol` and `crate::config`. Their lists of
//! dependencies are closed; the check compares them with cargo's tree. It also finds circles of files, see
//! [`circles`], compares the rooms of the daemon with their table, see [`rooms`], and counts the crates of the daemon.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{cargo, root, show};
use crate::{circles, rooms};

/// A module or package, and the modules it may use.
struct Layer {
    name: &'static str,
    /// Directory or file of its sources, from the root of the project.
    sources: &'static str,
    /// Other layers that it may call `crate::NAME`.
    own: &'static [&'static str],
    /// Modules of `vrrp_ebpf`, for layers of another package.
    shared: &'static [&'static str],
    /// Prefixes of forbidden paths.
    never: &'static [&'static str],
}

const SHARED: &[&str] = &["time", "wire", "map", "path"];

const LAYERS: [Layer; 11] = [
    Layer { name: "time", sources: "vrrp-ebpf/src/time.rs", own: &[], shared: &[], never: &[] },
    Layer { name: "wire", sources: "vrrp-ebpf/src/wire", own: &["time"], shared: &[], never: &["std::"] },
    Layer {
        name: "map",
        sources: "vrrp-ebpf/src/map",
        own: &["time", "wire"],
        shared: &[],
        never: &["std::"],
    },
    Layer {
        name: "path",
        sources: "vrrp-ebpf/src/path.rs",
        own: &["time", "wire", "map"],
        shared: &[],
        never: &["std::"],
    },
    Layer { name: "xdp", sources: "vrrp-ebpf/src/xdp", own: SHARED, shared: SHARED, never: &["std::"] },
    Layer {
        name: "protocol",
        sources: "vrrp-user/proto/src",
        own: &[],
        shared: &["time", "wire"],
        never: &["std::"],
    },
    Layer {
        name: "config",
        sources: "vrrp-user/conf/src",
        own: &[],
        shared: &["time", "wire"],
        never: &["std::net::Tcp", "std::net::Udp", "std::process::Command", "std::thread::"],
    },
    Layer {
        name: "driver",
        sources: "vrrp-user/src/driver",
        own: &["protocol", "config"],
        shared: SHARED,
        never: &[],
    },
    Layer {
        name: "daemon",
        sources: "vrrp-user/src/daemon",
        own: &["protocol", "config", "driver"],
        shared: SHARED,
        never: &[],
    },
    // A room of the daemon: a real-time thread waits for nothing, and decisions are the protocol's.
    Layer {
        name: "engine",
        sources: "vrrp-user/src/daemon/engine",
        own: &["protocol", "config", "driver", "daemon"],
        shared: SHARED,
        never: &[
            "std::fs::",
            "std::process::",
            "tokio::",
            "tracing::",
            // Their answers wait for the lock of all interfaces.
            "crate::driver::netlink::",
            "crate::driver::xdp::Hook",
        ],
    },
    Layer {
        name: "cli",
        sources: "vrrp-user/src/cli",
        own: &["protocol", "config", "driver", "daemon"],
        shared: SHARED,
        never: &["aya::", "rtnetlink::"],
    },
];

/// A package with a closed list of dependencies.
struct Closed {
    package: &'static str,
    uses: &'static [&'static str],
}

const CLOSED: [Closed; 2] = [
    Closed { package: "vrrp-proto", uses: &["hmac", "md-5", "sha2", "vrrp-ebpf"] },
    Closed {
        package: "vrrp-conf",
        uses: &[
            "glob",
            "http",
            "lettre",
            "libc",
            "serde",
            "serde_json",
            "strsim",
            "thiserror",
            "unicode-width",
            "url",
            "vrrp-ebpf",
            "vrrp-proto",
        ],
    },
];

/// Packages that none of them uses, not even by way of another: every client of a service needs one of these.
const BELOW_CLIENTS: [&str; 3] = ["mio", "rustls", "tokio"];

const DAEMON: &str = "vrrp-user";

/// Features of the daemon. `top` is none: it is a screen that the command draws, and brings a library for it.
const SERVICES: [&str; 6] = ["dns", "docker", "http", "mail", "systemd", "webhook"];

/// Most crates that the daemon is made of with its services, its own and those at work in the compiler included. Each
/// must be built before the daemon runs for the first time.
const CRATES_MAX: usize = 150;

pub(crate) fn check() -> Result<()> {
    let mut wrong = Vec::new();
    for layer in &LAYERS {
        for file in files(&root()?.join(layer.sources))? {
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let shown = file.strip_prefix(root()?).unwrap_or(&file).display().to_string();
            wrong.extend(
                layer.faults(&text).into_iter().map(|(line, fault)| format!("{shown}:{line}: {fault}")),
            );
        }
    }
    for closed in &CLOSED {
        wrong.extend(closed.faults(&tree(closed.package, &[])?));
    }
    if !wrong.is_empty() {
        bail!(
            "dependencies that point the wrong way (see the tables in xtask/src/layers.rs):\n{}",
            wrong.join("\n")
        );
    }
    println!("layers: all dependencies point one way");
    let circles = circles::faults(&root()?)?;
    ensure!(circles.is_empty(), "{}", circles.join("\n"));
    println!("layers: no circle of imports is large");
    let rooms = rooms::faults(&root()?)?;
    ensure!(rooms.is_empty(), "rooms of the daemon:\n{}", rooms.join("\n"));
    println!("layers: the rooms of the daemon use each other as docs/architecture.md says");
    let services = format!("--features={}", SERVICES.join(","));
    let crates: BTreeSet<_> = tree(DAEMON, &["--no-default-features", &services])?
        .into_iter()
        .map(|it| (it.name, it.version))
        .collect();
    let count = crates.len();
    ensure!(
        count <= CRATES_MAX,
        "{DAEMON} has {count} crates, {CRATES_MAX} at most: cargo tree -p {DAEMON} -e normal"
    );
    println!("layers: {count} crates in {DAEMON}, {CRATES_MAX} at most");
    Ok(())
}

impl Layer {
    /// Line numbers with the faults there.
    fn faults(&self, text: &str) -> Vec<(usize, String)> {
        let code: String = text.lines().map(|line| format!("{}\n", without_comment(line))).collect();
        let line = |at: usize| code.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let mut faults = Vec::new();
        for (at, module) in named(&code, "crate::") {
            if is_module(&module) && module != self.name && !self.own.contains(&module.as_str()) {
                faults.push((line(at), format!("{} must not use {module}", self.name)));
            }
        }
        for (at, module) in named(&code, "vrrp_ebpf::") {
            if is_module(&module) && !self.shared.contains(&module.as_str()) {
                faults.push((line(at), format!("{} must not use vrrp_ebpf::{module}", self.name)));
            }
        }
        for prefix in self.never {
            let paths = code.match_indices(prefix).filter(|&(at, _)| at_start_of_path(&code, at));
            faults.extend(paths.map(|(at, _)| (line(at), format!("{} must not use {prefix}", self.name))));
            let grouped = in_groups(&code, prefix).into_iter();
            faults.extend(grouped.map(|at| (line(at), format!("{} must not use {prefix}", self.name))));
        }
        faults
    }
}

/// Places of groups of imports with the item that a path names: `a::b::{c, Item}` for `a::b::Item`.
fn in_groups(code: &str, path: &str) -> Vec<usize> {
    let Some((module, item)) = path.rsplit_once("::").filter(|(_, item)| !item.is_empty()) else {
        return Vec::new();
    };
    let group = format!("{module}::{{");
    let has_item = |at: usize| {
        let names = code[at + group.len()..].split('}').next().unwrap_or_default();
        names.split(',').any(|name| name.trim() == item)
    };
    code.match_indices(&group).map(|(at, _)| at).filter(|at| has_item(*at)).collect()
}

impl Closed {
    fn faults(&self, tree: &[Package]) -> Vec<String> {
        let is_wrong = |package: &&Package| match package.depth {
            0 => false,
            1 => !self.uses.contains(&&*package.name),
            _ => BELOW_CLIENTS.contains(&&*package.name),
        };
        let wrong = tree.iter().filter(is_wrong);
        wrong.map(|package| format!("{} must not depend on {}", self.package, package.name)).collect()
    }
}

/// A package in the tree of dependencies below another.
struct Package {
    depth: usize,
    name: String,
    version: String,
}

/// The package and all that it is built with.
fn tree(package: &str, more: &[&str]) -> Result<Vec<Package>> {
    let mut command = cargo()?;
    command.args([
        "tree",
        "--edges",
        "normal",
        "--prefix",
        "depth",
        "--format",
        " {p}",
        "--package",
        package,
    ]);
    command.args(more);
    let output = command.output().with_context(|| format!("cannot run {}", show(&command)))?;
    ensure!(output.status.success(), "{}: {}", show(&command), String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).context("cargo's tree")?;
    let packages = lines.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let depth = words.next()?.parse().ok()?;
        Some(Package { depth, name: words.next()?.to_owned(), version: words.next()?.to_owned() })
    });
    Ok(packages.collect())
}

pub(crate) fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Whether it is a layer; items at the root of a package belong to no layer.
fn is_module(name: &str) -> bool {
    LAYERS.iter().any(|layer| layer.name == name)
}

/// First segments after each `prefix`, with its offset; for `prefix{a::…, b}` all of them.
fn named(code: &str, prefix: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if !at_start_of_path(code, at) {
            continue;
        }
        let rest = code.get(at + prefix.len()..).unwrap_or_default();
        match rest.strip_prefix('{') {
            Some(list) => names.extend(outermost(list).into_iter().map(|part| (at, first_word(part)))),
            None => names.push((at, first_word(rest))),
        }
    }
    names
}

/// Parts of a brace list up to its end, split at commas that are not in inner braces.
pub(crate) fn outermost(list: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let mut start = 0;
    let mut parts = Vec::new();
    for (at, mark) in list.char_indices() {
        match mark {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(list.get(start..at).unwrap_or_default());
                return parts;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(list.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list.get(start..).unwrap_or_default());
    parts
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|mark| mark.is_alphanumeric() || *mark == '_').collect()
}

/// Whether `at` is not in the middle of a longer word or path.
pub(crate) fn at_start_of_path(code: &str, at: usize) -> bool {
    let before = code.get(..at).and_then(|before| before.chars().next_back());
    !before.is_some_and(|mark| mark.is_alphanumeric() || mark == '_' || mark == ':')
}

/// The file, or all sources below the directory.
pub(crate) fn files(sources: &Path) -> Result<Vec<PathBuf>> {
    if sources.is_file() {
        return Ok(vec![sources.to_owned()]);
    }
    let mut open = vec![sources.to_owned()];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        let entries = std::fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str) -> &'static Layer {
        LAYERS.iter().find(|layer| layer.name == name).unwrap()
    }

    fn faults(name: &str, code: &str) -> usize {
        layer(name).faults(code).len()
    }

    #[test]
    fn arrows_forward_are_right() {
        assert_eq!(faults("driver", "use crate::protocol::Vrid;"), 0);
        assert_eq!(faults("daemon", "use crate::{config::Model, driver, protocol::{Event, Action}};"), 0);
        assert_eq!(faults("driver", "use vrrp_ebpf::map::{Peer, InstanceRules};"), 0);
        assert_eq!(faults("map", "use crate::time::Timestamp;"), 0);
    }

    #[test]
    fn arrows_backward_are_found_with_their_line() {
        assert_eq!(
            layer("driver").faults("//! Head.\nuse crate::daemon::Engine;"),
            [(2, "driver must not use daemon".to_owned())]
        );
        assert_eq!(faults("driver", "use crate::cli;"), 1);
        assert_eq!(faults("wire", "use crate::map::Peer;"), 1);
        assert_eq!(
            faults("driver", "use crate::{\n    protocol::{Event, Action},\n    daemon::Board,\n};"),
            1
        );
    }

    #[test]
    fn protocol_may_only_compute() {
        assert_eq!(faults("protocol", "use core::time::Duration;"), 0);
        assert_eq!(faults("protocol", "let now = std::time::Instant::now();"), 1);
        assert_eq!(faults("protocol", "use vrrp_ebpf::map::Peer;"), 1);
    }

    #[test]
    fn the_engine_neither_logs_nor_touches_files_nor_starts_processes() {
        assert_eq!(
            faults("engine", "use crate::protocol::{Ports, Turn};\nuse crate::daemon::live::LiveState;"),
            0
        );
        assert_eq!(faults("engine", "use tracing::warn;"), 1);
        assert_eq!(faults("engine", "let text = std::fs::read(path);"), 1);
        assert_eq!(faults("engine", "std::process::Command::new(\"ip\")"), 1);
        assert_eq!(faults("engine", "use crate::driver::netlink::link::Link;"), 1);
        assert_eq!(faults("engine", "use crate::driver::xdp::{Attachment, Ring};"), 0);
        assert_eq!(faults("engine", "use crate::driver::xdp::{Hook, Ring};"), 1);
    }

    #[test]
    fn closed_packages_have_no_other_dependencies() {
        let tree = |names: &[(usize, &str)]| -> Vec<Package> {
            names
                .iter()
                .map(|&(depth, name)| Package { depth, name: name.to_owned(), version: String::new() })
                .collect()
        };
        let [protocol, _] = &CLOSED;
        assert!(protocol.faults(&tree(&[(0, "vrrp-proto"), (1, "hmac"), (2, "digest")])).is_empty());
        let faults = protocol.faults(&tree(&[(0, "vrrp-proto"), (1, "hmac"), (2, "tokio"), (1, "libc")]));
        assert_eq!(faults, ["vrrp-proto must not depend on tokio", "vrrp-proto must not depend on libc"]);
    }

    #[test]
    fn comments_and_longer_words_do_not_count() {
        assert_eq!(faults("protocol", "/// See [`crate::driver`]."), 0);
        assert_eq!(faults("protocol", "let a = 1; // crate::driver"), 0);
        assert_eq!(faults("protocol", "use my_crate::driver;"), 0);
    }
}
