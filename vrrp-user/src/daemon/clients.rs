//! Clients of a listener, bounded in number.
//!
//! Enters: connections. Leaves: a task for each. If no place is left, the client that has been idle for longest is
//! disconnected, so that idle clients keep no other out. Absent: the conversation, and its time limits.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::{AbortHandle, yield_now};
use tokio::time::sleep;
use tracing::warn;
use vrrp_ebpf::time::Timestamp;

use crate::driver::{clock, shortage};

/// From a failed accept to the next try.
const PAUSE: Duration = Duration::from_millis(100);

/// Shortest time between two lines about failed accepts.
const QUIET: Duration = Duration::from_secs(60);

/// Whether a client is being served, and since when it has been served or idle.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Shown>);

#[derive(Debug)]
struct Shown {
    busy: AtomicBool,
    since: AtomicU64,
}

impl Activity {
    fn idle_from_now() -> Self {
        Self(Arc::new(Shown { busy: AtomicBool::new(false), since: AtomicU64::new(clock::now().as_nanos()) }))
    }

    /// Its request has begun.
    pub(super) fn begin(&self) {
        self.note(true);
    }

    /// Its request is answered.
    pub(super) fn end(&self) {
        self.note(false);
    }

    fn note(&self, busy: bool) {
        self.0.busy.store(busy, Relaxed);
        self.0.since.store(clock::now().as_nanos(), Relaxed);
    }

    fn rank(&self) -> (bool, u64) {
        (self.0.busy.load(Relaxed), self.0.since.load(Relaxed))
    }
}

/// Serves each client in a task, `most` at a time. `what` names the listener in the log.
pub(super) async fn serve<S, F>(
    what: &str,
    most: usize,
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>>,
    mut converse: impl FnMut(S, Activity) -> F,
) -> Infallible
where
    S: AsFd,
    F: Future<Output = ()> + Send + 'static,
{
    let mut clients = Clients::default();
    let mut reported: Option<Timestamp> = None;
    loop {
        match poll_fn(&mut accept).await {
            Ok(client) => {
                // One client always gets through, so that an operator can find the cause.
                let room = if shortage::is_kept_back(&client) { 1 } else { most };
                let gave_way = clients.make_room(room);
                let activity = Activity::idle_from_now();
                let task = tokio::spawn(converse(client, activity.clone()));
                clients.present.push((task.abort_handle(), activity));
                if gave_way {
                    // Lets their connections close before the next one is accepted.
                    yield_now().await;
                }
            }
            // The client has already gone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                let now = clock::now();
                if reported.is_none_or(|reported| now.since(reported) >= QUIET) {
                    reported = Some(now);
                    warn!(listener = what, %error, "cannot accept a client; disconnecting the one idle for longest");
                }
                let present = clients.count();
                clients.make_room(present);
                sleep(PAUSE).await;
            }
        }
    }
}

#[derive(Debug, Default)]
struct Clients {
    present: Vec<(AbortHandle, Activity)>,
}

impl Clients {
    fn count(&mut self) -> usize {
        self.present.retain(|(task, _)| !task.is_finished());
        self.present.len()
    }

    /// Disconnects clients until fewer than `most` are left, idle ones first. Returns whether any was.
    fn make_room(&mut self, most: usize) -> bool {
        let mut gave_way = false;
        while self.count() >= most.max(1) {
            let ranks =
                self.present.iter().enumerate().map(|(index, (_, activity))| (activity.rank(), index));
            let Some((_, index)) = ranks.min() else { break };
            let (task, _) = self.present.swap_remove(index);
            task.abort();
            gave_way = true;
        }
        gave_way
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn present(clients: &mut Clients) -> Activity {
        let activity = Activity::idle_from_now();
        let task = tokio::spawn(pending::<()>());
        clients.present.push((task.abort_handle(), activity.clone()));
        activity
    }

    fn left(clients: &Clients) -> Vec<(bool, u64)> {
        let mut left: Vec<_> = clients.present.iter().map(|(_, activity)| activity.rank()).collect();
        left.sort_unstable();
        left
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_client_that_is_idle_for_longest_gives_way() {
        let mut clients = Clients::default();
        let [first, second, third, fourth] = [(); 4].map(|()| present(&mut clients));
        first.begin();
        second.begin();
        second.end();
        // Third, then fourth, then second have been idle for longest; first is being served.
        for gone in [&third, &fourth, &second] {
            let before = clients.count();
            assert!(clients.make_room(before));
            yield_now().await;
            assert!(!left(&clients).contains(&gone.rank()), "{gone:?}");
            assert_eq!(clients.count(), before - 1);
        }
        assert!(clients.make_room(1), "where all are served, the one served for longest");
        assert!(!clients.make_room(1));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn clients_that_have_ended_take_no_place() {
        let mut clients = Clients::default();
        let [first, _] = [(); 2].map(|()| present(&mut clients));
        let task = tokio::spawn(async {});
        clients.present.push((task.abort_handle(), first));
        task.await.unwrap();
        assert_eq!(clients.count(), 2);
        assert!(!clients.make_room(3));
    }

    /// The kernel refuses every time; tries are a pause apart.
    #[tokio::test(flavor = "current_thread")]
    async fn refusals_do_not_spin() {
        let mut tries = 0;
        let accept = |_: &mut Context<'_>| {
            tries += 1;
            Poll::Ready(Err::<std::fs::File, _>(io::Error::from_raw_os_error(libc::EMFILE)))
        };
        let served = serve("test", 4, accept, |_, _| async {});
        let _ = tokio::time::timeout(Duration::from_secs(1), served).await;
        // Fewer on a machine that does not run for a moment.
        assert!((2..=11).contains(&tries), "{tries} tries in a second");
    }
}
