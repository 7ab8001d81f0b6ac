//! `include`: the names of files that a line asks for.
//!
//! A name is a pattern (`*`, `?`, `[…]`, `{a,b}`), relative to the directory of the file that includes it. Opens no
//! file: what is found is handed on, and what is missing is judged by the keyword.

use std::path::{Path, PathBuf};

use crate::config::lexer::{Line, Token, Word};

/// File names that one pattern may stand for through its braces.
const ALTERNATIVES_MAX: usize = 256;

/// What makes an included file's absence an error instead of a warning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Strictness {
    /// It is there and cannot be read.
    pub(super) readable: bool,
    /// A plain name.
    plain: bool,
    /// A name with `*`, `?` or `[…]`.
    wildcard: bool,
    /// One of several names in braces.
    brace: bool,
}

impl Strictness {
    /// Of the keyword that a line begins with, where it is one that includes.
    pub(super) fn of(keyword: &Word) -> Option<Self> {
        let readable = Self { readable: true, ..Self::default() };
        match keyword.raw.as_str() {
            "include" => Some(Self::default()),
            "includer" => Some(readable),
            "includem" => Some(Self { plain: true, ..readable }),
            "includew" => Some(Self { plain: true, wildcard: true, ..readable }),
            "includeb" => Some(Self { brace: true, ..readable }),
            "includea" => Some(Self { readable: true, plain: true, wildcard: true, brace: true }),
            _ => None,
        }
    }
}

/// What a pattern stands for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) files: Vec<PathBuf>,
    /// Names that match nothing, and whether that is an error.
    pub(super) missing: Vec<(String, bool)>,
}

/// Looks for the files that `pattern` names from `directory`.
///
/// # Errors
/// One that says why a name is not a pattern.
pub(super) fn find(pattern: &str, directory: &Path, strictness: Strictness) -> Result<Found, String> {
    let names = alternatives(pattern);
    let in_braces = names.len() > 1;
    let mut found = Found::default();
    for name in names {
        let paths = glob::glob(&absolute(directory, &name))
            .map_err(|error| format!("`{name}` is not a pattern for files: {}", error.msg))?;
        let before = found.files.len();
        found.files.extend(paths.flatten());
        if found.files.len() == before {
            let is_wildcard = name.contains(['*', '?', '[']);
            let required = match (is_wildcard, in_braces) {
                (true, _) => strictness.wildcard,
                (false, true) => strictness.brace,
                (false, false) => strictness.plain,
            };
            found.missing.push((name, required));
        }
    }
    Ok(found)
}

/// What follows the keyword. Names with blanks are quoted, so the words are joined only where they are not.
pub(super) fn pattern(line: &Line) -> String {
    let words: Vec<&str> = line
        .tokens
        .iter()
        .skip(1)
        .filter_map(|token| match token {
            Token::Word(word) => Some(word.text.as_str()),
            Token::Open(_) | Token::Close(_) => None,
        })
        .collect();
    words.join(" ")
}

/// The pattern as seen from the working directory; letters of the directory's own name stand for themselves.
fn absolute(directory: &Path, pattern: &str) -> String {
    if directory.as_os_str().is_empty() || Path::new(pattern).is_absolute() {
        return pattern.to_owned();
    }
    format!("{}/{pattern}", glob::Pattern::escape(&directory.to_string_lossy()))
}

/// `a{b,c}` as `ab` and `ac`, also nested and repeated.
fn alternatives(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut todo = vec![pattern.to_owned()];
    while let Some(next) = todo.pop() {
        match innermost_braces(&next) {
            Some((before, inside, after)) if todo.len() + done.len() < ALTERNATIVES_MAX => {
                todo.extend(inside.split(',').rev().map(|choice| format!("{before}{choice}{after}")));
            }
            _ => done.push(next),
        }
    }
    done
}

fn innermost_braces(pattern: &str) -> Option<(&str, &str, &str)> {
    let (head, after) = pattern.split_once('}')?;
    let (before, inside) = head.rsplit_once('{')?;
    Some((before, inside, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_stand_for_alternatives() {
        assert_eq!(alternatives("a.conf"), ["a.conf"]);
        assert_eq!(alternatives("{a,b}.{c,d}"), ["a.c", "a.d", "b.c", "b.d"]);
        assert_eq!(alternatives("x{a{b,c}}y"), ["xaby", "xacy"]);
        assert!(alternatives(&"{a,b}".repeat(40)).len() <= 2 * ALTERNATIVES_MAX);
    }
}
