//! One at a time: an order that is carried out, or a hot restart.
//!
//! A new daemon takes orders from the file as they are, and knows of none that has been carried out by half.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

/// Longest wait of a hot restart for an order: long enough to end what only waits for a result.
const LIMIT: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub struct Gate {
    passes: Mutex<()>,
    is_awaited: AtomicBool,
}

impl Gate {
    /// For an order; `None` in a hot restart.
    pub(super) fn enter(&self) -> Option<MutexGuard<'_, ()>> {
        self.passes.try_lock().ok()
    }

    /// For a hot restart, which ends what only waits for a result; `None` while an order cannot end.
    pub async fn close(&self) -> Option<MutexGuard<'_, ()>> {
        self.is_awaited.store(true, Relaxed);
        let closed = timeout(LIMIT, self.passes.lock()).await.ok();
        self.is_awaited.store(false, Relaxed);
        closed
    }

    /// Whether a hot restart waits for the order that is carried out.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited.load(Relaxed)
    }
}
