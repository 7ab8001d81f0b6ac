//! Runners of checks.
//!
//! Enters: settings of a check. Leaves: a [`check::Round`] after each look. Absent: priorities and states, which are
//! the router's affair.

pub mod attempt;
mod bench;
pub mod check;
mod hold;
pub mod watch;

pub use hold::{Cause, Held};
