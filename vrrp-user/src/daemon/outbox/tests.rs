//! Tests of full queues.

use std::cell::Cell;
use std::sync::Arc;

use vrrp_ebpf::time::Timestamp;

use super::*;
use crate::config::{InstanceSettings, parse};
use crate::protocol::{Epoch, Missing, Priority, Reason, State, Transition};

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

fn settings(priority: u8) -> Arc<InstanceSettings> {
    let text = format!(
        "vrrp_instance A {{\ninterface eth0\nvirtual_router_id 1\npriority {priority}\n\
         virtual_ipaddress {{\n192.0.2.1/24\n}}\n}}\n"
    );
    Arc::clone(&parse("t", &text).unwrap().config.instances[0].settings)
}

#[test]
fn a_mastership_that_waits_begins_with_the_settings_of_its_time() {
    let settings = |priority| Command::SetEffects(A, settings(priority));
    let announce = Command::Announce(A, Announcement { epoch: Epoch(1), repeat: 1 });
    let add = Command::Add(A, Epoch(1));
    let pushed =
        [settings(1), settings(2), add.clone(), settings(3), announce.clone(), settings(4), settings(5)];
    let expected = [Command::Inherit, settings(2), add, announce, settings(5)];
    assert_eq!(words(&read(Command::Inherit, pushed)), words(&expected));
    // One that has ended needs none.
    let pushed =
        [settings(1), Command::Add(A, Epoch(1)), settings(2), Command::Remove(A, Epoch(2)), settings(3)];
    let expected = [Command::Inherit, Command::Remove(A, Epoch(2)), settings(3)];
    assert_eq!(words(&read(Command::Inherit, pushed)), words(&expected));
}

/// As many as can wait, in any order, again and again.
#[test]
fn what_can_wait_finds_room_that_was_reserved() {
    const INSTANCES: usize = 50;
    let settings = settings(100);
    let mut outbox = Outbox::new(Queue::new(1).unwrap());
    outbox.push(Command::Inherit);
    outbox.reserve(INSTANCES, INSTANCES * Command::WAITING_MAX);
    let room = |outbox: &Outbox<Command>| (outbox.waiting.capacity(), outbox.latest.capacity());
    let reserved = room(&outbox);
    for round in 0..20 {
        for id in InstanceId::all().take(INSTANCES) {
            outbox.push(Command::Add(id, Epoch(round)));
            for loss in Loss::ALL {
                outbox.push(Command::PutBack(id, Epoch(round), Missing { loss, paths: true }));
            }
            outbox.push(Command::StopAnnouncing(id));
            outbox.push(Command::Announce(id, Announcement { epoch: Epoch(round), repeat: 1 }));
        }
        // All but the settings.
        assert_eq!(outbox.count, INSTANCES * (Command::WAITING_MAX - 2));
    }
    for round in 0..20 {
        for id in InstanceId::all().take(INSTANCES) {
            outbox.push(Command::Add(id, Epoch(round)));
            outbox.push(Command::SetEffects(id, Arc::clone(&settings)));
            outbox.push(Command::Remove(id, Epoch(round)));
        }
        assert!(outbox.count <= INSTANCES * 2, "{} settings and ends wait", outbox.count);
    }
    assert_eq!(room(&outbox), reserved);
}

#[test]
fn places_before_a_division_stay_while_void_ones_are_taken_out() {
    let contest = |id| Report::Contest(id, [192, 0, 2, 1].into());
    let many = || (0..VOID_MAX * 4).map(|_| contest(A));
    let pushed = [contest(B)].into_iter().chain(many()).chain([Report::Reconfigured]).chain(many());
    let expected = [Report::Stopped, contest(B), contest(A), Report::Reconfigured, contest(A)];
    assert_eq!(read(Report::Stopped, pushed), expected);
}
