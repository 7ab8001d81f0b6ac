//! The public types against docs/glossary.md: each is explained there, unless its name consists of words of the field.
//!
//! Those words are in `xtask/field-words.txt`: nouns that say what a thing is, then words that need one beside them. An
//! entry whose item no source file defines is an error too, and so is a word that no public type uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Crates whose public types have to be explained.
const CRATES: [&str; 4] = ["vrrp-ebpf/src", "vrrp-user/proto/src", "vrrp-user/conf/src", "vrrp-user/src"];

const GLOSSARY: &str = "docs/glossary.md";
const WORDS: &str = "xtask/field-words.txt";

/// Begins the second part of the list of words.
const BESIDE: &str = "# Beside a noun";

/// Each line of it is a finding. `files` are those of the project.
pub(crate) fn findings(root: &Path, files: &[(String, String)]) -> Result<Vec<String>> {
    let read = |name: &str| fs::read_to_string(root.join(name)).with_context(|| name.to_owned());
    let sources: Vec<_> =
        files.iter().filter(|(name, _)| CRATES.iter().any(|folder| name.starts_with(folder))).collect();
    let sources: Vec<(&str, &str)> = sources.iter().map(|(name, text)| (&**name, &**text)).collect();
    Ok(compare(&read(GLOSSARY)?, &Words::parse(&read(WORDS)?), &sources))
}

fn compare(glossary: &str, words: &Words<'_>, sources: &[(&str, &str)]) -> Vec<String> {
    let items = Items::of(sources);
    let entries: Vec<(usize, &str)> = entries(glossary).collect();
    let explained: BTreeSet<&str> = entries.iter().map(|(_, path)| *path).collect();
    let mut found: Vec<String> = items
        .public
        .iter()
        .filter(|(name, _)| !explained.contains(*name) && !words.explain(name, &explained))
        .map(|(name, place)| {
            format!("{place}: `{name}` is neither in {GLOSSARY} nor made of the words of {WORDS}")
        })
        .collect();
    let used: BTreeSet<&str> = items.public.keys().flat_map(|name| parts(name)).flat_map(both).collect();
    let unused = words.all.iter().filter(|word| !used.contains(*word));
    found.extend(unused.map(|word| format!("{WORDS}: no public type uses `{word}`")));
    found.extend(
        entries
            .iter()
            .filter(|(_, path)| !items.define(path))
            .map(|(line, path)| format!("{GLOSSARY}:{line}: nothing is named `{path}`")),
    );
    found
}

/// The items of the last column, each with its line; a row of the words of the field has none.
fn entries(glossary: &str) -> impl Iterator<Item = (usize, &str)> {
    glossary.lines().zip(1..).flat_map(|(line, number)| {
        let cells: Vec<&str> = line.split('|').collect();
        let items = if let [_, _, _, items, _] = cells[..] { items } else { "" };
        items.split('`').skip(1).step_by(2).map(move |path| (number, path))
    })
}

struct Words<'a> {
    nouns: BTreeSet<&'a str>,
    all: BTreeSet<&'a str>,
}

impl<'a> Words<'a> {
    fn parse(text: &'a str) -> Self {
        let listed = |part: &'a str| {
            part.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect()
        };
        let (nouns, _) = text.split_once(BESIDE).unwrap_or((text, ""));
        Self { nouns: listed(nouns), all: listed(text) }
    }

    /// Whether every word of a name is known, and one of them as a noun.
    fn explain(&self, name: &str, explained: &BTreeSet<&str>) -> bool {
        let is_noun =
            |word: &&str| both(word).any(|word| self.nouns.contains(word) || explained.contains(word));
        let is_known = |word: &str| is_noun(&word) || both(word).any(|word| self.all.contains(word));
        parts(name).all(is_known) && parts(name).any(|word| is_noun(&word))
    }
}

/// The words of a name in camel case.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    let starts = name.char_indices().filter(|(_, letter)| letter.is_uppercase()).map(|(at, _)| at);
    let ends = starts.clone().skip(1).chain([name.len()]);
    starts.zip(ends).filter_map(|(start, end)| name.get(start..end))
}

/// A word, and its singular if it may be a plural.
fn both(word: &str) -> impl Iterator<Item = &str> {
    [Some(word), word.strip_suffix('s')].into_iter().flatten()
}

/// Names that the sources define.
struct Items<'a> {
    /// Public types and traits, each with a file and line.
    public: BTreeMap<&'a str, String>,
    /// By file: types, functions, constants, modules, variants and public fields.
    defined: Vec<BTreeSet<&'a str>>,
    modules: BTreeSet<&'a str>,
}

