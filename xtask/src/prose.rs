//! `prose`: rules for the text of comments and Markdown that a machine can check.
//!
//! Width: 120 characters, apart from tables, code blocks, and lines of a single long word, such as an address.
//! Words: those of [`UNWANTED`] hide the subject of a sentence, also in names of functions; quoted ones do not count.
//! Subjects: no sentence begins with a clause of [`SUBJECTS`]. Heads: the first line of a source file is a noun phrase,
//! so that an index of modules can be read. Length: 500 lines for a source file. Public types: see [`glossary`].

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo::root;
use crate::glossary;

const WIDTH: usize = 120;

/// Most lines of a source file; a longer one has two subjects.
const LENGTH: usize = 500;

/// Each has a plain word that names the thing: "no router", "another process", "again", "the log reports".
const UNWANTED: [&str; 9] =
    ["anew", "anybody", "everybody", "nobody", "somebody", "whoever", "is told", "are told", "told from"];

/// A sentence that begins with one of these has a clause for its subject; a question is none. The first sentence of a
/// documentation comment may be such a clause alone.
const SUBJECTS: [&str; 4] = ["What", "Whatever", "Who", "Whoever"];

/// A head that begins with one of these is a clause.
const CLAUSES: [&str; 8] = ["How", "That", "What", "When", "Where", "Whether", "Which", "Who"];

/// Folders without prose of the project.
const SKIPPED: [&str; 2] = ["target", ".git"];

pub(crate) fn check() -> Result<()> {
    let root = root()?;
    let mut findings = Vec::new();
    let mut texts = Vec::new();
    for file in files(&root)? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        let is_markdown = name.ends_with(".md");
        let found = if is_markdown { markdown(&text) } else { source(&text) };
        findings.extend(found.into_iter().map(|(line, what)| format!("{name}:{line}: {what}")));
        texts.push((name, text));
    }
    findings.extend(glossary::findings(&root, &texts)?);
    if findings.is_empty() {
        return Ok(());
    }
    bail!("text that breaks a rule of CONTRIBUTING.md:\n{}", findings.join("\n"))
}

fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let (entry, path) = entry.map(|entry| (entry.file_name(), entry.path()))?;
            if path.is_dir() && !path.is_symlink() && !SKIPPED.iter().any(|name| entry == *name) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Line numbers from 1, each with what is wrong.
fn markdown(text: &str) -> Vec<(usize, String)> {
    let mut is_code = false;
    let mut before = "";
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            let text = line.trim_start().trim_start_matches(|letter: char| letter.is_ascii_digit());
            let text = text.trim_start_matches(['-', '.', ' ']);
            let is_prose = !line.starts_with(['#', '|']);
            found.extend(clause(before, text).filter(|_| is_prose).map(|what| (number, what)));
            before = text;
            found.extend(words(line).map(|what| (number, what)));
            found.extend(width(line, line).map(|what| (number, what)));
        }
    }
    found
}

fn source(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let head = text.lines().next().and_then(|line| line.strip_prefix("//! "));
    if let Some(word) = head.and_then(|head| head.split(' ').next()).filter(|word| CLAUSES.contains(word)) {
        found.push((1, format!("the head begins with `{word}`; write a noun phrase")));
    }
    let length = text.lines().count();
    if length > LENGTH {
        found.push((LENGTH + 1, format!("{length} lines; at most {LENGTH}: split the file by subject")));
    }
    let mut before = None;
    for (line, number) in text.lines().zip(1..) {
        let line_before = before.take();
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            let function = line.split_once("fn ").filter(|(before, _)| !before.contains('"'));
            let name = function.map_or("", |(_, name)| name);
            let name = name.split(['(', '<']).next().unwrap_or_default().replace('_', " ");
            found.extend(words(&name).map(|what| (number, what)));
            continue;
        };
        found.extend(words(comment).map(|what| (number, what)));
        let text = comment.trim_start_matches(['/', '!', ' ']);
        let is_head = comment.starts_with(['/', '!']) && line_before.is_none_or(str::is_empty);
        // The head of a documentation comment follows no sentence, so that only later ones are examined.
        found.extend(
            clause(if is_head { "," } else { line_before.unwrap_or_default() }, text)
                .map(|what| (number, what)),
        );
        before = Some(text);
        found.extend(width(line, comment.trim_start_matches(['/', '!', ' '])).map(|what| (number, what)));
    }
    found
}

