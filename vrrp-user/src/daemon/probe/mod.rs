//! Runners of checks.
//!
//! Enters: settings of a check. Leaves: a [`check::ProbeResult`] after each poll. Absent: priorities and states, which
//! the router decides.

pub mod attempt;
pub mod check;
mod hold;
mod rise_fall;
pub mod watch;

pub use hold::{Cause, Held};
