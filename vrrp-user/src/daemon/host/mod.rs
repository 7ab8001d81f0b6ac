//! State of the host other than the virtual addresses: interfaces, programs, rules, kernel settings.
//!
//! [`interfaces`] follows the host's links and addresses, and drives the others.

pub mod attach;
pub mod dead;
pub mod fence;
pub mod firewall;
mod guard_plan;
pub mod interfaces;
pub(super) mod leftovers;
mod mending;
pub mod places;
pub mod reception;
pub mod secondaries;
pub mod statics;
pub(crate) mod sysctls;
pub mod vmacs;
