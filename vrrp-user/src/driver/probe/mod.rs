//! Runners of checks.
//!
//! Enters: settings of a check. Leaves: a [`check::Round`] after each poll. Absent: priorities and states, which the
//! router decides.

pub mod attempt;
mod bench;
pub mod check;
mod hold;
pub mod watch;

pub use hold::{Cause, Held};