fn width(line: &str, text: &str) -> Option<String> {
    let length = line.chars().count();
    let is_exempt = text.starts_with('|') || text.split_whitespace().count() <= 2;
    (length > WIDTH && !is_exempt).then(|| format!("{length} characters; at most {WIDTH}"))
}

fn words(text: &str) -> Option<String> {
    let plain = unquoted(text).to_lowercase();
    let words: Vec<&str> =
        plain.split(|letter: char| !letter.is_alphanumeric()).filter(|it| !it.is_empty()).collect();
    let stands = |wanted: &&&str| {
        let wanted: Vec<&str> = wanted.split(' ').collect();
        words.windows(wanted.len()).any(|found| found == wanted)
    };
    UNWANTED.iter().find(stands).map(|word| format!("`{word}`: name the thing"))
}

/// Whether a sentence of a line begins with a clause; `before` is the line before it.
fn clause(before: &str, line: &str) -> Option<String> {
    let is_start = before.is_empty() || before.ends_with(['.', ':', '?', '!']);
    let first = is_start.then_some(line).into_iter();
    let later =
        line.match_indices(['.', '?', '!']).filter_map(|(at, _)| line.get(at + 1..)?.strip_prefix(' '));
    let begins = |text: &str| SUBJECTS.into_iter().find(|word| text.split(' ').next() == Some(word));
    let mut clauses = first.chain(later).filter(|text| !text.contains('?')).filter_map(begins);
    clauses.next().map(|word| format!("a sentence begins with `{word}`; make a noun its subject"))
}

/// The text without what stands in backquotes or quotation marks.
fn unquoted(text: &str) -> String {
    let mut mark = None;
    text.chars()
        .filter(|letter| match mark {
            None if matches!(letter, '`' | '"') => {
                mark = Some(*letter);
                false
            }
            Some(open) if open == *letter => {
                mark = None;
                false
            }
            _ => mark.is_none(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(found: Vec<(usize, String)>) -> Vec<usize> {
        found.into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn long_lines_are_found_outside_of_tables_and_code() {
        let long = "word ".repeat(30);
        let text = format!("{long}\n| {long} |\n```\n{long}\n```\n{}\n", "x".repeat(200));
        assert_eq!(places(markdown(&text)), [1]);
        assert_eq!(places(source(&format!("let a = 1;\n    /// {long}\nlet b = \"{long}\";\n"))), [2]);
    }

    #[test]
    fn unwanted_words_are_found_unless_quoted() {
        let text = "Nobody answers.\nThe user `nobody` and \"is told\".\nThe log is told.\n";
        assert_eq!(places(markdown(text)), [1, 3]);
        assert_eq!(places(source("//! Maps.\nlet anew = 1;\n// Set anew.\n")), [3]);
        assert_eq!(
            places(source("    fn one_is_told_from_another() {}\nfn told() {}\nfn anew<T>() {}\n")),
            [1, 3]
        );
    }

    #[test]
    fn a_sentence_with_a_clause_for_its_subject_is_found() {
        let text =
            "What is left stays.\n# What stays\n| What | is |\n- It stays. What is left\n  What is this?\n";
        assert_eq!(places(markdown(text)), [1, 4]);
        let text = "/// What a map has. Whatever it has.\n/// It has\n/// What it has.\nlet a;\n// Who calls it ends.\n";
        assert_eq!(places(source(text)), [1, 5]);
    }

    #[test]
    fn long_files_are_found() {
        assert!(source(&"let a = 1;\n".repeat(LENGTH)).is_empty());
        assert_eq!(places(source(&"let a = 1;\n".repeat(LENGTH + 1))), [LENGTH + 1]);
    }

    #[test]
    fn heads_are_noun_phrases() {
        assert_eq!(places(source("//! What a map holds.\n")), [1]);
        assert!(source("//! Whatever; no clause word stands first.\n").is_empty());
    }
}
