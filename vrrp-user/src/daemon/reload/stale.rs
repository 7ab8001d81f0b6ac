//! Configuration in use that is not that of the file.

use std::time::SystemTime;

/// Why the configuration in use is not that of the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StaleConfiguration {
    pub since: SystemTime,
    pub cause: Cause,
    /// One finding each.
    pub findings: Vec<String>,
}

/// What made the configuration stale.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// A reload was refused.
    Refused,
    /// A reload was not confirmed in time.
    NotKept,
    /// The file was refused at the start; the last good one is in use.
    AtStart,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotKept => "not_kept",
            Self::AtStart => "refused_at_start",
        }
    }
}
