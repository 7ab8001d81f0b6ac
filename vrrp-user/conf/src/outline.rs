//! Statements as written, with their places, kept so that a setting can be traced to its line.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::diagnostic::Diagnostic;
use super::lexer::Word;
use super::source::{Position, Sources};
use super::tree::Statement;

/// Displayed and serialized as `file:line:column`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// The file, as given.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

impl Place {
    pub(super) fn of(at: Position, sources: &Sources) -> Self {
        Self { file: sources.name(at.file), line: at.line, column: at.column }
    }

    pub(super) fn of_finding(finding: &Diagnostic) -> Self {
        Self { file: finding.file.clone(), line: finding.line, column: finding.column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Serialize for Place {
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
    pub(super) place: Place,
}

/// Copies the tree, with places instead of positions, which mean nothing without their sources.
pub(super) fn outline(statements: &[Statement], sources: &Sources) -> Vec<Written> {
    let text = |word: &Word| Text { text: word.text.as_str().into(), place: Place::of(word.at, sources) };
    let written = |statement: &Statement| Written {
        keyword: text(&statement.keyword),
        args: statement.args.iter().map(text).collect(),
        block: statement.block.as_ref().map(|inner| outline(inner, sources)),
    };
    statements.iter().map(written).collect()
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
    pub(super) fn place(&self) -> &Place {
        self.args.first().map_or(&self.keyword.place, |first| &first.place)
    }

    pub(super) fn inner(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Whether a word of the statement, or of its block, begins at `place`.
    pub(super) fn holds(&self, place: &Place) -> bool {
        std::iter::once(&self.keyword).chain(&self.args).any(|word| word.place == *place)
            || self.inner().iter().any(|inner| inner.holds(place))
    }
}
