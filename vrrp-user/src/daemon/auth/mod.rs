//! Signed adverts in the running daemon.
//!
//! ```text
//! engine    Gate: admits and signs, by protocol::auth ─► Ledger (atomics)
//!                                                          │ every 200 ms
//! ordinary  MarkStore: a file in the runtime directory  ◄──────┘, and back into the ledgers when the daemon starts
//! ```
//! So the marks against replayed adverts survive a reload, a restart and a crash, and the engine touches no file. When
//! the file is read, the adverts between the last write and a crash are allowed for.

mod gate;
mod ledger;
mod store;

pub use gate::Gate;
pub use ledger::{Ledger, Note};
pub use store::MarkStore;
