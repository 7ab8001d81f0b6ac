//! One status for all readers that wait for one.
//!
//! Enters: requests of the socket for readers. Leaves: the line of the answer, the same for all that have asked before
//! it was made; so a crowd costs the thread of readers as much as a reader alone, and no reader sees an old status.
//! After each one the thread is free of them for as long as they have taken, for HTTP.

use std::convert::Infallible;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::{Response, encoded};
use crate::daemon::status::SharedContext;
use crate::driver::clock;

/// Longest time between two statuses.
const REST_MAX: Duration = Duration::from_millis(100);

/// Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    readers: Mutex<Vec<oneshot::Sender<Arc<[u8]>>>>,
    news: Notify,
}

impl Shelf {
    /// The line of a status that is made after this call; `None` if the daemon ends.
    pub(super) async fn status(&self) -> Option<Arc<[u8]>> {
        let (answer, answered) = oneshot::channel();
        self.readers().push(answer);
        self.0.news.notify_one();
        answered.await.ok()
    }

    pub(super) async fn serve(&self, context: &SharedContext) -> Infallible {
        loop {
            self.0.news.notified().await;
            // Others whose requests are there ask first.
            yield_now().await;
            let began = clock::now();
            let readers = take(&mut *self.readers());
            let response = Response::Status(Box::new(context.now().status()));
            // Cannot fail: no map in it has keys that are no text.
            let Ok(text) = encoded(&response).map(Arc::<[u8]>::from) else { continue };
            for reader in readers {
                // It may have gone.
                let _ = reader.send(Arc::clone(&text));
            }
            // They send it first.
            yield_now().await;
            sleep(clock::now().since(began).min(REST_MAX)).await;
        }
    }

    fn readers(&self) -> MutexGuard<'_, Vec<oneshot::Sender<Arc<[u8]>>>> {
        self.0.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
