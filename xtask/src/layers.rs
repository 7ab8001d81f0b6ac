//! `layers`: check that dependencies between modules point one way.
//!
//! ```text
//! vrrp-ebpf:  time, wire ─► map ─► xdp
//! vrrp-user:  protocol ─► config ─► driver ─► daemon ─► cli;  wire, map ─► driver
//! ```
//! The check searches the sources for paths that begin with `crate::` or `vrrp_ebpf::`; comments do not count.
//! `protocol` must also not name anything that does I/O, starts threads, reads clocks or logs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo::root;

/// A module directory and the modules it may use.
struct Layer {
    package: &'static str,
    name: &'static str,
    /// Modules of its own package, in addition to itself.
    own: &'static [&'static str],
    /// Modules of `vrrp_ebpf`, for layers of another package.
    shared: &'static [&'static str],
    /// Prefixes of forbidden paths.
    never: &'static [&'static str],
}

const SHARED: &[&str] = &["time", "wire", "map"];

const LAYERS: [Layer; 9] = [
    Layer { package: "vrrp-ebpf", name: "time", own: &[], shared: &[], never: &[] },
    Layer { package: "vrrp-ebpf", name: "wire", own: &["time"], shared: &[], never: &["std::"] },
    Layer { package: "vrrp-ebpf", name: "map", own: &["time", "wire"], shared: &[], never: &["std::"] },
    Layer { package: "vrrp-ebpf", name: "xdp", own: SHARED, shared: SHARED, never: &["std::"] },
    Layer {
        package: "vrrp-user",
        name: "protocol",
        own: &[],
        shared: &["time", "wire"],
        never: &[
            "aya::",
            "libc::",
            "nix::",
            "rtnetlink::",
            "tokio::",
            "tracing::",
            "std::env::",
            "std::fs::",
            "std::io::",
            "std::process::",
            "std::thread::",
            "std::time::Instant",
            "std::time::SystemTime",
            "std::net::Tcp",
            "std::net::Udp",
        ],
    },
    Layer {
        package: "vrrp-user",
        name: "config",
        own: &["protocol"],
        shared: &["time", "wire"],
        never: &["aya::", "rtnetlink::", "tokio::"],
    },
    Layer { package: "vrrp-user", name: "driver", own: &["protocol", "config"], shared: SHARED, never: &[] },
    Layer {
        package: "vrrp-user",
        name: "daemon",
        own: &["protocol", "config", "driver"],
        shared: SHARED,
        never: &[],
    },
    Layer {
        package: "vrrp-user",
        name: "cli",
        own: &["protocol", "config", "driver", "daemon"],
        shared: SHARED,
        never: &["aya::", "rtnetlink::"],
    },
];

pub(crate) fn check() -> Result<()> {
    let mut wrong = Vec::new();
    for layer in &LAYERS {
        let sources = root()?.join(layer.package).join("src");
        for file in files(&sources, layer.name)? {
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let shown = file.strip_prefix(root()?).unwrap_or(&file).display().to_string();
            wrong.extend(
                layer.faults(&text).into_iter().map(|(line, fault)| format!("{shown}:{line}: {fault}")),
            );
        }
    }
    if !wrong.is_empty() {
        bail!(
            "dependencies that point the wrong way (see the table in xtask/src/layers.rs):\n{}",
            wrong.join("\n")
        );
    }
    println!("layers: all dependencies point one way");
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
        }
        faults
    }
}

fn without_comment(line: &str) -> &str {
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
fn outermost(list: &str) -> Vec<&str> {
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
fn at_start_of_path(code: &str, at: usize) -> bool {
    let before = code.get(..at).and_then(|before| before.chars().next_back());
    !before.is_some_and(|mark| mark.is_alphanumeric() || mark == '_' || mark == ':')
}

/// Sources of a module: `NAME.rs`, or all below `NAME/`.
fn files(sources: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let single = sources.join(format!("{name}.rs"));
    if single.is_file() {
        return Ok(vec![single]);
    }
    let mut open = vec![sources.join(name)];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        // A layer may not exist yet.
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
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
        assert_eq!(faults("config", "use crate::protocol::Vrid;"), 0);
        assert_eq!(faults("daemon", "use crate::{config::Model, driver, protocol::{Event, Action}};"), 0);
        assert_eq!(faults("driver", "use vrrp_ebpf::map::{Peer, InstanceRules};"), 0);
        assert_eq!(faults("map", "use crate::time::Timestamp;"), 0);
    }

    #[test]
    fn arrows_backward_are_found_with_their_line() {
        assert_eq!(
            layer("protocol").faults("//! Head.\nuse crate::driver::Clock;"),
            [(2, "protocol must not use driver".to_owned())]
        );
        assert_eq!(faults("driver", "use crate::daemon;"), 1);
        assert_eq!(faults("config", "use crate::driver::Clock;"), 1);
        assert_eq!(faults("wire", "use crate::map::Peer;"), 1);
        assert_eq!(
            faults("config", "use crate::{\n    protocol::{Event, Action},\n    daemon::Board,\n};"),
            1
        );
    }

    #[test]
    fn protocol_may_only_compute() {
        assert_eq!(faults("protocol", "use std::time::Duration;"), 0);
        assert_eq!(faults("protocol", "let now = std::time::Instant::now();"), 1);
        assert_eq!(faults("protocol", "nix::unistd::sync();"), 1);
        assert_eq!(faults("protocol", "use vrrp_ebpf::map::Peer;"), 1);
    }

    #[test]
    fn comments_and_longer_words_do_not_count() {
        assert_eq!(faults("protocol", "/// See [`crate::driver`]."), 0);
        assert_eq!(faults("protocol", "let a = 1; // crate::driver"), 0);
        assert_eq!(faults("protocol", "use my_crate::driver;"), 0);
    }
}
