//! Webhooks: changes posted as JSON.
//!
//! Enters: subject and new state. Leaves: requests, one at a time for each webhook, and their outcome in the
//! [`History`]. Absent: waiting. Changes wait in a bounded `Outbox`, so that neither hooks nor FIFOs nor the engine
//! notice a server that is unreachable or hangs.
//!
//! One change of each instance or group waits: the next one takes its place and counts it. A refused change is tried
//! again after growing pauses; those behind it wait. A webhook that a reload has removed, and every one at the end of
//! the daemon, tries its waiting changes once more and ends.

pub mod post;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use self::post::{PostError, Webhook};
use crate::config::{Config, WebhookPayload, WebhookSettings};
use crate::daemon::events::EventKind;
use crate::daemon::history::{History, Posts};
use crate::daemon::probe::attempt::Resolver;
use crate::daemon::tasks::Tasks;

/// Most changes that may wait for one webhook: one for every instance of a large configuration.
const WAITING: usize = 4096;

/// Before the second attempt; each further pause is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// All webhooks of a configuration.
#[derive(Debug)]
pub struct Webhooks {
    history: Arc<History>,
    names: Resolver,
    posts: Vec<Post>,
    /// Couriers, including those of earlier configurations that still have changes to post.
    couriers: Tasks,
}

/// The outbox of a courier.
#[derive(Debug)]
struct Post {
    settings: WebhookSettings,
    /// The name that status shows.
    name: Arc<str>,
    outbox: Arc<Outbox>,
}

impl Webhooks {
    /// Posts nothing before it is [settled](Self::settle). Must be called within a runtime.
    pub fn new(history: &Arc<History>) -> Self {
        let (posts, couriers) = (Vec::new(), Tasks::default());
        Self { history: Arc::clone(history), names: Resolver::new(), posts, couriers }
    }

    /// Changes over to another configuration. Must be called within a runtime.
    pub fn settle(&mut self, config: &Config) {
        let instances = config.instances.iter().map(|instance| &instance.notify);
        let groups = config.groups.iter().map(|group| &group.notify);
        let mut wanted: Vec<&WebhookSettings> = Vec::new();
        for webhook in instances.chain(groups).flat_map(|notify| &notify.webhooks) {
            if !wanted.contains(&webhook) {
                wanted.push(webhook);
            }
        }
        let gone = self.posts.extract_if(.., |post| !wanted.contains(&&post.settings));
        gone.for_each(|post| {
            post.outbox.lock().gone = true;
            post.outbox.close();
        });
        for settings in wanted {
            if self.posts.iter().all(|post| post.settings != *settings) {
                self.open(settings);
            }
        }
        let names = self.posts.iter().map(|post| &post.name);
        self.history.keep_webhooks(&names.cloned().collect::<Vec<_>>());
    }

    fn open(&mut self, settings: &WebhookSettings) {
        let name = self.free_name(&settings.url.to_string());
        let outbox = Arc::new(Outbox::default());
        let courier = Courier {
            webhook: Webhook::new(settings, &self.names),
            settings: settings.clone(),
            name: Arc::clone(&name),
            outbox: Arc::clone(&outbox),
            history: Arc::clone(&self.history),
            failures: 0,
        };
        self.couriers.spawn(courier.run());
        self.posts.push(Post { settings: settings.clone(), name, outbox });
    }

    /// Numbers URLs that look the same without their secrets.
    fn free_name(&self, shown: &str) -> Arc<str> {
        let mut name = shown.to_owned();
        let mut number = 1_u32;
        while self.posts.iter().any(|post| *post.name == *name) {
            number = number.saturating_add(1);
            name = format!("{shown} ({number})");
        }
        name.into()
    }

    /// Never waits.
    pub fn report(&self, webhooks: &[WebhookSettings], reported: &WebhookPayload) {
        for post in self.posts.iter().filter(|post| webhooks.contains(&post.settings)) {
            let put = post.outbox.put(reported.clone());
            self.history.webhook(&post.name, |posts| match put {
                Put::Added => posts.waiting += 1,
                Put::Replaced => posts.superseded += 1,
                Put::Lost => posts.lost += 1,
            });
            if put == Put::Lost {
                warn!(
                    webhook = &*post.name,
                    name = &*reported.name,
                    "change dropped: {WAITING} others wait already"
                );
            }
        }
    }

