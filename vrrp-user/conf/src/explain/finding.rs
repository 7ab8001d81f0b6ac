//! Values with their origins, and findings.

use std::sync::Arc;

use serde::Serialize;

use crate::diagnostic::{Diagnostic, Severity};
use crate::outline::Location;

/// One effective value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Value {
    pub keyword: String,
    pub value: String,
    pub from: Origin,
    /// A finding refers to its line.
    pub noted: bool,
}

/// Origin of a value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", content = "place", rename_all = "snake_case")]
pub enum Origin {
    /// Written in the block itself.
    Written(Location),
    /// Written in `global_defs`.
    Globals(Location),
    /// Written in the `vrrp_script`, or another tracked block.
    Check(Location),
    /// Written in the `vrrp_sync_group` of the instance.
    Group(Location),
    Default,
    /// Follows from another keyword of the same block.
    Follows(&'static str),
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingSeverity {
    /// Not reported by `vrrpx check`: it may be intended.
    Note,
    Warning,
    /// The line is ignored, as keepalived does.
    LeftOut,
    Error,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub severity: FindingSeverity,
    pub place: Option<Location>,
    pub message: String,
    pub help: Option<String>,
}

impl From<&Diagnostic> for Finding {
    fn from(diagnostic: &Diagnostic) -> Self {
        let severity = match diagnostic.severity {
            Severity::Warning => FindingSeverity::Warning,
            Severity::LeftOut => FindingSeverity::LeftOut,
            Severity::Error | Severity::Unreadable => FindingSeverity::Error,
        };
        let Diagnostic { message, help, .. } = diagnostic;
        let place = Some(Location::of_finding(diagnostic));
        Self { severity, place, message: message.clone(), help: help.clone() }
    }
}

/// For serde.
pub(super) fn arc<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}
