//! Requests to reload, and their answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::config::Change;

/// A request to reload.
#[derive(Debug)]
pub struct Request {
    pub ask: ReloadKind,
    pub answer: oneshot::Sender<Answer>,
}

/// What a client wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReloadKind {
    /// With a time: go back unless it is kept by then.
    Apply { confirm: Option<Duration> },
    /// Say what would change.
    Try,
    /// Keep the reload that awaits it.
    Keep,
}

/// Findings, one each, if the daemon goes on as it was.
pub type Answer = Result<AppliedReload, Vec<String>>;

/// What a reload has changed, or would change.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct AppliedReload {
    pub changes: Vec<Change>,
    /// One finding each.
    pub warnings: Vec<String>,
    /// Handovers that the reload would cause, as far as is known; of a dry run only.
    #[serde(default)]
    pub handovers: Vec<String>,
}
