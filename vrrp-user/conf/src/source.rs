//! Files by number, and positions in them.

use std::sync::{Arc, Mutex};

/// Number of a file in the order of reading; 0 is the configuration file itself.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct FileId(u32);

/// Number of a definition whose text replaces its name; 0 is none.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct OriginId(u32);

/// Start of a word. Text of a definition has the position where the definition is used.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Position {
    pub(super) file: FileId,
    /// From 1.
    pub(super) line: u32,
    /// In characters, from 1.
    pub(super) column: u32,
    pub(super) origin: OriginId,
}

impl FileId {
    pub(super) fn number(self) -> u32 {
        self.0
    }
}

impl Position {
    pub(super) fn start_of(file: FileId) -> Self {
        Self { file, line: 1, column: 1, origin: OriginId::default() }
    }
}

impl Default for Position {
    fn default() -> Self {
        Self::start_of(FileId::default())
    }
}

/// A value and the position where it is written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: Position,
}

/// Names of the files read, and the definitions used.
#[derive(Debug, Default)]
pub(super) struct Sources {
    names: Vec<Arc<str>>,
    origins: Vec<Origin>,
    progress: Progress,
}

/// The file being read now, for a thread that waits for the end of the reading.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<String>>);

impl Progress {
    /// The file, and the position that names it.
    pub fn now(&self) -> String {
        self.0.lock().map(|now| now.clone()).unwrap_or_default()
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Origin {
    /// Of the definition.
    name: Arc<str>,
    /// Position of its text.
    at: Position,
}

impl Sources {
    pub(super) fn watched(progress: Progress) -> Self {
        Self { progress, ..Self::default() }
    }

    /// Called before each access to the file system, which may never answer.
    pub(super) fn waits_for(&self, what: impl FnOnce() -> String) {
        if let Ok(mut now) = self.progress.0.lock() {
            *now = what();
        }
    }

    /// The files read, in their order.
    pub(super) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    pub(super) fn add(&mut self, name: Arc<str>) -> FileId {
        let id = FileId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(name);
        id
    }

    /// All files, by number.
    pub(super) fn all_names(&self) -> Box<[Arc<str>]> {
        self.names.as_slice().into()
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

    /// Records text of the definition `name`, written `at` and used elsewhere.
    pub(super) fn originate(&mut self, name: &Arc<str>, at: Position) -> OriginId {
        let origin = Origin { name: Arc::clone(name), at };
        if self.origins.last() != Some(&origin) {
            self.origins.push(origin);
        }
        OriginId(u32::try_from(self.origins.len()).unwrap_or(u32::MAX))
    }

    /// The definition that gave the text, for messages: "`$NAME`, line 3".
    pub(super) fn origin(&self, at: Position) -> Option<String> {
        let index = usize::try_from(at.origin.0).ok()?.checked_sub(1)?;
        let Origin { name, at: written } = self.origins.get(index)?;
        Some(if written.file == at.file {
            format!("`${name}`, line {}", written.line)
        } else {
            format!("`${name}`, {}", self.place(*written))
        })
    }
}
