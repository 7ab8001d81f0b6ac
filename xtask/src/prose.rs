//! `prose`: rules for the text of comments and Markdown that a machine can check.
//!
//! Width: 120 characters, apart from tables, code blocks, and lines of a single long word, such as an address.
//! Words: those of [`UNWANTED`] hide the subject of a sentence; quoted ones do not count. Heads: the first line of a
//! source file is a noun phrase, so that an index of modules can be read. Length: 500 lines for a source file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo::root;

const WIDTH: usize = 120;

/// Most lines of a source file; a longer one has two subjects.
const LENGTH: usize = 500;

/// Each has a plain word that names the thing: "no router", "another process", "again", "the log reports".
const UNWANTED: [&str; 8] =
    ["anew", "anybody", "everybody", "nobody", "somebody", "whoever", "is told", "are told"];

/// A head that begins with one of these is a clause.
const CLAUSES: [&str; 8] = ["How", "That", "What", "When", "Where", "Whether", "Which", "Who"];

/// Folders without prose of the project.
const SKIPPED: [&str; 2] = ["target", ".git"];

pub(crate) fn check() -> Result<()> {
    let root = root()?;
    let mut findings = Vec::new();
    for file in files(&root)? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        let is_markdown = name.ends_with(".md");
        let found = if is_markdown { markdown(&text) } else { source(&text) };
        findings.extend(found.into_iter().map(|(line, what)| format!("{name}:{line}: {what}")));
    }
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
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
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
    for (line, number) in text.lines().zip(1..) {
        let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
        found.extend(words(comment).map(|what| (number, what)));
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
        assert_eq!(places(source("//! Maps.\nfn anew() {}\n// Set anew.\n")), [3]);
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
