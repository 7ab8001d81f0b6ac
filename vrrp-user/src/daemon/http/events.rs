//! The daemon's events as server-sent events (WHATWG HTML §9.2).
//!
//! Enters: `Last-Event-ID`, the number of the last known event; without it, all that are kept are sent. Leaves: one
//! message per event, with its number as id and the line of `vrrpx events --json` as data; lost ones as a message of
//! type `gap`. Absent: an end; a client that waits for more is a follower, of which there is a limited number.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::stream;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;

use super::answer::{Answer, json_error, messages};
use super::{FOLLOWERS_MAX, Served};
use crate::daemon::events::{Event, Gap};
use crate::daemon::history::History;

/// Events that are copied at a time.
const PAGE: usize = 64;

/// Between two signs of life without an event.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A sign of life: a comment without text.
const COMMENT: &str = ":\n\n";

pub(super) fn follow(served: &Served, headers: &HeaderMap) -> Answer {
    let history = Arc::clone(&served.begin().history);
    let seen = match headers.get("last-event-id").map(|it| it.to_str().ok().and_then(|it| it.parse().ok())) {
        Some(Some(seen)) => Some(seen),
        None => None,
        Some(None) => {
            return json_error(StatusCode::BAD_REQUEST, "Last-Event-ID is not the number of an event");
        }
    };
    let Ok(place) = Arc::clone(&served.followers).try_acquire_owned() else {
        let what = format!("{FOLLOWERS_MAX} clients follow already");
        return json_error(StatusCode::SERVICE_UNAVAILABLE, &what);
    };
    served.follows.store(true, Relaxed);
    let news = history.events.watch();
    let follower = Follower { history, news, seen, waiting: VecDeque::new(), _place: place };
    messages(stream::unfold(follower, |mut follower| async move {
        let message = match timeout(KEEP_ALIVE, follower.next()).await {
            Ok(message) => message?,
            Err(_) => COMMENT.to_owned(),
        };
        Some((message, follower))
    }))
}

struct Follower {
    history: Arc<History>,
    news: watch::Receiver<u64>,
    seen: Option<u64>,
    waiting: VecDeque<String>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// `None` if there will be no more. May be dropped and called again at any time.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            self.news.borrow_and_update();
            let page = self.history.events.after(self.seen, PAGE);
            self.waiting.extend(page.gap.as_ref().and_then(gap));
            self.waiting.extend(page.events.iter().filter_map(|it| event(it)));
            // With no event that is kept, a gap that was reported must not be found again.
            let before_next = page.gap.map(|it| it.until.saturating_sub(1));
            self.seen = page.events.last().map(|it| it.seq).or(before_next).or(self.seen);
            if self.waiting.is_empty() {
                self.news.changed().await.ok()?;
            }
        }
    }
}

/// `None` cannot be: an event is text and numbers.
fn event(event: &Event) -> Option<String> {
    Some(format!("id: {}\ndata: {}\n\n", event.seq, serde_json::to_string(event).ok()?))
}

fn gap(gap: &Gap) -> Option<String> {
    Some(format!("event: gap\ndata: {}\n\n", serde_json::to_string(gap).ok()?))
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_gap_is_reported_once_if_no_event_is_kept() {
        let history = Arc::new(History::default());
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let news = history.events.watch();
        let mut follower = Follower { history, news, seen: Some(5), waiting: VecDeque::new(), _place: place };
        assert!(follower.next().await.is_some());
        let further = timeout(Duration::from_millis(100), follower.next()).await;
        assert!(further.is_err(), "{:?}", follower.seen);
    }
}
