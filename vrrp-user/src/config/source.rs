//! Files by number, and places in them.

use std::sync::Arc;

/// Number of a file in the order of reading; 0 is the one that was asked for.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct FileId(u32);

/// Where a word begins.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Position {
    pub(super) file: FileId,
    /// From 1.
    pub(super) line: u32,
    /// In characters, from 1.
    pub(super) column: u32,
}

impl Position {
    pub(super) fn start_of(file: FileId) -> Self {
        Self { file, line: 1, column: 1 }
    }
}

impl Default for Position {
    fn default() -> Self {
        Self::start_of(FileId::default())
    }
}

/// A value and the place that gave it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: Position,
}

/// Names of the files read.
#[derive(Debug, Default)]
pub(super) struct Sources {
    names: Vec<Arc<str>>,
}

impl Sources {
    pub(super) fn add(&mut self, name: Arc<str>) -> FileId {
        let id = FileId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(name);
        id
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn name(&self, file: FileId) -> Arc<str> {
        let index = usize::try_from(file.0).unwrap_or(usize::MAX);
        self.names.get(index).cloned().unwrap_or_default()
    }

    /// `file:line`, for messages that point to a second place.
    pub(super) fn place(&self, at: Position) -> String {
        format!("{}:{}", self.name(at.file), at.line)
    }
}
