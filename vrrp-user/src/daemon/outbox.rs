//! Entries for another thread that its queue has no room for.
//!
//! Enters: entries, such as commands and reports of the engine. Leaves: each of them, in order, as soon as the queue
//! has room, unless a later one says all that is still of use. Absent: growth with time, as few entries for each
//! instance can wait; work that grows with the number of those that wait, as an entry is compared with those of its
//! subject alone.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::mem::{Discriminant, discriminant};

use super::queue::{Command, Input, Queue, Report};
use crate::protocol::{Announcement, Event, InstanceId};

/// Most void places that are kept while nothing else waits.
const VOID_MAX: usize = 64;

/// The writer's end of a queue.
#[derive(Debug)]
pub(super) struct Outbox<T: Entry> {
    queue: Queue<T>,
    /// In order, behind those in the queue; `None` for one that is void.
    waiting: VecDeque<Option<T>>,
    /// Those that are not void.
    count: usize,
    /// Number of the first place; the others follow.
    first: usize,
    /// Numbers of the places of each subject that a later entry may make void. Places that were emptied since may be
    /// among them.
    places: HashMap<T::Subject, Vec<usize>>,
    /// Places before this number stay as they are.
    fixed: usize,
}

/// An entry that can make a waiting one void.
pub(super) trait Entry {
    /// What an entry is about. It makes none void of another subject.
    type Subject: Debug + Eq + Hash;

    /// `None` for an entry that makes none void, and is never void.
    fn subject(&self) -> Option<Self::Subject>;

    /// Whether an earlier entry of the same subject that has not been read is of no use any more; takes over what is.
    fn replaces(&mut self, earlier: &Self) -> bool;

    /// Whether entries before this one mean something else than those after it.
    fn divides(&self) -> bool {
        false
    }
}

impl<T: Entry> Outbox<T> {
    pub(super) fn new(queue: Queue<T>) -> Self {
        Self { queue, waiting: VecDeque::new(), count: 0, first: 0, places: HashMap::new(), fixed: 0 }
    }

    pub(super) fn queue(&self) -> &Queue<T> {
        &self.queue
    }

    pub(super) fn push(&mut self, mut entry: T) {
        if self.flush() {
            match self.queue.offer(entry) {
                Ok(()) => return,
                Err(refused) => entry = refused,
            }
        }
        let number = self.first + self.waiting.len();
        if let Some(subject) = entry.subject() {
            let Self { waiting, count, first, places, fixed, .. } = self;
            let places = places.entry(subject).or_default();
            places.retain(|place| {
                let Some(at) = place.checked_sub(*first).filter(|_| *place >= *fixed) else { return false };
                let Some(earlier) = waiting.get_mut(at) else { return false };
                let is_void = earlier.as_ref().is_none_or(|earlier| entry.replaces(earlier));
                *count -= usize::from(is_void && earlier.take().is_some());
                !is_void
            });
            places.push(number);
        }
        if entry.divides() {
            self.fixed = number + 1;
        }
        self.waiting.push_back(Some(entry));
        self.count += 1;
        if self.waiting.len() > 2 * self.count + VOID_MAX {
            self.close_up();
        }
    }

    /// Moves what waits to the queue. False if it has no room for all.
    pub(super) fn flush(&mut self) -> bool {
        while let Some(place) = self.waiting.pop_front() {
            if let Some(entry) = place {
                if let Err(refused) = self.queue.offer(entry) {
                    self.waiting.push_front(Some(refused));
                    return false;
                }
                self.count -= 1;
            }
            self.first += 1;
        }
        true
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.count == 0
    }

    /// Takes the void places out.
    fn close_up(&mut self) {
        let Self { waiting, first, places, fixed, .. } = self;
        let before = waiting.iter().take(fixed.saturating_sub(*first)).flatten().count();
        *fixed = *first + before;
        waiting.retain(Option::is_some);
        places.values_mut().for_each(Vec::clear);
        for (number, entry) in (*first..).zip(waiting.iter().flatten()) {
            if let Some(subject) = entry.subject() {
                places.entry(subject).or_default().push(number);
            }
        }
    }
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
}

impl Entry for Report {
    type Subject = (Discriminant<Self>, u32);

    fn subject(&self) -> Option<Self::Subject> {
        let number = match self {
            Self::Transition(id, _)
            | Self::Priority(id, _)
            | Self::Contest(id, _)
            | Self::SendFailed(id, _)
            | Self::Abandoned(id) => id.0,
            Self::Group(id, _) => id.0,
            Self::EffectFailed { .. }
            | Self::PutBack { .. }
            | Self::Lacks { .. }
            | Self::Leftovers { .. }
            | Self::Reconfigured
            | Self::Stopped => return None,
        };
        Some((discriminant(self), number))
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
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::protocol::{Epoch, Loss, Missing, Priority, Reason, State, Transition};
    use vrrp_ebpf::time::Timestamp;

    const A: InstanceId = InstanceId(0);
    const B: InstanceId = InstanceId(1);

    /// What the reader gets from a queue that is full until all have been pushed.
    fn read<T: Entry>(first: T, entries: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut outbox = Outbox::new(Queue::new(1).unwrap());
        outbox.push(first);
        entries.into_iter().for_each(|entry| outbox.push(entry));
        let reader = outbox.queue().clone();
        let mut read = Vec::new();
        while let Some(entry) = reader.pop() {
            read.push(entry);
            outbox.flush();
        }
        assert!(outbox.is_flushed());
        read
    }

    /// Counts how often it is looked at.
    struct Counting<'a>(u32, &'a Cell<usize>);

