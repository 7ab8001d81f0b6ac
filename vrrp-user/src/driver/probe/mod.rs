//! Runners of checks.
//!
//! Enters: settings of a check. Leaves: a [`script::Round`] after each run. Absent: priorities and states, which are
//! the router's affair.

pub mod attempt;
pub mod script;
pub mod watch;
