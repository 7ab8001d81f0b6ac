//! Reasons for which a poll fails, for display.

use std::error::Error;
use std::fmt;

use crate::config::words;
use crate::driver::output::escaped;
use crate::driver::shortage;

/// Why a service is not well.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    text: Box<str>,
    is_shortage: bool,
}

/// Longest text of a failure, in bytes; a service must not fill the status output with its answers.
pub(super) const LONGEST: usize = 200;

impl Failure {
    pub fn new(text: impl fmt::Display) -> Self {
        let mut text = escaped(&words(text));
        if text.len() > LONGEST {
            text.truncate(text.floor_char_boundary(LONGEST));
            text.push('…');
        }
        Self { text: text.into(), is_shortage: false }
    }

    /// The failed operation and the innermost cause.
    pub(in crate::daemon) fn of(what: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        let is_shortage = shortage::has_shortage(error);
        Self { is_shortage, ..Self::new(format_args!("{what}: {}", cause(error))) }
    }

    /// If no descriptor can be opened, there is no result: not every library reports the reason for its failure.
    pub(in crate::daemon) fn or_shortage(self) -> Self {
        match shortage::of_descriptors() {
            Some(error) if !self.is_shortage => Self::of("no descriptor", &error),
            _ => self,
        }
    }

    /// No result, for lack of descriptors or memory.
    pub fn is_shortage(&self) -> bool {
        self.is_shortage
    }
}

impl Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The innermost cause of an error, the useful part for a reader; libraries wrap it in their own words.
pub(in crate::daemon) fn cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