    impl Entry for Counting<'_> {
        type Subject = u32;

        fn subject(&self) -> Option<u32> {
            Some(self.0)
        }

        fn replaces(&mut self, _: &Self) -> bool {
            self.1.update(|count| count + 1);
            true
        }

        fn divides(&self) -> bool {
            self.1.update(|count| count + 1);
            false
        }
    }

    #[test]
    fn thousands_that_wait_cost_a_new_entry_nothing_and_void_ones_no_room() {
        const SUBJECTS: u32 = 4000;
        const ROUNDS: usize = 5;
        let looks = Cell::new(0);
        let mut outbox = Outbox::new(Queue::new(1).unwrap());
        outbox.push(Counting(0, &looks));
        for _ in 0..ROUNDS {
            (0..SUBJECTS).for_each(|subject| outbox.push(Counting(subject, &looks)));
        }
        let (count, pushed) = (SUBJECTS as usize, SUBJECTS as usize * ROUNDS);
        assert!(looks.get() <= 2 * pushed, "{} looks at {pushed} entries", looks.get());
        assert_eq!(outbox.count, count);
        assert!(outbox.waiting.len() <= 2 * count + VOID_MAX, "{} places", outbox.waiting.len());
        let reader = outbox.queue().clone();
        let mut read = Vec::new();
        while let Some(Counting(subject, _)) = reader.pop() {
            read.push(subject);
            outbox.flush();
        }
        assert!(read.into_iter().eq(std::iter::once(0).chain(0..SUBJECTS)));
    }

    fn words(commands: &[Command]) -> Vec<String> {
        commands.iter().map(|command| format!("{command:?}")).collect()
    }

    #[test]
    fn a_full_queue_loses_no_end_and_no_beginning_of_a_mastership() {
        let announce = |repeat| Command::Announce(A, Announcement { epoch: Epoch(1), repeat });
        let missing = |loss| Command::PutBack(B, Epoch(1), Missing { loss, paths: true });
        let last = [
            Command::Remove(A, Epoch(2)),
            Command::Add(B, Epoch(1)),
            missing(Loss::Order),
            missing(Loss::Address),
            Command::Announce(B, Announcement { epoch: Epoch(1), repeat: 5 }),
            Command::Stop,
        ];
        let pushed = (0..1000).map(|_| announce(1)).chain([
            Command::Add(B, Epoch(0)),
            last[0].clone(),
            last[1].clone(),
            last[2].clone(),
            missing(Loss::Address),
            last[3].clone(),
            Command::Announce(B, Announcement { epoch: Epoch(1), repeat: 5 }),
            Command::Announce(B, Announcement { epoch: Epoch(1), repeat: 1 }),
            Command::Stop,
        ]);
        let mut expected = vec![Command::Add(A, Epoch(1))];
        expected.extend(last);
        assert_eq!(words(&read(Command::Add(A, Epoch(1)), pushed)), words(&expected));
    }

    #[test]
    fn a_full_queue_loses_no_last_state_and_no_change_of_configuration() {
        let transition = |from, to, epoch| Transition {
            from,
            to,
            reason: Reason::Startup,
            epoch: Epoch(epoch),
            at: Timestamp::ZERO,
            priority: Priority(100),
            peer: None,
        };
        let contest = |id| Report::Contest(id, [192, 0, 2, 1].into());
        let backup = |from| Report::Transition(B, transition(from, State::Backup, 3));
        let pushed = (0..1000).flat_map(|_| [contest(A), contest(B)]).chain([
            Report::Transition(B, transition(State::Backup, State::Master, 2)),
            backup(State::Master),
            Report::Reconfigured,
            backup(State::Master),
            contest(B),
            Report::Stopped,
        ]);
        let expected = [
            contest(A),
            contest(A),
            contest(B),
            backup(State::Backup),
            Report::Reconfigured,
            backup(State::Master),
            contest(B),
            Report::Stopped,
        ];
        assert_eq!(read(contest(A), pushed), expected);
    }

    #[test]
    fn a_full_queue_loses_no_last_state_of_a_receive_path() {
        let event = |id| Input::Event(Event::NotReceiving(id));
        let attachment = |ifindex| Input::Attachment { ifindex, attachment: None };
        let pushed = (0..1000).flat_map(|_| [attachment(1), Input::Unlisten(1), event(A), event(B)]).chain([
            Input::Event(Event::Startup),
            attachment(2),
            Input::Unlisten(1),
            Input::Event(Event::Startup),
        ]);
        let expected = [
            Input::GoOn,
            attachment(1),
            event(A),
            event(B),
            Input::Event(Event::Startup),
            attachment(2),
            Input::Unlisten(1),
            Input::Event(Event::Startup),
        ];
        let words = |all: &[Input]| all.iter().map(|input| format!("{input:?}")).collect::<Vec<_>>();
        assert_eq!(words(&read(Input::GoOn, pushed)), words(&expected));
    }

    #[test]
    fn places_before_a_division_stay_while_void_ones_are_taken_out() {
        let contest = |id| Report::Contest(id, [192, 0, 2, 1].into());
        let many = || (0..VOID_MAX * 4).map(|_| contest(A));
        let pushed = [contest(B)].into_iter().chain(many()).chain([Report::Reconfigured]).chain(many());
        let expected = [Report::Stopped, contest(B), contest(A), Report::Reconfigured, contest(A)];
        assert_eq!(read(Report::Stopped, pushed), expected);
    }
}
