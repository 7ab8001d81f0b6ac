//! Whether what this process has set on the host is its own to take away.
//!
//! A daemon that another one has taken over leaves everything as it is, and so does one that was about to take over and
//! could not: interfaces, sysctls, rules, files and pins belong to the other one. Destructors ask here.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static IS_OURS: AtomicBool = AtomicBool::new(true);

pub fn is_ours() -> bool {
    IS_OURS.load(Relaxed)
}

/// From now on another process answers for it, or this one does again.
pub fn set_ours(ours: bool) {
    IS_OURS.store(ours, Relaxed);
}
