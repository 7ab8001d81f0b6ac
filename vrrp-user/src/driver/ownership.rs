//! Ownership of what this process has set on the host.
//!
//! After a hot restart the old daemon undoes nothing, nor does a new one that failed to replace it: interfaces,
//! sysctls, rules, files and pins belong to the other process. Destructors check this.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static IS_OURS: AtomicBool = AtomicBool::new(true);
static IS_LEAVING: AtomicBool = AtomicBool::new(false);

pub fn is_ours() -> bool {
    IS_OURS.load(Relaxed)
}

/// Whether the state has gone to another process, which is about to replace this one: changes would be lost.
pub fn is_leaving() -> bool {
    IS_LEAVING.load(Relaxed)
}

/// Called when the state goes to another process, or that one has not replaced this one.
pub fn set_leaving(leaving: bool) {
    IS_LEAVING.store(leaving, Relaxed);
}

/// Called when another process becomes responsible, or this one again.
pub fn set_ours(ours: bool) {
    IS_OURS.store(ours, Relaxed);
}