impl<'a> Items<'a> {
    fn of(sources: &[(&'a str, &'a str)]) -> Self {
        let mut items = Self { public: BTreeMap::new(), defined: Vec::new(), modules: BTreeSet::new() };
        for (file, text) in sources {
            items.modules.extend(file.trim_end_matches(".rs").split('/'));
            let mut defined = BTreeSet::new();
            for (line, number) in text.lines().zip(1..) {
                let line = line.trim_start();
                if let Some((kind, name)) = item(line) {
                    defined.insert(name);
                    if line.starts_with("pub ")
                        && ["struct", "enum", "trait", "union", "type"].contains(&kind)
                    {
                        items.public.entry(name).or_insert_with(|| format!("{file}:{number}"));
                    }
                } else if line.starts_with(char::is_uppercase) {
                    defined.insert(name_at(line));
                } else if let Some(field) = line.strip_prefix("pub ").filter(|field| field.contains(": ")) {
                    defined.insert(name_at(field));
                }
            }
            items.defined.push(defined);
        }
        items
    }

    /// Whether a path such as `advert::judge`, `Event` or `Event::Seen` exists. The last two names are in one file.
    fn define(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split("::").collect();
        let is_type = |name: &&&str| name.starts_with(char::is_uppercase);
        let together: Vec<&&str> = names.iter().filter(is_type).chain(names.last()).collect();
        let is_last_a_module = names.last().is_some_and(|last| self.modules.contains(last));
        is_last_a_module
            || self.defined.iter().any(|names| together.iter().all(|name| names.contains(**name)))
    }
}

/// Kind and name of the item that a line begins to define.
fn item(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace().skip_while(|word| {
        word.starts_with("pub")
            || word.ends_with(')')
            || ["const", "unsafe", "async", "extern", "in"].contains(word)
    });
    let (kind, name) = (words.next()?, words.next());
    let before = line.split_whitespace().take_while(|word| *word != kind).last();
    match kind {
        "struct" | "enum" | "trait" | "union" | "type" | "fn" | "mod" | "static" => {
            Some((kind, name_at(name?)))
        }
        _ if before == Some("const") => Some(("const", name_at(kind))),
        _ => None,
    }
}

/// The identifier at the start of a text.
fn name_at(text: &str) -> &str {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "pub struct SocketFilters<T> {\n    pub width: u8,\npub(crate) struct Hidden;\n    \
                          pub enum Lane {\n    Fast,\n}\npub const fn lanes() {}\npub const LANES_MAX: usize = 1;\n\
                          pub trait Wanted {}\n";

    fn found(glossary: &str) -> Vec<String> {
        let words = Words::parse("Socket\n# Beside a noun\nFilter Wanted\n");
        compare(glossary, &words, &[("crate/src/road.rs", SOURCE)])
    }

    #[test]
    fn a_public_type_is_in_the_glossary_or_made_of_known_words() {
        let glossary = "| lane | A lane is a part. | `Lane` |\n| wanted | It is wanted. | `Wanted` |\n";
        assert!(found(glossary).is_empty());
        let found = found("| lane | A lane is a part. | `Lane::Fast` |\n");
        assert_eq!(found.len(), 2, "an entry for a variant explains no type, a word beside nothing neither");
        assert!(found[0].starts_with("crate/src/road.rs:4: `Lane`"), "{found:?}");
        assert!(found[1].starts_with("crate/src/road.rs:9: `Wanted`"), "{found:?}");
    }

    #[test]
    fn a_word_that_no_type_uses_is_not_listed() {
        let words = Words::parse("Socket Filter Wanted Lane\n# Beside a noun\nStreet\n");
        let found = compare("", &words, &[("crate/src/road.rs", SOURCE)]);
        assert_eq!(found, [format!("{WORDS}: no public type uses `Street`")]);
    }

    #[test]
    fn an_entry_names_something_that_exists() {
        let rows = |items: &str| format!("| a | b | `Lane`, `Wanted`, {items} |\n");
        assert!(
            found(&rows("`Lane::Fast`, `road`, `road::lanes`, `LANES_MAX`, `SocketFilters::width`"))
                .is_empty()
        );
        for gone in ["`Lane::Slow`", "`Street`", "`road::streets`", "`Street::Fast`"] {
            assert_eq!(found(&rows(gone)).len(), 1, "{gone}");
        }
        assert!(found(&rows("–")).is_empty());
    }
}
