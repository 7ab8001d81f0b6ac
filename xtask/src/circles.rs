//! Circles of imports: files that use each other, by way of others or not.
//!
//! Enters: the sources of the four packages. Leaves: circles of more than [`MOST`] files, and what rooms use. A path
//! counts wherever it stands, in an import or in code, and for the file that defines the item, not for one that imports
//! or exports it too. Unit tests do not count, nor paths in code from a module to one below it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};

use crate::layers::{at_start_of_path, files, outermost, without_comment};

/// Most files of a circle.
const MOST: usize = 3;

const PACKAGES: [(&str, &str); 4] = [
    ("vrrp_ebpf", "vrrp-ebpf/src"),
    ("vrrp_proto", "vrrp-user/proto/src"),
    ("vrrp_conf", "vrrp-user/conf/src"),
    ("vrrp_user", "vrrp-user/src"),
];

/// The package and its module; a directory's is that of its `mod.rs`.
type Module = Vec<String>;

/// Circles that must be opened, each as a line.
pub(crate) fn faults(root: &Path) -> Result<Vec<String>> {
    Ok(too_large(&sources(root)?))
}

/// Modules directly below `parent`, and the others of them that the files of each use.
pub(crate) fn rooms(root: &Path, parent: &[&str]) -> Result<BTreeMap<String, BTreeSet<String>>> {
    Ok(rooms_of(&sources(root)?, parent))
}

fn rooms_of(sources: &BTreeMap<Module, String>, parent: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let room = |path: &[String]| -> Option<String> {
        let is_below = path.get(..parent.len()).is_some_and(|start| start == parent);
        path.get(parent.len()).filter(|_| is_below).cloned()
    };
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, text) in sources {
        let Some(own) = room(module) else { continue };
        let paths = uses(text).into_iter().chain(inline(text));
        let used = paths.filter_map(|path| room(&absolute(module, &path, sources)?));
        rooms.entry(own.clone()).or_default().extend(used.filter(|other| *other != own));
    }
    let known: BTreeSet<String> = rooms.keys().cloned().collect();
    // Items of the parent itself are no rooms.
    rooms.values_mut().for_each(|used| used.retain(|other| known.contains(other)));
    rooms
}

fn sources(root: &Path) -> Result<BTreeMap<Module, String>> {
    let mut sources = BTreeMap::new();
    for (package, directory) in PACKAGES {
        let directory = root.join(directory);
        for file in files(&directory)? {
            let path = file.strip_prefix(&directory)?.with_extension("");
            let mut module = vec![package.to_owned()];
            module.extend(path.iter().map(|part| part.to_string_lossy().into_owned()));
            if module.iter().any(|part| part == "tests" || part == "main") {
                continue;
            }
            module.pop_if(|last| matches!(&**last, "mod" | "lib"));
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            sources.insert(module, text);
        }
    }
    Ok(sources)
}

fn too_large(sources: &BTreeMap<Module, String>) -> Vec<String> {
    let circles = Imports::of(sources).circles();
    circles.iter().filter(|circle| circle.len() > MOST).map(|circle| shown(circle)).collect()
}

fn shown(circle: &[&Module]) -> String {
    let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
    format!("{} files use each other in a circle: {}", names.len(), names.join(", "))
}

/// Modules, and those that each uses.
struct Imports<'a>(BTreeMap<&'a Module, BTreeSet<&'a Module>>);

