//! Entries for another thread that its queue has no room for.
//!
//! Enters: entries, such as commands and reports of the engine. Leaves: each of them, in order, as soon as the queue
//! has room, unless a later one says all that is still of use. Absent: growth with time, as few entries for each
//! instance can wait; work that grows with the number of those that wait, as an entry is compared with those of its
//! subject alone.

use std::collections::VecDeque;
use std::fmt::Debug;

use super::queue::{Command, Input, Queue, Report};
use crate::protocol::{Announcement, Event, InstanceId, Loss};

/// Most void places that are kept while nothing else waits.
const VOID_MAX: usize = 64;

/// Number of no place.
const GONE: usize = usize::MAX;

/// The writer's end of a queue.
#[derive(Debug)]
pub(super) struct Outbox<T: Entry> {
    queue: Queue<T>,
    /// In order, behind those in the queue.
    waiting: VecDeque<Place<T>>,
    /// Those that are not void.
    count: usize,
    /// Number of the first place; the others follow.
    first: usize,
    /// Subjects that have waited, sorted, each with the number of its latest place. That place may be gone.
    latest: Vec<(T::Subject, usize)>,
    /// Places before this number stay as they are.
    fixed: usize,
}

/// A place in the order of entries.
#[derive(Debug)]
struct Place<T> {
    /// `None`: void.
    entry: Option<T>,
    /// Number of the place before it with the same subject, which may be gone.
    earlier: Option<usize>,
}

/// An entry that can make a waiting one void.
pub(super) trait Entry {
    /// What an entry is about. It makes none void of another subject.
    type Subject: Copy + Debug + Ord;

    /// `None` for an entry that makes none void, and is never void.
    fn subject(&self) -> Option<Self::Subject>;

    /// Whether an earlier entry of the same subject that has not been read is of no use any more; takes over what is.
    fn replaces(&mut self, earlier: &Self) -> bool;

    /// Whether it is of no use if the next entry of its subject, which is of this kind as well, waits behind it.
    fn is_overruled(&self) -> bool {
        false
    }

    /// Whether an earlier entry of the same subject, which is not void, keeps those before it from being so.
    fn is_based(&self, _earlier: &Self) -> bool {
        false
    }

    /// Whether entries before this one mean something else than those after it.
    fn divides(&self) -> bool {
        false
    }
}

impl<T: Entry> Outbox<T> {
    pub(super) fn new(queue: Queue<T>) -> Self {
        Self { queue, waiting: VecDeque::new(), count: 0, first: 0, latest: Vec::new(), fixed: 0 }
    }

    pub(super) fn queue(&self) -> &Queue<T> {
        &self.queue
    }

    /// Makes room for so many subjects and entries that are not void: until more wait, a push allocates nothing. Room
    /// is no memory until it is used. Call it again after an entry that divides.
    pub(super) fn reserve(&mut self, subjects: usize, entries: usize) {
        self.latest.reserve(subjects.saturating_sub(self.latest.len()));
        self.waiting.reserve(entries.saturating_mul(2).saturating_add(VOID_MAX + 2));
    }

    pub(super) fn push(&mut self, mut entry: T) {
        if self.flush() {
            match self.queue.offer(entry) {
                Ok(()) => return,
                Err(refused) => entry = refused,
            }
        }
        let number = self.first + self.waiting.len();
        let latest = entry.subject().and_then(|subject| self.note(subject, number));
        let earlier = self.void(latest, &mut entry);
        if entry.divides() {
            self.fixed = number + 1;
        }
        self.waiting.push_back(Place { entry: Some(entry), earlier });
        self.count += 1;
        if self.waiting.len() > 2 * self.count + VOID_MAX {
            self.close_up();
        }
    }

    /// Moves what waits to the queue. False if it has no room for all.
    pub(super) fn flush(&mut self) -> bool {
        while let Some(Place { entry, earlier }) = self.waiting.pop_front() {
            if let Some(entry) = entry {
                if let Err(refused) = self.queue.offer(entry) {
                    self.waiting.push_front(Place { entry: Some(refused), earlier });
                    return false;
                }
                self.count -= 1;
            }
            self.first += 1;
        }
        // Begins at its start again, so that no more of its room becomes memory than is needed at once.
        self.waiting.clear();
        true
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.count == 0
    }

    /// Makes this place the latest of its subject. Returns the one before, which may be gone.
    fn note(&mut self, subject: T::Subject, number: usize) -> Option<usize> {
        match self.latest.binary_search_by_key(&subject, |(subject, _)| *subject) {
            Ok(at) => self.latest.get_mut(at).map(|(_, latest)| std::mem::replace(latest, number)),
            Err(at) => {
                self.latest.insert(at, (subject, number));
                None
            }
        }
    }

    /// Empties the places that an entry makes void, among `latest` and those before it with the same subject. Returns
    /// the latest one that is left; the others follow it.
    fn void(&mut self, latest: Option<usize>, entry: &mut T) -> Option<usize> {
        let Self { waiting, count, first, fixed, .. } = self;
        let from = (*first).max(*fixed);
        let (mut next, mut left, mut later, mut is_followed) = (latest, None, None, false);
        while let Some(number) = next.filter(|number| *number >= from)
            && let Some(place) = waiting.get_mut(number - *first)
        {
            next = place.earlier.take();
            let is_void = |earlier: &T| entry.replaces(earlier) || (is_followed && earlier.is_overruled());
            if place.entry.as_ref().is_none_or(is_void) {
                *count -= usize::from(place.entry.take().is_some());
                continue;
            }
            is_followed = place.entry.as_ref().is_some_and(T::is_overruled);
            let is_base = place.entry.as_ref().is_some_and(|earlier| entry.is_based(earlier));
            if is_base {
                place.earlier = next.take();
            }
            left = left.or(Some(number));
            let later = later.replace(number).and_then(|later: usize| waiting.get_mut(later - *first));
            later.into_iter().for_each(|later| later.earlier = Some(number));
        }
        left
    }

