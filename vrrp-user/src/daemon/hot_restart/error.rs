//! Causes for which a hot restart fails.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Why the old daemon goes on undisturbed.
#[derive(Debug, Error)]
pub enum HotRestartError {
    #[error("{}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: the daemon there has ended, or another one has replaced it; try again", .0.display())]
    Gone(PathBuf),
    #[error("the running daemon has another configuration: {0}; reload it first")]
    Differs(String),
    #[error("the running daemon refuses to hand over: {0}")]
    Refused(String),
    #[error(
        "the clocks of the two daemons are {0:?} apart: they are in different time namespaces, and one of them cannot \
         read its offset; mount /proc there, or stop the running one and start this one"
    )]
    Clock(Duration),
    #[error("the running daemon has not ended within {0:?}")]
    Stuck(Duration),
}
