//! Follows `include` and hands on one sequence of lines.
//!
//! A name is a pattern (`*`, `?`, `[…]`, `{a,b}`), relative to the directory of the file that includes it. Definitions
//! and conditional lines change what the rest of a file says, so they are refused rather than skipped.

use std::path::{Path, PathBuf};

use super::diagnostic::Report;
use super::lexer::{self, Line, Token, Word};
use super::source::{FileId, Position, Sources};

/// Files that one configuration may consist of.
const FILES_MAX: usize = 4096;
/// File names that one pattern may stand for through its braces.
const ALTERNATIVES_MAX: usize = 256;

/// Whether files may be opened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Includes<'a> {
    Follow(&'a Path),
    /// The text does not come from a file.
    Refuse,
}

/// Lines of `text` and of all that it includes, in reading order.
pub(super) fn expand(
    text: &str,
    file: FileId,
    includes: Includes<'_>,
    sources: &mut Sources,
    report: &mut Report,
) -> Vec<Line> {
    let mut expander = Expander { sources, report, reading: Vec::new(), lines: Vec::new() };
    if let Includes::Follow(path) = includes {
        expander.reading.push(canonical(path));
    }
    expander.file(text, file, includes);
    expander.lines
}

/// The text of a file; bytes that are not UTF-8 become replacement characters.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}

struct Expander<'a> {
    sources: &'a mut Sources,
    report: &'a mut Report,
    /// Files that are open, outermost first.
    reading: Vec<PathBuf>,
    lines: Vec<Line>,
}

impl Expander<'_> {
    fn file(&mut self, text: &str, file: FileId, includes: Includes<'_>) {
        for line in lexer::lines(text, file, self.report) {
            self.line(line, includes);
        }
    }

    fn line(&mut self, mut line: Line, includes: Includes<'_>) {
        let Some(Token::Word(first)) = line.tokens.first() else {
            self.lines.push(line);
            return;
        };
        let at = first.at;
        match Directive::of(first) {
            Some(Directive::Include { required }) => {
                let pattern = pattern(&line);
                self.include(&pattern, at, required, includes);
            }
            Some(Directive::Condition) => {
                self.report
                    .error(at, format!("conditional lines (`{}`) are not supported yet", first.text))
                    .help("write one file for each node");
                line.tokens.remove(0);
                self.lines.push(line);
            }
            Some(Directive::Definition) => {
                self.report
                    .error(at, "definitions (`$NAME=value`) are not supported yet")
                    .help("write the value where it is used");
            }
            Some(Directive::Sequence) => {
                self.report
                    .error(at, "`~SEQ` and `~LST` are not supported yet")
                    .help("write the lines one by one");
            }
            None => self.lines.push(line),
        }
    }

    fn include(&mut self, pattern: &str, at: Position, required: bool, includes: Includes<'_>) {
        let Includes::Follow(path) = includes else {
            self.report
                .warning(at, format!("`{pattern}` is not included: this text does not come from a file"));
            return;
        };
        if pattern.is_empty() {
            self.report.error(at, "`include` needs the name of a file");
            return;
        }
        let directory = path.parent().unwrap_or(Path::new(""));
        let mut found = false;
        for alternative in alternatives(pattern) {
            match glob::glob(&absolute(directory, &alternative)) {
                Ok(paths) => {
                    for path in paths.flatten().filter(|path| !path.is_dir()) {
                        found = true;
                        self.included(&path, at, required);
                    }
                }
                Err(error) => {
                    self.report
                        .error(at, format!("`{alternative}` is not a pattern for files: {}", error.msg));
                    return;
                }
            }
        }
        if !found {
            let message = format!("`{pattern}` matches no file; nothing is included");
            if required {
                self.report.error(at, message);
            } else {
                self.report.warning(at, message);
            }
        }
    }

    fn included(&mut self, path: &Path, at: Position, required: bool) {
        let canonical = canonical(path);
        if self.reading.contains(&canonical) {
            self.report.error(at, format!("`{}` includes itself", path.display()));
            return;
        }
        if self.sources.len() >= FILES_MAX {
            self.report.error(at, format!("more than {FILES_MAX} files are included"));
            return;
        }
        match read(path) {
            Ok(text) => {
                let file = self.sources.add(path.display().to_string().into());
                self.reading.push(canonical);
                self.file(&text, file, Includes::Follow(path));
                self.reading.pop();
            }
            Err(error) => {
                let message = format!("`{}` cannot be read: {error}", path.display());
                if required {
                    self.report.error(at, message);
                } else {
                    self.report.warning(at, message);
                }
            }
        }
    }
}

/// What the first word of a line asks of the reader, before keywords mean anything.
enum Directive {
    Include {
        /// keepalived's stricter spellings: nothing found is an error.
        required: bool,
    },
    Condition,
    Definition,
    Sequence,
}

impl Directive {
    fn of(first: &Word) -> Option<Self> {
        let word = first.raw.as_str();
        match word {
            "include" => Some(Self::Include { required: false }),
            "includer" | "includem" | "includew" | "includeb" | "includea" => {
                Some(Self::Include { required: true })
            }
            _ if word.starts_with('@') => Some(Self::Condition),
            _ if word.starts_with('$') && word.contains('=') => Some(Self::Definition),
            _ if word.starts_with("~SEQ") || word.starts_with("~LST") => Some(Self::Sequence),
            _ => None,
        }
    }
}

/// What follows the keyword. Names with blanks are quoted, so the words are joined only where they are not.
fn pattern(line: &Line) -> String {
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

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
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