    /// Takes the void places out.
    fn close_up(&mut self) {
        let is_left = |place: &Place<T>| place.entry.is_some();
        let before = self.waiting.iter().take(self.fixed.saturating_sub(self.first));
        self.fixed = self.first + before.filter(|place| is_left(place)).count();
        self.waiting.retain(is_left);
        self.latest.iter_mut().for_each(|(_, latest)| *latest = GONE);
        for at in 0..self.waiting.len() {
            let subject = self.waiting.get(at).and_then(|place| place.entry.as_ref()?.subject());
            let earlier = subject.and_then(|subject| self.note(subject, self.first + at));
            self.waiting.get_mut(at).into_iter().for_each(|place| place.earlier = earlier);
        }
    }
}

impl Command {
    /// Most commands of an instance that wait: settings, the latest start or end of a mastership, and after it one of
    /// each loss, an announcement and its end, and other settings.
    pub(super) const WAITING_MAX: usize = 5 + Loss::ALL.len();
}

impl Report {
    /// Most reports of an instance that wait, with those of its group: each is of another subject.
    pub(super) const WAITING_MAX: usize = 6;
}

impl Entry for Command {
    type Subject = InstanceId;

    fn subject(&self) -> Option<InstanceId> {
        match *self {
            Self::StandBy(instance, _)
            | Self::SetEffects(instance, _)
            | Self::Hold(instance, _)
            | Self::Add(instance, _)
            | Self::Remove(instance, _)
            | Self::StopAnnouncing(instance)
            | Self::Announce(instance, _)
            | Self::PutBack(instance, ..) => Some(instance),
            Self::Inherit | Self::Note(_) | Self::Stop => None,
        }
    }

    fn replaces(&mut self, earlier: &Self) -> bool {
        match (&*self, earlier) {
            (Self::SetEffects(..), _) | (_, Self::SetEffects(..)) => {
                matches!((&*self, earlier), (Self::SetEffects(..), Self::SetEffects(..)))
            }
            // All that concerned an earlier mastership.
            (Self::Add(..) | Self::Hold(..) | Self::Remove(..), _) => true,
            (Self::PutBack(_, _, new), Self::PutBack(_, _, old)) => new.loss == old.loss,
            (Self::StopAnnouncing(_), Self::Announce(..) | Self::StopAnnouncing(_)) => true,
            (Self::Announce(instance, new), Self::Announce(_, old)) => {
                let repeat = new.repeat.max(old.repeat);
                *self = Self::Announce(*instance, Announcement { repeat, ..*new });
                true
            }
            _ => false,
        }
    }

    /// What was between settings may have become void.
    fn is_overruled(&self) -> bool {
        matches!(self, Self::SetEffects(..))
    }

    /// A mastership begins with the settings of its time: addresses that it has no more may be another instance's.
    fn is_based(&self, earlier: &Self) -> bool {
        matches!((self, earlier), (Self::SetEffects(..), Self::Add(..) | Self::Hold(..)))
    }
}

impl Entry for Report {
    /// The number of an instance or a group, and the kind.
    type Subject = (u32, u8);

    fn subject(&self) -> Option<Self::Subject> {
        Some(match self {
            Self::Transition(id, _) => (id.0, 0),
            Self::Priority(id, _) => (id.0, 1),
            Self::Contest(id, _) => (id.0, 2),
            Self::SendFailed(id, _) => (id.0, 3),
            Self::Abandoned(id) => (id.0, 4),
            Self::Group(id, _) => (id.0, 5),
            Self::EffectFailed { .. }
            | Self::PutBack { .. }
            | Self::Lacks { .. }
            | Self::Leftovers { .. }
            | Self::Reconfigured
            | Self::Stopped => return None,
        })
    }

    /// A transition replaces those before it, and begins where they began.
    fn replaces(&mut self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Transition(_, transition), Self::Transition(_, earlier)) => transition.from = earlier.from,
            (Self::Group(_, transition), Self::Group(_, earlier)) => transition.from = earlier.from,
            _ => {}
        }
        true
    }

    /// Numbers and names are those of another configuration.
    fn divides(&self) -> bool {
        matches!(self, Self::Reconfigured)
    }
}

/// Those of the receive path of an interface, which is renewed each second where it fails.
impl Entry for Input {
    /// An instance, or an interface.
    type Subject = (bool, u32);

    fn subject(&self) -> Option<Self::Subject> {
        match *self {
            Self::Event(Event::NotReceiving(InstanceId(id))) => Some((true, id)),
            Self::Listen { ifindex, .. } | Self::Unlisten(ifindex) | Self::Attachment { ifindex, .. } => {
                Some((false, ifindex))
            }
            _ => None,
        }
    }

    fn replaces(&mut self, earlier: &Self) -> bool {
        match self {
            Self::Attachment { .. } => matches!(earlier, Self::Attachment { .. }),
            Self::Listen { .. } => matches!(earlier, Self::Listen { .. }),
            Self::Unlisten(_) => !matches!(earlier, Self::Attachment { .. }),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests;
