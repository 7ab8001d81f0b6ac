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
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_busy_reader_delays_no_task_of_this_thread() {
        let readers = Readers::start().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn_on(async { thread::sleep(Duration::from_secs(2)) }, readers.handle());
        let asleep = timeout(Duration::from_secs(1), sleep(Duration::from_millis(10)));
        assert!(asleep.await.is_ok());
        assert!(tasks.try_join_next().is_none(), "it is still busy");
    }
}