    /// Waits until every change was tried; unsent ones are lost when this is dropped, with a warning.
    pub async fn stop(mut self) {
        self.posts.iter().for_each(|post| post.outbox.close());
        self.couriers.finish().await;
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        let waiting: u64 = self.history.read().webhooks.values().map(|posts| posts.waiting).sum();
        if waiting > 0 {
            warn!(changes = waiting, "changes for webhooks are lost: the daemon is stopping");
        }
    }
}

/// Changes that wait for one webhook.
#[derive(Debug, Default)]
struct Outbox {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    /// No more changes will come.
    closed: bool,
    /// The configuration no longer has the webhook.
    gone: bool,
}

#[derive(Clone, Debug)]
struct Message {
    reported: WebhookPayload,
    /// Failed attempts.
    attempts: u32,
}

/// Outcome of putting a change into an outbox.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Put {
    Added,
    /// In place of an earlier change of the same subject.
    Replaced,
    Lost,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, reported: WebhookPayload) -> Put {
        let mut waiting = self.lock();
        let is_full = waiting.messages.len() >= WAITING;
        let put = match waiting.of_same(&reported) {
            Some(earlier) => {
                let skipped = earlier.reported.skipped.saturating_add(1);
                *earlier = Message { reported: WebhookPayload { skipped, ..reported }, attempts: 0 };
                Put::Replaced
            }
            None if is_full => Put::Lost,
            None => {
                waiting.messages.push_back(Message { reported, attempts: 0 });
                Put::Added
            }
        };
        drop(waiting);
        self.news.notify_one();
        put
    }

    /// Puts a change back before all others, unless its subject has changed again meanwhile.
    fn put_back(&self, message: Message) -> Put {
        let mut waiting = self.lock();
        if let Some(later) = waiting.of_same(&message.reported) {
            later.reported.skipped =
                later.reported.skipped.saturating_add(message.reported.skipped).saturating_add(1);
            return Put::Replaced;
        }
        waiting.messages.push_front(message);
        Put::Added
    }

    /// `None` once the outbox is closed and empty.
    async fn take(&self) -> Option<Message> {
        loop {
            {
                let mut waiting = self.lock();
                if let Some(message) = waiting.messages.pop_front() {
                    return Some(message);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.news.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }

    async fn closed(&self) {
        while !self.is_closed() {
            self.news.notified().await;
        }
    }
}

impl Waiting {
    fn of_same(&mut self, reported: &WebhookPayload) -> Option<&mut Message> {
        self.messages.iter_mut().find(|it| reported.replaces(&it.reported))
    }
}

/// Posts changes to one webhook.
#[derive(Debug)]
struct Courier {
    webhook: Webhook,
    settings: WebhookSettings,
    name: Arc<str>,
    outbox: Arc<Outbox>,
    history: Arc<History>,
    /// Failures in a row, over all changes.
    failures: u32,
}

impl Courier {
    async fn run(mut self) {
        while let Some(message) = self.outbox.take().await {
            let json = self.settings.template.fill(&message.reported);
            match self.webhook.post(json).await {
                Ok(status) => self.taken(&message, status),
                Err(refusal) => {
                    if let Some(pause) = self.refused(message, &refusal) {
                        // Over at once if the outbox is closed.
                        let _ = timeout(pause, self.outbox.closed()).await;
                    }
                }
            }
        }
    }

    fn taken(&mut self, message: &Message, status: u16) {
        self.failures = 0;
        self.note(|posts| {
            posts.waiting = posts.waiting.saturating_sub(1);
            posts.sent += 1;
            posts.is_failing = false;
            posts.status = Some(status);
        });
        let WebhookPayload { name, state, .. } = &message.reported;
        info!(webhook = &*self.name, name = &**name, state, status, "change posted");
    }

    /// How long to wait before the next attempt, for this change or the one that has taken its place.
    fn refused(&mut self, message: Message, refusal: &PostError) -> Option<Duration> {
        let PostError { why, status, is_final, after } = refusal;
        let (name, state) = (Arc::clone(&message.reported.name), message.reported.state);
        let pause = self.pause().max(after.unwrap_or_default().min(PAUSE_MAX));
        self.failures = self.failures.saturating_add(1);
        let ends = *is_final || message.attempts >= self.settings.retries || self.outbox.is_closed();
        let put = (!ends).then(|| {
            let attempts = message.attempts.saturating_add(1);
            self.outbox.put_back(Message { attempts, ..message })
        });
        self.note(|posts| {
            posts.refusals += 1;
            posts.status = *status;
            posts.is_failing = true;
            posts.failure = Some((SystemTime::now(), why.to_string()));
            if put != Some(Put::Added) {
                posts.waiting = posts.waiting.saturating_sub(1);
            }
            match put {
                Some(Put::Replaced) => posts.superseded += 1,
                Some(_) => {}
                None => posts.failed += 1,
            }
        });
        if ends {
            warn!(webhook = &*self.name, name = &*name, state, %why, "change not posted; giving up");
            self.history.events.push(EventKind::WebhookFailed {
                webhook: self.name.to_string(),
                name: name.to_string(),
                state: state.to_owned(),
                why: why.to_string(),
            });
        } else {
            debug!(webhook = &*self.name, name = &*name, state, %why, again_in = ?pause, "change not posted yet");
        }
        (!ends).then_some(pause)
    }

    /// Between half and all of the pause for this many failures, so that many nodes do not come back together.
    fn pause(&self) -> Duration {
        let whole = PAUSE.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(PAUSE_MAX);
        let share = u32::try_from(RandomState::new().hash_one(self.failures) % 1024).unwrap_or_default();
        whole / 2 + (whole / 2) * share / 1024
    }

    /// Not for a removed webhook: its successor may have the same name.
    fn note(&self, change: impl FnOnce(&mut Posts)) {
        if !self.outbox.lock().gone {
            self.history.webhook(&self.name, change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(name: &str, state: &'static str) -> WebhookPayload {
        WebhookPayload { kind: "instance", name: name.into(), state, ..WebhookPayload::default() }
    }

    async fn taken(outbox: &Outbox) -> (String, &'static str, u64) {
        let message = outbox.take().await.unwrap();
        (message.reported.name.to_string(), message.reported.state, message.reported.skipped)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_latest_of_each_waits_in_the_place_of_its_first() {
        let outbox = Outbox::default();
        for (name, state) in [("a", "BACKUP"), ("b", "BACKUP"), ("a", "MASTER"), ("a", "FAULT")] {
            outbox.put(reported(name, state));
        }
        assert_eq!(taken(&outbox).await, ("a".to_owned(), "FAULT", 2));
        assert_eq!(taken(&outbox).await, ("b".to_owned(), "BACKUP", 0));
        outbox.close();
        assert!(outbox.take().await.is_none());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_tried_again_gives_way_to_a_later_change() {
        let outbox = Outbox::default();
        outbox.put(reported("a", "BACKUP"));
        outbox.put(reported("b", "BACKUP"));
        let first = outbox.take().await.unwrap();
        assert_eq!(outbox.put_back(first), Put::Added);
        let first = outbox.take().await.unwrap();
        assert_eq!(first.reported.state, "BACKUP");
        outbox.put(reported("a", "MASTER"));
        assert_eq!(outbox.put_back(first), Put::Replaced);
        assert_eq!(taken(&outbox).await, ("b".to_owned(), "BACKUP", 0));
        assert_eq!(taken(&outbox).await, ("a".to_owned(), "MASTER", 1));
    }

    #[test]
    fn no_more_than_a_bounded_number_waits() {
        let outbox = Outbox::default();
        for number in 0..WAITING {
            assert_eq!(outbox.put(reported(&number.to_string(), "MASTER")), Put::Added);
        }
        assert_eq!(outbox.put(reported("one more", "MASTER")), Put::Lost);
        assert_eq!(outbox.put(reported("7", "BACKUP")), Put::Replaced);
    }
}
