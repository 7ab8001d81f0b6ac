//! Errors of a start, and the exit code.

use std::io;

use thiserror::Error;

use crate::daemon::hot_restart::HotRestartError;
use crate::daemon::load::LoadError;
use crate::daemon::process::pid_files::PidFileError;
use crate::daemon::process::preflight::MissingCapabilities;
use crate::daemon::process::runtime_dir::ClaimError;
use crate::daemon::service::ServiceError;

/// Why the daemon did not start, or ended.
#[derive(Debug, Error)]
pub enum RunError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("{}", .0.join("\n"))]
    Neighbours(Vec<String>),
    #[error(transparent)]
    Capabilities(#[from] MissingCapabilities),
    #[error(transparent)]
    Claim(#[from] ClaimError),
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
            Self::Load(error) => error.findings(),
            Self::Neighbours(lines) => lines.clone(),
            other => vec![other.to_string()],
        }
    }

    /// 3 for a configuration that cannot be read, 4 for one with errors or for another build, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Load(error) => error.exit_code(),
            _ => 1,
        }
    }
}
