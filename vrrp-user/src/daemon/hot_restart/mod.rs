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
//! "go"                                     ─►        its engine does nothing any more but send adverts
//!                                          ◄─        {"snapshot":{…}} state of all instances
//! "leases"                                 ─►
//!                                          ◄─        "leases"         with the memory that its engine writes them to
//! its engine reads them, resumes, and sends
//! "adopted"                                ─►        ends
//!                                          ◄─        "yours"          with the lock of the directory
//! ```
//! The new daemon needs ordinary threads to resume, which may wait for processors and disks; adverts do not.
//!
//! Until "adopted" has come, the old daemon goes on by itself if the new one fails, closes the connection or takes
//! longer than `PATIENCE`. A new one that does not receive "yours" falls silent and leaves. So one of the two decides
//! at any time; both do only if the old one's time runs out while the new one resumes, until the new one finds the
//! connection closed.

mod arrive;
pub(crate) mod bridge;
mod error;
mod hooks;
mod leases;
mod leave;
mod message;
mod snapshot;

pub use arrive::{Predecessor, await_end, meet};
pub use error::HotRestartError;
pub use leases::Leases;
pub(super) use leave::serve_successor;
pub use message::{FORMAT, InstanceIdentity, Offer, SnapshotMessage};
pub use snapshot::RouterSnapshot;
