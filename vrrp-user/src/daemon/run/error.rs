//! Errors of a start, and the exit code.

use std::io;

use thiserror::Error;

use crate::config::{Diagnostic, Severity};
use crate::daemon::host::places::PlaceError;
use crate::daemon::hot_restart::HotRestartError;
use crate::daemon::process::pid_files::PidFileError;
use crate::daemon::process::preflight::MissingCapabilities;
use crate::daemon::process::runtime_dir::ClaimError;
use crate::daemon::service::ServiceError;

/// Why the daemon did not start, or ended.
#[derive(Debug, Error)]
pub enum RunError {
    #[error("{}", lines(.0))]
    Config(Vec<Diagnostic>),
    #[error("{}", .0.join("\n"))]
    Features(Vec<String>),
    #[error("{}", .0.join("\n"))]
    Neighbours(Vec<String>),
    #[error(transparent)]
    Capabilities(#[from] MissingCapabilities),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    HotRestart(#[from] HotRestartError),
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    #[error("interface monitoring has failed: {0}")]
    Interfaces(#[source] io::Error),
}

impl RunError {
    /// What is wrong, one finding each.
    pub fn findings(&self) -> Vec<String> {
        match self {
            Self::Config(diagnostics) => diagnostics.iter().map(ToString::to_string).collect(),
            Self::Features(lines) | Self::Neighbours(lines) => lines.clone(),
            other => vec![other.to_string()],
        }
    }

    /// 3 for a configuration that cannot be read, 4 for one with errors or for another build, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(diagnostics) => config_exit_code(diagnostics),
            Self::Features(_) => ERRORS,
            _ => 1,
        }
    }
}

/// Exit code of a configuration that can be read, and has errors.
pub(super) const ERRORS: u8 = 4;

/// The exit code for a refused configuration.
pub fn config_exit_code(diagnostics: &[Diagnostic]) -> u8 {
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Unreadable) { 3 } else { ERRORS }
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
