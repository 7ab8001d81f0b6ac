//! Configuration as a reader returns it.

use std::sync::Arc;

use super::copy;
use super::diagnostic::Diagnostic;
use super::model::Config;
use super::outline::Outline;
use super::tolerance::Tolerance;

/// A configuration that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub config: Config,
    /// Warnings, and lines that are left out.
    pub diagnostics: Vec<Diagnostic>,
    /// Lines that a later reading leaves out.
    pub tolerance: Tolerance,
    pub(super) file: Arc<str>,
    pub(super) outline: Outline,
    /// The reader makes copies.
    pub(super) copies: bool,
}

impl Loaded {
    /// A copy with everything that was included, for [`restore`](crate::Reader::restore); `None` unless the reader
    /// makes copies.
    pub fn copy(&self) -> Option<String> {
        self.copies.then(|| copy::write(&self.outline)).flatten()
    }
}
