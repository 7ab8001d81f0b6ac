//! Ownership of what this process has set on the host.
//!
//! After a hot restart the old daemon undoes nothing, nor does a new one that failed to replace it: interfaces,
//! sysctls, rules, files and pins belong to the other process. Destructors check this.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static IS_OURS: AtomicBool = AtomicBool::new(true);

pub fn is_ours() -> bool {
    IS_OURS.load(Relaxed)
}

/// Called when another process becomes responsible, or this one again.
pub fn set_ours(ours: bool) {
    IS_OURS.store(ours, Relaxed);
}
