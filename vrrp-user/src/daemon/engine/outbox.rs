//! Entries for another thread that its queue has no room for.
//!
//! Enters: commands and reports of the engine. Leaves: each of them, in order, as soon as the queue has room, unless a
//! later one says all that is still of use. Absent: growth with time, as few entries for each instance can wait.

use std::collections::VecDeque;

use crate::daemon::queue::{Command, Queue, Report};
use crate::protocol::InstanceId;

/// The writer's end of a queue.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    queue: Queue<T>,
    /// In order, behind those in the queue.
    waiting: VecDeque<T>,
}

/// An entry that can make a waiting one void.
pub(super) trait Entry {
    /// Whether an earlier entry that has not been read is of no use any more; takes over what is.
    fn replaces(&mut self, earlier: &Self) -> bool;

    /// Whether entries before this one mean something else than those after it.
    fn divides(&self) -> bool {
        false
    }
}

impl<T: Entry> Outbox<T> {
    pub(super) fn new(queue: Queue<T>) -> Self {
        Self { queue, waiting: VecDeque::new() }
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
        let fixed = self.waiting.iter().rposition(T::divides).map_or(0, |at| at + 1);
        let mut at = 0..;
        self.waiting.retain(|earlier| at.next() < Some(fixed) || !entry.replaces(earlier));
        self.waiting.push_back(entry);
    }

    /// Moves what waits to the queue. False if it has no room for all.
    pub(super) fn flush(&mut self) -> bool {
        while let Some(entry) = self.waiting.pop_front() {
            if let Err(refused) = self.queue.offer(entry) {
                self.waiting.push_front(refused);
                return false;
            }
        }
        true
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Entry for Command {
    fn replaces(&mut self, earlier: &Self) -> bool {
        let Some(instance) = instance(self).filter(|it| instance(earlier) == Some(*it)) else { return false };
        match (&*self, earlier) {
            (Self::SetEffects(..), _) | (_, Self::SetEffects(..)) => {
                matches!((&*self, earlier), (Self::SetEffects(..), Self::SetEffects(..)))
            }
            // All that concerned an earlier mastership.
            (Self::Add(..) | Self::Hold(..) | Self::Remove(..), _) => true,
            (Self::PutBack(_, _, new), Self::PutBack(_, _, old)) => new.loss == old.loss,
            (Self::StopAnnouncing(_), Self::Announce(..) | Self::StopAnnouncing(_)) => true,
            (Self::Announce(_, new), Self::Announce(_, old)) => {
                let repeat = new.repeat.max(old.repeat);
                *self = Self::Announce(instance, crate::protocol::Announcement { repeat, ..*new });
                true
            }
            _ => false,
        }
    }
}

fn instance(command: &Command) -> Option<InstanceId> {
    match *command {
        Command::StandBy(instance, _)
        | Command::SetEffects(instance, _)
        | Command::Hold(instance, _)
        | Command::Add(instance, _)
        | Command::Remove(instance, _)
        | Command::StopAnnouncing(instance)
        | Command::Announce(instance, _)
        | Command::PutBack(instance, ..) => Some(instance),
        Command::Inherit | Command::Note(_) | Command::Stop => None,
    }
}

impl Entry for Report {
    /// A transition replaces those before it, and begins where they began.
    fn replaces(&mut self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Transition(new, transition), Self::Transition(old, earlier)) if new == old => {
                transition.from = earlier.from;
                true
            }
            (Self::Group(new, transition), Self::Group(old, earlier)) if new == old => {
                transition.from = earlier.from;
                true
            }
            (Self::Priority(new, _), Self::Priority(old, _))
            | (Self::Contest(new, _), Self::Contest(old, _))
            | (Self::SendFailed(new, _), Self::SendFailed(old, _))
            | (Self::Abandoned(new), Self::Abandoned(old)) => new == old,
            _ => false,
        }
    }

    /// Numbers and names are those of another configuration.
    fn divides(&self) -> bool {
        matches!(self, Self::Reconfigured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Announcement, Epoch, Loss, Missing, Priority, Reason, State, Transition};
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
}
