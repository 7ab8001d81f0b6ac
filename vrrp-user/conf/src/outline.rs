//! Statements as written, with their places, kept so that a setting can be traced to its line.
//!
//! Enters: statements. Leaves: an [`Outline`] of them, and [`Written`] statements from it when they are wanted.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::diagnostic::Diagnostic;
use super::lexer::Word;
use super::source::Sources;
use super::tree::Statement;

/// Displayed and serialized as `file:line:column`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Location {
    /// The file, as given.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

impl Location {
    pub(super) fn of_finding(finding: &Diagnostic) -> Self {
        Self { file: finding.file.clone(), line: finding.line, column: finding.column }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A statement as written, with the statements of its block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Written {
    pub(super) keyword: Text,
    pub(super) args: Vec<Text>,
    pub(super) block: Option<Vec<Written>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    pub(super) text: Arc<str>,
    pub(super) place: Location,
}

/// A word of an [`Outline`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kept<'a> {
    /// Without quotes and escapes.
    pub(super) text: &'a str,
    /// As written.
    pub(super) raw: &'a str,
    /// Number of the file.
    pub(super) file: u32,
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) comment_follows: bool,
}

/// All statements as written, each word with its place. A daemon needs them for its next reload only, so they are a
/// string of bytes, which takes a tenth of the memory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outline {
    /// Names of the files, by number.
    pub(super) files: Box<[Arc<str>]>,
    bytes: Box<[u8]>,
}

/// Bits of the first byte of a word.
const COMMENT_FOLLOWS: u8 = 1;
const IS_QUOTED: u8 = 2;

impl Outline {
    pub(super) fn of(statements: &[Statement], sources: &Sources) -> Self {
        let mut bytes = Vec::new();
        write_all(&mut bytes, statements);
        Self { files: sources.all_names(), bytes: bytes.into() }
    }

    pub(super) fn read(&self) -> Vec<Written> {
        let text = |word: Kept<'_>| Text {
            text: word.text.into(),
            place: Location {
                file: self.files.get(word.file as usize).cloned().unwrap_or_default(),
                line: word.line,
                column: word.column,
            },
        };
        self.each(text, |keyword, args, block| Written { keyword, args, block })
    }

    /// The statements, made of their keyword, their arguments and their block.
    pub(super) fn each<'a, W, S>(
        &'a self,
        word: impl Fn(Kept<'a>) -> W,
        statement: impl Fn(W, Vec<W>, Option<Vec<S>>) -> S,
    ) -> Vec<S> {
        self.iter(word, statement).collect()
    }

    /// As [`Self::each`], one after the other.
    pub(super) fn iter<'a, W, S>(
        &'a self,
        word: impl Fn(Kept<'a>) -> W,
        statement: impl Fn(W, Vec<W>, Option<Vec<S>>) -> S,
    ) -> impl Iterator<Item = S> {
        let mut bytes = Bytes(&self.bytes);
        let count = bytes.number().unwrap_or_default();
        // It reads what this version has written.
        (0..count).map_while(move |_| bytes.statement(&word, &statement))
    }
}

fn write_all(bytes: &mut Vec<u8>, statements: &[Statement]) {
    write_count(bytes, statements.len());
    for Statement { keyword, args, block } in statements {
        write_count(bytes, args.len());
        std::iter::once(keyword).chain(args).for_each(|word| write_word(bytes, word));
        bytes.push(u8::from(block.is_some()));
        if let Some(inner) = block {
            write_all(bytes, inner);
        }
    }
}

fn write_word(bytes: &mut Vec<u8>, word: &Word) {
    let is_quoted = word.raw != word.text;
    let comment_follows = if word.comment_follows { COMMENT_FOLLOWS } else { 0 };
    bytes.push(comment_follows | if is_quoted { IS_QUOTED } else { 0 });
    [word.at.file.number(), word.at.line, word.at.column].into_iter().for_each(|it| write_number(bytes, it));
    let raw = is_quoted.then_some(&word.raw);
    for text in std::iter::once(&word.text).chain(raw) {
        write_count(bytes, text.len());
        bytes.extend_from_slice(text.as_bytes());
    }
}

