//! Hot restart: one daemon takes the place of another, and no other host on the LAN notices.
//!
//! Enters: a runtime directory in which a daemon runs already. Leaves: the new daemon in the same states and epochs,
//! with the same deadlines, and the lock of the directory; the old one gone, with everything on the host as it was.
//! Absent: maps and programs. Each daemon has its own, attached beside the other's.
//!
//! ```text
//! new                                                old
//! parses, loads, attaches, opens sockets             works
//! {"command":"hot_restart"}                ─►
//!                                          ◄─        {"offer":{…}}    format, instances
//! "go"                                     ─►        its engine falls silent
//!                                          ◄─        {"snapshot":{…}} state of all instances
//! its engine resumes
//! "adopted"                                ─►        ends
//!                                          ◄─        "yours"          with the lock of the directory
//! ```
//! Until "adopted" has come, the old daemon goes on by itself if the new one fails, closes the connection or takes
//! longer than `PATIENCE`. A new one that does not receive "yours" falls silent and leaves. So one of the two works
//! at any time; both do only if the old one's time runs out while the new one resumes, until the new one finds the
//! connection closed.

mod arrive;
pub(crate) mod bridge;
mod hooks;
mod leave;
mod message;
mod snapshot;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

pub use arrive::{Predecessor, await_end, meet};
pub(super) use leave::serve_successor;
pub use message::{FORMAT, InstanceIdentity, Offer, SnapshotMessage};
pub use snapshot::RouterSnapshot;

/// How long the old daemon is silent at most before it goes on by itself.
const PATIENCE: Duration = Duration::from_secs(1);

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
