//! Numbered events, for followers.
//!
//! Enters: events, from the ordinary threads. Leaves: the same by their numbers, as long as they are kept, and a
//! wake-up for each follower. Absent: waiting; no event waits for a reader. The latest [`KEPT`] are in memory; older
//! ones are gone, which a reader sees as a gap. Those of earlier runs are read from [`mod@file`].
//!
//! Numbers grow by one and begin with the time of the start in microseconds, so that they grow over restarts as well
//! and no number of an earlier run is valid in this one.

pub mod file;
pub mod follow;
pub mod select;
mod text;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use self::file::Keeper;
use super::unwritten::Unwritten;
use super::wall;
use crate::config::Change;

/// Events that are kept: a transition of every instance of a large configuration.
pub const KEPT: usize = 4096;

/// Most findings in an event.
const FINDINGS: usize = 20;

/// Most changes in an event: thousands of events are kept in memory, and the log has all changes.
const CHANGES: usize = 4;

#[derive(Debug)]
pub struct Events {
    ring: Mutex<Ring>,
    latest: watch::Sender<u64>,
    /// Writes to the disk, once [`Events::keep`] was called.
    keeper: Mutex<Option<Keeper>>,
}

#[derive(Debug)]
struct Ring {
    /// Number before the first one of this run.
    base: u64,
    /// Number of the latest event.
    latest: u64,
    kept: VecDeque<Arc<Event>>,
}

/// One line of the event stream.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Event {
    pub seq: u64,
    /// Written as RFC 3339 in UTC.
    #[serde(with = "wall")]
    pub time: SystemTime,
    #[serde(flatten)]
    pub what: EventKind,
}

/// A word of the protocol. Thousands of events are kept: those of this run have no copies of it.
pub type EventWord = Cow<'static, str>;

/// The kind of an event, tagged by `event`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    Transition {
        instance: String,
        from: EventWord,
        to: EventWord,
        reason: EventWord,
        priority: u8,
        epoch: u64,
        peer: Option<String>,
    },
    /// Follows the transitions of its members; `member` moved the others.
    GroupTransition {
        group: String,
        from: EventWord,
        to: EventWord,
        reason: EventWord,
        member: String,
        epoch: u64,
    },
    /// The effective priority has changed.
    Priority {
        instance: String,
        priority: u8,
    },
    /// A lower master was heard while master; `more` were left out since the last event, as below.
    Contest {
        instance: String,
        peer: String,
        more: u64,
    },
    /// A lower master has not yielded for three intervals; see `status` for the reasons.
    Unyielding {
        instance: String,
        peer: String,
        detail: String,
    },
    /// It is no longer heard as master, or this node is master no longer.
    UnyieldingOver {
        instance: String,
        peer: String,
    },
    /// A router that should be a peer is refused; see `status` for the reasons.
    PeerRejected {
        instance: String,
        peer: String,
        reason: String,
        detail: String,
    },
    /// Its adverts are no longer refused.
    PeerRejectionOver {
        instance: String,
        peer: String,
        reason: String,
    },
    /// The result of a check: the first one, and each change.
    Check {
        check: String,
        up: bool,
        outcome: String,
    },
    /// A check counts as failed although it succeeds, for `reason`.
    CheckHeld {
        check: String,
        reason: EventWord,
    },
    /// Its own results count again.
    CheckHeldOver {
        check: String,
    },
    SendFailed {
        instance: String,
        interface: String,
        error: String,
        more: u64,
    },
    EffectFailed {
        instance: String,
        object: String,
        error: String,
        more: u64,
    },
    /// `object`, and `more` others, could not be set, and are set now.
    Restored {
        instance: String,
        object: String,
        more: u64,
    },
    /// `object`, and `more` others, were lost; they are set again.
    PutBack {
        instance: String,
        object: String,
        more: u64,
    },
    /// Another process keeps removing routes and rules; they are not set again.
    Abandoned {
        instance: String,
    },
    /// A static address, route or rule could not be set.
    StaticFailed {
        object: String,
        error: String,
        more: u64,
    },
    /// It is set now.
    StaticRestored {
        object: String,
        more: u64,
    },
    /// As [`EventKind::Abandoned`], for static ones.
    StaticAbandoned,
    /// Of an instance or a group.
    HookFailed {
        name: String,
        keyword: String,
        state: String,
        end: String,
        /// The last 512 bytes that it printed, control characters escaped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
    },
    /// One that did not fail.
    HookPrinted {
        name: String,
        keyword: String,
        state: String,
        /// As that of [`EventKind::HookFailed`].
        output: String,
    },
    /// A change was given up.
    WebhookFailed {
        webhook: String,
        name: String,
        state: String,
        why: String,
    },
    /// An operator's order for an instance, or for the `log`, began or ended.
    Steered {
        name: String,
        /// Such as `in maintenance`.
        what: String,
        by: String,
        until: Option<String>,
        why: Option<String>,
    },
    /// A mail was given up.
    MailFailed {
        subject: String,
        why: String,
    },
    /// `findings` are empty if the configuration is in use.
    Reload {
        done: bool,
        findings: Vec<String>,
        /// What has changed.
        #[serde(default)]
        changes: Vec<String>,
    },
    /// The file was not used at the start, for these reasons; the last good one is in use.
    StartStale {
        findings: Vec<String>,
    },
    /// A reload that awaited a confirmation was confirmed.
    ReloadKept,
    /// It was not, within so many seconds; the configuration before it is in use again.
    ReloadUndone {
        seconds: u64,
    },
}

