//! One document for all clients that wait for it.
//!
//! Enters: requests for documents. Leaves: each document that is wanted, made once for all that have asked before it
//! was made; so a crowd costs its thread as much as one client, and no client gets an old document. After each round
//! the thread is free for as long as it has taken, for the clients of other services.

use std::convert::Infallible;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::driver::clock;

/// Longest time between two rounds.
const REST_MAX: Duration = Duration::from_millis(100);

/// Longest time that a client waits for a document.
const LIMIT: Duration = Duration::from_secs(10);

/// Makes the document that each `K` names. Cheap to clone; all clones are the same.
#[derive(Debug)]
pub(super) struct DocumentServer<K>(Arc<Waiting<K>>);

#[derive(Debug)]
struct Waiting<K> {
    clients: Mutex<Vec<Client<K>>>,
    news: Notify,
}

type Client<K> = (K, oneshot::Sender<Arc<[u8]>>);

impl<K> Clone for DocumentServer<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for DocumentServer<K> {
    fn default() -> Self {
        Self(Arc::new(Waiting { clients: Mutex::default(), news: Notify::default() }))
    }
}

impl<K: Clone + PartialEq> DocumentServer<K> {
    /// A document that is made after this call; `None` if it cannot be made, also by a panic, or takes too long.
    pub(super) async fn get(&self, wanted: K) -> Option<Arc<[u8]>> {
        self.get_within(LIMIT, wanted).await
    }

    async fn get_within(&self, limit: Duration, wanted: K) -> Option<Arc<[u8]>> {
        let (answer, answered) = oneshot::channel();
        self.clients().push((wanted, answer));
        self.0.news.notify_one();
        timeout(limit, answered).await.ok()?.ok()
    }

    /// Makes what is wanted, until it is dropped.
    pub(super) async fn serve(&self, make: impl Fn(&K) -> Option<Vec<u8>>) -> Infallible {
        loop {
            self.0.news.notified().await;
            // Others whose requests are there ask first.
            yield_now().await;
            let began = clock::now();
            let mut clients = take(&mut *self.clients());
            while let Some(wanted) = clients.first().map(|(wanted, _)| wanted.clone()) {
                // The panic is in the log. The thread is essential, but this document is not.
                let made = catch_unwind(AssertUnwindSafe(|| make(&wanted)));
                let document = made.ok().flatten().map(Arc::<[u8]>::from);
                let (same, others) = clients.into_iter().partition::<Vec<_>, _>(|(it, _)| *it == wanted);
                for (_, client) in same {
                    // It may have gone.
                    let _ = document.as_ref().map(|document| client.send(Arc::clone(document)));
                }
                clients = others;
            }
            // They send it first.
            yield_now().await;
            sleep(clock::now().since(began).min(REST_MAX)).await;
        }
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Client<K>>> {
        self.0.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn clients_that_wait_share_what_is_made_after_they_have_asked() {
        let (documents, made) = (DocumentServer::default(), RefCell::new(Vec::new()));
        let make = |wanted: &usize| {
            made.borrow_mut().push(*wanted);
            (*wanted < 9).then(|| wanted.to_string().into_bytes())
        };
        let ask = async {
            for _ in 0..2 {
                let crowd = join_all((0..1000).map(|client| documents.get(client % 10))).await;
                for (client, document) in (0..1000).map(|client| client % 10).zip(crowd) {
                    let expected = (client < 9).then(|| client.to_string().into_bytes());
                    assert_eq!(document.as_deref(), expected.as_deref());
                }
            }
        };
        tokio::select! {
            () = ask => {}
            never = documents.serve(make) => match never {},
        }
        assert_eq!(made.into_inner(), (0..10).chain(0..10).collect::<Vec<_>>());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_document_whose_making_panics_leaves_the_others() {
        let documents = DocumentServer::default();
        let make = |wanted: &usize| {
            assert_ne!(*wanted, 1, "it panics");
            Some(wanted.to_string().into_bytes())
        };
        let ask = async {
            for _ in 0..2 {
                let documents = join_all((0..3).map(|client| documents.get(client))).await;
                let documents: Vec<_> = documents.iter().map(Option::as_deref).collect();
                assert_eq!(documents, [Some(&b"0"[..]), None, Some(b"2")]);
            }
        };
        tokio::select! {
            () = ask => {}
            never = documents.serve(make) => match never {},
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_client_does_not_wait_for_ever() {
        assert_eq!(DocumentServer::default().get_within(Duration::from_millis(10), 1).await, None);
    }
}
