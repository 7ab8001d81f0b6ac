//! One at a time: an order that is carried out, or a hot restart.
//!
//! A new daemon takes orders from the file as they are, and knows of none that has been carried out by half.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

/// Longest wait of a hot restart for an order to end, or to yield.
const LIMIT: Duration = Duration::from_millis(200);

/// Longest further wait for an order that has yielded: it writes its end to a disk.
const END_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub struct OrderLock {
    passes: Mutex<()>,
    is_awaited: AtomicBool,
    /// The order that a hot restart waits for ends for it.
    has_yielded: AtomicBool,
}

impl OrderLock {
    /// For an order; `None` in a hot restart.
    pub(super) fn enter(&self) -> Option<MutexGuard<'_, ()>> {
        self.passes.try_lock().ok()
    }

    /// For a hot restart, which ends what only waits for a result; `None` while an order cannot end.
    pub async fn close(&self) -> Option<MutexGuard<'_, ()>> {
        self.has_yielded.store(false, Relaxed);
        self.is_awaited.store(true, Relaxed);
        let mut lock = pin!(self.passes.lock());
        let mut closed = timeout(LIMIT, lock.as_mut()).await.ok();
        if closed.is_none() && self.has_yielded.load(Relaxed) {
            closed = timeout(END_LIMIT, lock).await.ok();
        }
        self.is_awaited.store(false, Relaxed);
        closed
    }

    /// Whether a hot restart waits for the order that is carried out.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited.load(Relaxed)
    }

    /// As [`Self::is_awaited`], for an order that takes time to end. After true it must end, and the hot restart waits
    /// longer.
    pub(super) fn yields(&self) -> bool {
        let is_awaited = self.is_awaited();
        if is_awaited {
            self.has_yielded.store(true, Relaxed);
        }
        is_awaited
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_hot_restart_waits_longer_for_an_order_that_has_yielded() {
        for yields in [false, true] {
            let order_lock = OrderLock::default();
            let order = async {
                let entered = order_lock.enter();
                sleep(LIMIT / 4).await;
                assert!(!yields || order_lock.yields());
                sleep(LIMIT * 2).await;
                drop(entered);
            };
            let ((), closed) = tokio::join!(order, order_lock.close());
            assert_eq!(closed.is_some(), yields);
            assert!(!order_lock.yields(), "nothing waits any more");
            // The next hot restart starts from the beginning.
            drop(closed);
            let _entered = order_lock.enter();
            assert!(order_lock.close().await.is_none());
        }
    }
}
