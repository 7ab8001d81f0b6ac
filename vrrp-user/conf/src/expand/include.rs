//! `include`: file names of a line.
//!
//! A name is a pattern (`*`, `?`, `[…]`, `{a,b}`), relative to the directory of the file that includes it. Opens no
//! file: it returns the files found, and the missing ones with their severity, which the keyword decides.

use std::path::{Path, PathBuf};

use glob::MatchOptions;

use crate::lexer::{Line, Token, Word};

/// Most file names from the braces of one pattern.
const ALTERNATIVES_MAX: usize = 256;

/// Cases in which a missing included file is an error instead of a warning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Strictness {
    /// It exists and cannot be read.
    pub(super) readable: bool,
    /// A plain name.
    plain: bool,
    /// A name with `*`, `?` or `[…]`.
    wildcard: bool,
    /// One of several names in braces.
    brace: bool,
}

impl Strictness {
    /// Strictness of an including keyword; `None` for other keywords.
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

    /// The requirements of both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            readable: self.readable | other.readable,
            plain: self.plain | other.plain,
            wildcard: self.wildcard | other.wildcard,
            brace: self.brace | other.brace,
        }
    }

    /// Applies the words after `include_check`: a word without a sign resets all others; no word at all sets all.
    ///
    /// # Errors
    /// The first unknown word.
    pub(super) fn set<'w>(&mut self, words: &[&'w Word]) -> Result<(), &'w Word> {
        if words.is_empty() {
            *self = Self { readable: true, plain: true, wildcard: true, brace: true };
        } else if words.iter().any(|word| !word.text.starts_with(['+', '-'])) {
            *self = Self { readable: true, ..Self::default() };
        }
        for word in words {
            let name = word.text.strip_prefix(['+', '-']).unwrap_or(&word.text);
            let switch = match name {
                "readable" | "read" => &mut self.readable,
                "match" => &mut self.plain,
                "wildcard_match" => &mut self.wildcard,
                "brace_match" => &mut self.brace,
                _ => return Err(word),
            };
            *switch = !word.text.starts_with('-');
        }
        Ok(())
    }
}

/// Result of a pattern.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) files: Vec<PathBuf>,
    /// Names without a match; `true`: that is an error.
    pub(super) missing: Vec<(String, bool)>,
}

/// Finds the files that match `pattern` in `directory`.
///
/// # Errors
/// Why a name is not a valid pattern.
pub(super) fn find(pattern: &str, directory: &Path, strictness: Strictness) -> Result<Found, String> {
    let names = alternatives(pattern);
    let in_braces = names.len() > 1;
    let mut found = Found::default();
    for name in names {
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::default() };
        let paths = glob::glob_with(&absolute(directory, &name), options)
            .map_err(|error| format!("`{name}` is not a valid file name pattern: {}", error.msg))?;
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

/// The text after the keyword. A name with blanks is normally quoted, as one word; unquoted words are joined. To
/// keepalived, quotes are letters of the name.
pub(super) fn pattern(line: &Line, as_keepalived: bool) -> String {
    let text = |word: &Word| if as_keepalived { word.raw.clone() } else { word.text.clone() };
    let words: Vec<String> = arguments(line).into_iter().map(text).collect();
    words.join(" ")
}

/// The words after the keyword, up to a brace.
pub(super) fn arguments(line: &Line) -> Vec<&Word> {
    let words = line.tokens.iter().map_while(|token| match token {
        Token::Word(word) => Some(word),
        Token::Open(_) | Token::Close(_) => None,
    });
    words.skip(1).collect()
}

/// The pattern relative to the working directory; pattern characters in the directory's own name are escaped.
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
