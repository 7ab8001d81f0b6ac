//! Signed adverts in the running daemon.
//!
//! ```text
//! engine    Gate: admits and signs, by protocol::auth ─► Ledger (atomics)
//!                                                          │ every 200 ms
//! ordinary  Store: a file in the runtime directory  ◄──────┘, and back into the ledgers when the daemon starts
//! ```
//! So the marks against replayed adverts outlive a reload, a restart and a crash, and the engine touches no file. What
//! was heard between the last writing and a crash is made up for when the file is read.

mod gate;
mod ledger;
mod store;

pub use gate::Gate;
pub use ledger::{Ledger, Note};
pub use store::Store;
