//! The BPF program from the daemon's side: loading, attaching, its maps and its ring.
//!
//! Enters: interfaces and instance keys. Leaves: [`Maps`](super::maps::Maps), a [`Ring`] of events, and on which
//! [`Rung`](super::Rung) each interface stands. Absent: decisions, and the adverts of interfaces without a program.

pub mod attach;
pub mod capabilities;
pub mod hook;
mod occupant;
pub mod pin;
mod pod;
pub mod program;
mod report;
pub mod ring;
mod unmapped;

pub use attach::{AttachError, Attached, Mode, Refusal};
pub use capabilities::Capability;
pub use hook::Hook;
pub use pin::{PinError, Pins};
pub use program::{Entry, LoadError, Program};
pub use ring::Ring;