impl EventKind {
    pub fn reloaded(changes: &[Change]) -> Self {
        let mut said: Vec<String> = changes.iter().take(CHANGES).map(ToString::to_string).collect();
        if changes.len() > CHANGES {
            said.push(format!("and {} more", changes.len() - CHANGES));
        }
        Self::Reload { done: true, findings: Vec::new(), changes: said }
    }

    pub fn refused(findings: &[String]) -> Self {
        let findings = findings.iter().take(FINDINGS).cloned().collect();
        Self::Reload { done: false, findings, changes: Vec::new() }
    }
}

/// Events that follow a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Lost events between the number and the first of these.
    pub gap: Option<Gap>,
    pub events: Vec<Arc<Event>>,
}

/// Lost events.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Gap {
    /// The first one that may be lost, and the first one that is not.
    pub from: u64,
    pub until: u64,
    /// `None` if they are of an earlier run, and their number is unknown.
    pub lost: Option<u64>,
}

impl Default for Events {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::beginning_with(u64::try_from(since.as_micros()).unwrap_or_default())
    }
}

impl Events {
    fn beginning_with(base: u64) -> Self {
        let ring = Ring { base, latest: base, kept: VecDeque::new() };
        Self { ring: Mutex::new(ring), latest: watch::Sender::new(base), keeper: Mutex::new(None) }
    }

    /// Reads the events of earlier runs from a folder, and writes those of this one there from now on, including those
    /// that it had already. Returns the earlier ones.
    ///
    /// # Errors
    /// The thread that writes cannot be started.
    pub fn keep(&self, folder: &Path, unwritten: &Unwritten) -> io::Result<Vec<Arc<Event>>> {
        let earlier = file::read(folder);
        let keeper = Keeper::start(folder.to_owned(), unwritten.clone())?;
        let mut ring = self.lock();
        ring.kept.iter().for_each(|event| keeper.give(event));
        let Ring { base, latest, kept } = &mut *ring;
        // The clock may have been set back.
        if let Some(last) = earlier.last().filter(|last| last.seq > *base) {
            (*base, *latest) = (last.seq, (*latest).max(last.seq));
        }
        kept.extend(earlier.iter().cloned());
        kept.make_contiguous().sort_by_key(|event| event.seq);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
        *self.keeper() = Some(keeper);
        Ok(earlier)
    }

    /// Waits until all events are on the disk, as far as it answers; later ones are not written.
    pub fn close(&self) {
        let keeper = self.keeper().take();
        if let Some(keeper) = keeper {
            keeper.end();
        }
    }