fn write_count(bytes: &mut Vec<u8>, count: usize) {
    // A file of 4 GiB is refused long before.
    write_number(bytes, u32::try_from(count).unwrap_or(u32::MAX));
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn write_number(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// The rest of an outline.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn statements<W, S>(
        &mut self,
        word: &impl Fn(Kept<'a>) -> W,
        statement: &impl Fn(W, Vec<W>, Option<Vec<S>>) -> S,
    ) -> Option<Vec<S>> {
        let count = self.number()?;
        (0..count).map(|_| self.statement(word, statement)).collect()
    }

    fn statement<W, S>(
        &mut self,
        word: &impl Fn(Kept<'a>) -> W,
        statement: &impl Fn(W, Vec<W>, Option<Vec<S>>) -> S,
    ) -> Option<S> {
        let args = self.number()?;
        let keyword = word(self.word()?);
        let args = (0..args).map(|_| Some(word(self.word()?))).collect::<Option<_>>()?;
        let block = match self.byte()? {
            0 => None,
            _ => Some(self.statements(word, statement)?),
        };
        Some(statement(keyword, args, block))
    }

    fn word(&mut self) -> Option<Kept<'a>> {
        let bits = self.byte()?;
        let (file, line, column) = (self.number()?, self.number()?, self.number()?);
        let text = self.text()?;
        let raw = if bits & IS_QUOTED == 0 { text } else { self.text()? };
        Some(Kept { text, raw, file, line, column, comment_follows: bits & COMMENT_FOLLOWS != 0 })
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.number()?;
        let (text, rest) = self.0.split_at_checked(length as usize)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn number(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in (0..32).step_by(7) {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }
}

impl Written {
    pub(super) fn is(&self, keyword: &str) -> bool {
        &*self.keyword.text == keyword
    }

    /// The first argument: the name of a block, or the value of a keyword.
    pub(super) fn first(&self) -> Option<&str> {
        self.args.first().map(|first| &*first.text)
    }

    /// Place of the value, or of the keyword if it has none.
    pub(super) fn place(&self) -> &Location {
        self.args.first().map_or(&self.keyword.place, |first| &first.place)
    }

    pub(super) fn inner(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// The first statement that `is_it`, of this one and those of its block.
    pub(super) fn find(&self, is_it: &impl Fn(&Self) -> bool) -> Option<&Self> {
        if is_it(self) { Some(self) } else { self.inner().iter().find_map(|inner| inner.find(is_it)) }
    }

    /// Adds this statement and those of its block.
    pub(super) fn with_inner<'a>(&'a self, all: &mut Vec<&'a Self>) {
        all.push(self);
        self.inner().iter().for_each(|inner| inner.with_inner(all));
    }

    /// Whether a word of the statement, or of its block, begins at `place`.
    pub(super) fn holds(&self, place: &Location) -> bool {
        std::iter::once(&self.keyword).chain(&self.args).any(|word| word.place == *place)
            || self.inner().iter().any(|inner| inner.holds(place))
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::{FileId, Position};
    use super::*;

    fn word(text: &str, raw: &str, line: u32, column: u32, comment_follows: bool) -> Word {
        let at = Position { line, column, ..Position::start_of(FileId::default()) };
        Word { text: text.to_owned(), raw: raw.to_owned(), at, comment_follows }
    }

    #[test]
    fn statements_are_read_as_they_were_written() {
        let mut sources = Sources::default();
        sources.add("vrrpx.conf".into());
        let inner = Statement {
            keyword: word("priority", "priority", 300, 5, false),
            args: vec![word("a b", "\"a b\"", 300, 14, true), word("", "''", u32::MAX, 200, false)],
            block: Some(Vec::new()),
        };
        let block = Statement {
            keyword: word("vrrp_instance", "vrrp_instance", 1, 1, false),
            args: vec![word("ü", "ü", 1, 15, false)],
            block: Some(vec![inner.clone(), Statement { block: None, ..inner }]),
        };
        let outline = Outline::of(&[block], &sources);
        let words = |keyword: Vec<String>, args: Vec<Vec<String>>, block: Option<Vec<Vec<String>>>| {
            let all = keyword.into_iter().chain(args.into_iter().flatten());
            all.chain(block.map_or_else(|| vec!["-".to_owned()], |it| it.concat())).collect()
        };
        let each = outline.each(
            |it| vec![format!("{} {} {} {} {}", it.text, it.raw, it.line, it.column, it.comment_follows)],
            words,
        );
        let inner = ["priority priority 300 5 false", "a b \"a b\" 300 14 true", " '' 4294967295 200 false"];
        let expected = ["vrrp_instance vrrp_instance 1 1 false", "ü ü 1 15 false"];
        let expected: Vec<_> = expected.into_iter().chain(inner).chain(inner).chain(["-"]).collect();
        assert_eq!(each.concat(), expected);
        let written = outline.read();
        assert_eq!(written[0].place().to_string(), "vrrpx.conf:1:15");
        assert_eq!((written[0].inner().len(), written[0].inner()[1].block.as_ref()), (2, None));
        assert_eq!(written[0].inner()[0].first(), Some("a b"));
        // 30 bytes a word.
        assert!(outline.bytes.len() < 8 * 30, "{}", outline.bytes.len());
    }
}