impl<'a> Imports<'a> {
    fn of(sources: &'a BTreeMap<Module, String>) -> Self {
        let mut used: BTreeMap<&Module, Vec<Vec<String>>> = BTreeMap::new();
        let mut exported: BTreeMap<(&Module, String), Vec<String>> = BTreeMap::new();
        for (module, text) in sources {
            for path in uses(text) {
                let Some(path) = absolute(module, &path, sources) else { continue };
                if let Some(name) = path.last() {
                    exported.insert((module, name.clone()), path.clone());
                }
                used.entry(module).or_default().push(path);
            }
            let inline = inline(text).into_iter().filter_map(|path| absolute(module, &path, sources));
            used.entry(module).or_default().extend(inline);
        }
        let defining = |path: &[String]| -> Option<&'a Module> {
            let mut path = path.to_vec();
            // Longer chains of exports do not exist.
            for _ in 0..8 {
                let mut lengths = (1..=path.len()).rev();
                let (module, length) = lengths.find_map(|length| {
                    let (module, _) = sources.get_key_value(path.get(..length)?)?;
                    Some((module, length))
                })?;
                let export = path.get(length).and_then(|name| exported.get(&(module, name.clone())));
                match export {
                    Some(target) if *target != path => {
                        let rest = path.get(length + 1..).unwrap_or_default();
                        path = [&**target, rest].concat();
                    }
                    _ => return Some(module),
                }
            }
            None
        };
        let others = |(module, paths): (&'a Module, Vec<Vec<String>>)| {
            let used = paths.iter().filter_map(|path| defining(path)).filter(|it| *it != module);
            (module, used.collect())
        };
        Self(used.into_iter().map(others).collect())
    }

    /// All that a module uses, by way of others too.
    fn reach(&self, from: &'a Module) -> BTreeSet<&'a Module> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(module) = open.pop() {
            for &used in self.0.get(module).into_iter().flatten() {
                if reached.insert(used) {
                    open.push(used);
                }
            }
        }
        reached
    }

    /// Largest sets of modules that all reach each other.
    fn circles(&self) -> Vec<Vec<&'a Module>> {
        let reach: BTreeMap<&Module, BTreeSet<&Module>> =
            self.0.keys().map(|module| (*module, self.reach(module))).collect();
        let mut circles: BTreeSet<Vec<&Module>> = BTreeSet::new();
        for (module, reached) in &reach {
            let back = |other: &&&Module| reach.get(**other).is_some_and(|its| its.contains(module));
            let circle: Vec<&Module> = reached.iter().filter(back).copied().collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }
}

/// The text without comments and unit tests.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| format!("{}\n", without_comment(line))).collect()
}

/// Paths in code that begin with a word for a module. Groups belong to `use` declarations; `pub(in PATH)` is no use.
fn inline(text: &str) -> Vec<Vec<String>> {
    let code = code_of(text);
    let starts = ["crate::", "self::", "super::"].iter().flat_map(|word| code.match_indices(word));
    let starts = starts.filter(|&(at, _)| at_start_of_path(&code, at) && !code[..at].ends_with("(in "));
    let path = |(at, _): (usize, &str)| {
        let is_part = |mark: char| mark.is_alphanumeric() || matches!(mark, '_' | ':');
        let path = code[at..].split(|mark| !is_part(mark)).next().unwrap_or_default();
        (!path.ends_with(':')).then(|| path.split("::").map(str::to_owned).collect())
    };
    starts.filter_map(path).collect()
}

/// Paths of the `use` declarations.
fn uses(text: &str) -> Vec<Vec<String>> {
    let code = code_of(text);
    let mut found = Vec::new();
    for statement in code.split(';') {
        let statement = format!("\n{}", statement.trim_start());
        let starts = ["\nuse ", "\npub use ", "\npub("].iter().filter_map(|mark| statement.rfind(mark));
        let declaration = starts.max().and_then(|start| statement.get(start + 1..)).unwrap_or_default();
        let rest = match declaration.strip_prefix("pub") {
            Some(rest) if rest.starts_with('(') => rest.split_once(") ").map_or("", |(_, rest)| rest),
            Some(rest) => rest.trim_start(),
            None => declaration,
        };
        if let Some(tree) = rest.strip_prefix("use ") {
            expand(&[], tree, &mut found);
        }
    }
    found
}

/// The paths of a tree such as `a::{b, c::d}`.
fn expand(before: &[String], tree: &str, paths: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let (head, list) = tree.split_once('{').map_or((tree, None), |(head, list)| (head, Some(list)));
    let plain = head.split(" as ").next().unwrap_or_default();
    let parts = plain.split("::").map(str::trim).filter(|part| !part.is_empty());
    let path: Vec<String> = before.iter().cloned().chain(parts.map(str::to_owned)).collect();
    match list {
        // A list ends with a comma.
        None if tree.is_empty() => {}
        None => paths.push(path),
        Some(list) => outermost(list).into_iter().for_each(|part| expand(&path, part, paths)),
    }
}