    /// Never waits.
    pub fn push(&self, what: EventKind) {
        let mut ring = self.lock();
        ring.latest = ring.latest.saturating_add(1);
        let seq = ring.latest;
        if ring.kept.len() >= KEPT {
            ring.kept.pop_front();
        }
        let event = Arc::new(Event { seq, time: SystemTime::now(), what });
        if let Some(keeper) = &*self.keeper() {
            keeper.give(&event);
        }
        ring.kept.push_back(event);
        drop(ring);
        self.latest.send_replace(seq);
    }

    /// The number of the latest event.
    pub fn latest(&self) -> u64 {
        self.lock().latest
    }

    /// The number of the latest event, whenever it changes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// At most `most` events after `seq`; without it, from the oldest one that is kept.
    pub fn after(&self, seq: Option<u64>, most: usize) -> Page {
        let ring = self.lock();
        let oldest = ring.kept.front().map_or(ring.latest.saturating_add(1), |event| event.seq);
        // The number of a clock that has been set back; it is ignored.
        let seq = seq.filter(|seq| *seq <= ring.latest);
        let gap = seq.filter(|seq| seq.saturating_add(1) < oldest).map(|seq| {
            let from = seq.saturating_add(1);
            Gap { from, until: oldest, lost: (seq >= ring.base).then(|| oldest.saturating_sub(from)) }
        });
        // The numbers of two runs do not follow one another.
        let skipped = seq.map_or(0, |seq| ring.kept.partition_point(|event| event.seq <= seq));
        let kept = ring.kept.iter().skip(skipped);
        Page { gap, events: kept.take(most).cloned().collect() }
    }

    fn keeper(&self) -> MutexGuard<'_, Option<Keeper>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u64) -> Events {
        let events = Events::beginning_with(1000);
        (0..count).for_each(|_| events.push(EventKind::Abandoned { instance: "a".to_owned() }));
        events
    }

    fn numbers(page: &Page) -> Vec<u64> {
        page.events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn events_follow_a_number() {
        let events = filled(5);
        assert_eq!(numbers(&events.after(None, 3)), [1001, 1002, 1003]);
        assert_eq!(numbers(&events.after(Some(1003), 9)), [1004, 1005]);
        let none = Page { gap: None, events: vec![] };
        assert_eq!(events.after(Some(1005), 9), none);
        assert_eq!(filled(0).after(None, 9), none);
        assert_eq!(filled(0).after(Some(1000), 9), none);
    }

    #[test]
    fn a_gap_is_said_with_what_is_gone() {
        let kept = u64::try_from(KEPT).unwrap();
        let events = filled(kept + 10);
        let page = events.after(Some(1004), 1);
        assert_eq!(page.gap, Some(Gap { from: 1005, until: 1011, lost: Some(6) }));
        assert_eq!(numbers(&page), [1011]);
        assert_eq!(events.after(Some(1010), 1).gap, None);
        assert_eq!(numbers(&events.after(Some(1010), KEPT)).len(), KEPT);
    }

    #[test]
    fn a_number_of_an_earlier_run_is_a_gap_of_unknown_length() {
        let gap = |events: &Events| events.after(Some(700), 9).gap;
        assert_eq!(gap(&filled(2)), Some(Gap { from: 701, until: 1001, lost: None }));
        assert_eq!(gap(&filled(0)), Some(Gap { from: 701, until: 1001, lost: None }));
        // The clock was set back: all kept events are new.
        assert_eq!(numbers(&filled(2).after(Some(5000), 9)), [1001, 1002]);
    }

    #[test]
    fn the_lines_are_as_documented() {
        let what = EventKind::Check { check: "web".into(), up: false, outcome: "exit 1".into() };
        let time = wall::parse_rfc3339("2026-11-21T10:00:00.000Z").unwrap();
        let event = Event { seq: 7, time, what };
        let line = r#"{"seq":7,"time":"2026-11-21T10:00:00.000Z","event":"check","check":"web","up":false,"outcome":"exit 1"}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
        assert_eq!(serde_json::from_str::<Event>(line).unwrap(), event);
        let text = event.to_string();
        assert!(text.contains(":00.000 ") && text.ends_with("  check web is down: exit 1"), "{text}");
    }
}
