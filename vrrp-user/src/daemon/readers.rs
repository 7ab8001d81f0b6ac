//! Thread for clients that only read: those of the status socket and of HTTP.
//!
//! Enters: their listeners' tasks. Leaves: a runtime of its own that works on them. A crowd of readers, or a scrape of
//! many instances, delays no order, check or hook, which are the main thread's. Absent: anything that changes
//! something.

use std::convert::Infallible;
use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::essential::Essential;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Readers {
    handle: Handle,
    _lives: oneshot::Sender<()>,
}

impl Readers {
    /// # Errors
    /// The thread or its descriptors cannot be made.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (lives, ends) = oneshot::channel();
        thread::Builder::new().name("vrrpx-readers".to_owned()).spawn(move || {
            let essential = Essential::new("the thread of readers");
            // Closed without a word at the end.
            let _ = runtime.block_on(ends);
            essential.end::<Infallible>(&Ok(()));
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _lives: lives })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_busy_reader_delays_no_task_of_this_thread() {
        let readers = Readers::start().unwrap();
        let mut tasks = JoinSet::new();
        let (begun, has_begun) = oneshot::channel();
        let (end, held) = std::sync::mpsc::channel::<()>();
        let busy = async move {
            let _ = begun.send(());
            let _ = held.recv_timeout(Duration::from_secs(10));
        };
        tasks.spawn_on(busy, readers.handle());
        has_begun.await.unwrap();
        assert!(tasks.try_join_next().is_none(), "it is still busy");
        drop(end);
    }
}