/// The path from its package on; `None` for one of another package, or a glob.
fn absolute(module: &Module, path: &[String], sources: &BTreeMap<Module, String>) -> Option<Vec<String>> {
    let mut rest = path;
    let mut whole = match path.first().map(String::as_str)? {
        "crate" => {
            rest = path.get(1..)?;
            module.get(..1)?.to_vec()
        }
        "self" | "super" => {
            let mut whole = module.clone();
            while let Some((first, others)) = rest.split_first()
                && matches!(&**first, "self" | "super")
            {
                if first == "super" {
                    whole.pop();
                }
                rest = others;
            }
            whole
        }
        package if PACKAGES.iter().any(|(known, _)| *known == package) => Vec::new(),
        child => {
            let mut whole = module.clone();
            whole.push(child.to_owned());
            sources.contains_key(&whole).then(|| module.clone())?
        }
    };
    if rest.last().is_some_and(|last| last == "*") {
        return None;
    }
    whole.extend(rest.iter().filter(|part| *part != "self").cloned());
    // The daemon's names for the packages that it is made of.
    let alias = match (whole.first()?.as_str(), whole.get(1).map(String::as_str)) {
        ("vrrp_user", Some("protocol")) => "vrrp_proto",
        ("vrrp_user", Some("config")) => "vrrp_conf",
        _ => return Some(whole),
    };
    Some([&[alias.to_owned()], whole.get(2..)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> BTreeMap<Module, String> {
        let module = |name: &str| name.split("::").map(str::to_owned).collect();
        files.iter().map(|(name, text)| (module(name), (*text).to_owned())).collect()
    }

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let sources = sources(files);
        Imports::of(&sources).circles().iter().map(|circle| shown(circle)).collect()
    }

    #[test]
    fn files_that_use_each_other_are_a_circle() {
        let found = circles(&[
            ("vrrp_user::daemon::a", "use super::b::B;\nuse crate::driver::d;"),
            ("vrrp_user::daemon::b", "use super::{c::{C, D}};"),
            ("vrrp_user::daemon::c", "pub(super) use crate::daemon::a::{self, A as E};"),
            ("vrrp_user::driver::d", "use std::io;"),
        ]);
        let [found] = &*found else { panic!("{found:?}") };
        assert!(found.starts_with("3 files") && !found.contains("driver::d"), "{found}");
    }

    #[test]
    fn an_export_counts_for_the_file_that_defines_it() {
        let found = circles(&[
            ("vrrp_user::daemon::a", "mod inner;\npub use inner::Inner;\nuse super::b::B;"),
            ("vrrp_user::daemon::a::inner", "pub struct Inner;"),
            ("vrrp_user::daemon::b", "use super::a::Inner;"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn tests_and_comments_do_not_count() {
        let found = circles(&[
            ("vrrp_user::daemon::a", "use super::b::B;"),
            (
                "vrrp_user::daemon::b",
                "// use super::a::A;\n#[cfg(test)]\nmod tests {\nuse super::super::a::A;\n}",
            ),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_path_in_code_counts() {
        let found = circles(&[
            ("vrrp_user::daemon::a", "fn a() { super::b::run(); }"),
            ("vrrp_user::daemon::b", "pub(in crate::daemon) fn run() -> crate::daemon::a::A {}"),
            ("vrrp_user::daemon::c", "pub(in crate::daemon) struct C;\nuse super::{a, b};"),
        ]);
        let [found] = &*found else { panic!("{found:?}") };
        assert!(found.starts_with("2 files"), "{found}");
    }

    #[test]
    fn a_room_uses_other_rooms_by_any_path() {
        let sources = sources(&[
            ("vrrp_user::daemon", "pub use a::A;"),
            ("vrrp_user::daemon::a", "use super::{b::B, Item};"),
            (
                "vrrp_user::daemon::a::inner",
                "fn f() { crate::daemon::c::run(super::super::b::B); self::g() }",
            ),
            ("vrrp_user::daemon::b", "use crate::driver::c;"),
            ("vrrp_user::daemon::c", ""),
        ]);
        let rooms = rooms_of(&sources, &["vrrp_user", "daemon"]);
        let used = |room: &str| rooms[room].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!((used("a"), used("b"), used("c")), (vec!["b", "c"], vec![], vec![]));
    }

    #[test]
    fn a_circle_has_three_files_at_most() {
        let circle = |files: &[(&str, &str)]| too_large(&sources(files)).len();
        let (a, b) = (("vrrp_conf::schema::a", "use super::b;"), ("vrrp_conf::schema::b", "use super::c;"));
        assert_eq!(circle(&[a, b, ("vrrp_conf::schema::c", "use super::a;")]), 0);
        let (c, d) = (("vrrp_conf::schema::c", "use super::d;"), ("vrrp_conf::schema::d", "use super::a;"));
        assert_eq!(circle(&[a, b, c, d]), 1);
    }
}
