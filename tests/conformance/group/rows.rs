//! What a node with two members does, `a` and `b`, in the form of [`crate::script`]: inputs of one member have its name
//! before them, and so have its actions. In spans `a.down` and the like are those of that member.

use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{
    Action, Event, GroupSettings, GroupTransition, Heard, Instance, InstanceId, InstanceSettings, Interval,
    Loss, Order, Priority, Router, State, TrackId, Version,
};

use crate::script;
use crate::setup::{Variant, describe, tracked};

const MEMBERS: [&str; 2] = ["a", "b"];

struct Row {
    what: &'static str,
    settings: fn(&mut [InstanceSettings; 2]),
    script: &'static str,
}

fn plain(_: &mut [InstanceSettings; 2]) {}

fn overlap(members: &mut [InstanceSettings; 2]) {
    for member in members {
        member.handover = Order::Overlap;
    }
}

const ROWS: &[Row] = &[
    Row {
        what: "members take over together, when the last one is ready",
        settings: |[_, b]| b.priority = Priority(50),
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait a.down
            is BACKUP
            wait b.down - a.down - 1ns
            wait 1ns            -> a advert 100, a add, a MASTER master_silent, b advert 50, b add, b MASTER master_silent, GROUP MASTER master_silent",
    },
    Row {
        what: "late adverts of one member's master move nobody",
        settings: plain,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            a hear 150 from 120 -> a watch
            b hear 150 from 120 -> b watch
            wait 3s
            b seen
            wait 1s             -> a unwatch
            a hear 150 from 120 -> a watch
            wait 2s
            a seen
            wait 2s             -> b unwatch
            b hear 150 from 120 -> b watch
            is BACKUP",
    },
    Row {
        what: "a member that was ready and then hears its master is ready no more",
        settings: plain,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait 1s
            b hear 150 from 120 -> b watch
            wait 3s
            a hear 150 from 120 -> a watch
            wait 1s             -> b unwatch
            is BACKUP
            wait 2500ms
            b hear 0 from 120
            wait b.skew - 1ns   -> a unwatch
            wait 1ns            -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_released, GROUP MASTER master_released",
    },
    Row {
        what: "an advert of a lower master ends no readiness, and a lowered priority does",
        settings: |[a, _]| a.tracks = vec![tracked(1, -60)],
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait 1s
            b hear 150 from 120 -> b watch
            wait 3s
            a hear 50 from 120
            track 1 down        -> a priority 40
            b hear 0 from 120   -> b unwatch
            wait b.skew
            is BACKUP
            wait a.down - b.skew - 1ns
            wait 1ns            -> a advert 40, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_released, GROUP MASTER master_silent",
    },
    Row {
        what: "who yields takes the others along, who release their addresses",
        settings: plain,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
            b hear 150 from 120 -> b advert 100, b remove, b watch, b BACKUP higher_priority, a advert 0, a remove, a BACKUP group_yielded, GROUP BACKUP higher_priority
            a hear 150 from 120 -> a watch",
    },
    Row {
        what: "Fault of one is Fault of all, until none has a cause",
        settings: plain,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
            b link down         -> a advert 0, a remove, a FAULT group_fault, b advert 0, b remove, b FAULT link_down, GROUP FAULT link_down
            a hear 50 from 120
            wait 20s
            a source none
            b link up
            is FAULT
            reasons no_source group_fault
            a source 100        -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered
            wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent",
    },
    Row {
        what: "a member whose addresses are taken away again and again takes the others along",
        settings: plain,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
            b lost address      -> b put back
            wait 100ms
            b lost address      -> b put back
            wait 100ms
            b lost address      -> b put back
            wait 100ms
            b lost address      -> b put back
            wait 100ms
            b lost address      -> b put back
            wait 100ms
            b lost address      -> a advert 0, a remove, a FAULT group_fault, b advert 0, b remove, b FAULT taken_away, GROUP FAULT taken_away
            wait 60s - 1ns
            wait 1ns            -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered",
    },
    Row {
        what: "a thing that all track gives each its own reason",
        settings: |members| members.iter_mut().for_each(|member| member.tracks = vec![tracked(1, 0)]),
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            track 1 down        -> a FAULT track_down, b FAULT track_down, GROUP FAULT track_down
            track 1 up          -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered",
    },
    Row {
        what: "a group starts when all is known, and in Fault where one is",
        settings: |[_, b]| {
            b.tracks = vec![tracked(1, 0)];
            b.tracks[0].initial = None;
        },
        script: "
            a link down
            startup
            wait 20s
            is INIT
            track 1 up          -> a FAULT link_down, b FAULT group_fault, GROUP FAULT link_down
            a link up           -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered",
    },
    Row {
        what: "a group of owners waits for nobody",
        settings: |members| members.iter_mut().for_each(|member| member.priority = Priority::OWNER),
        script: "
            startup             -> a advert 255, a add, a MASTER owner, b advert 255, b add, b MASTER owner, GROUP MASTER owner
            b link down         -> a advert 0, a remove, a FAULT group_fault, b advert 0, b remove, b FAULT link_down, GROUP FAULT link_down
            b link up           -> a advert 255, a add, a MASTER recovered, b advert 255, b add, b MASTER recovered, GROUP MASTER recovered",
    },
    Row {
        what: "beside others an owner waits too",
        settings: |[a, _]| a.priority = Priority::OWNER,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait b.down         -> a advert 255, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent",
    },
    Row {
        what: "the end is told by each, then by the group, and nothing else moves",
        settings: plain,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
            shutdown            -> a advert 0, a remove, a INIT shutdown, b advert 0, b remove, b INIT shutdown, GROUP INIT shutdown
            b link down
            wait 20s
            is INIT",
    },
    Row {
        what: "a lower master of one member has all announced",
        settings: |members| members.iter_mut().for_each(|member| member.announce.lower_prio_repeat = 2),
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
            b hear 50 from 120  -> b advert 100, b announce 2, b contest, a announce 2
            wait 200ms
            a hear 50 from 120  -> a advert 100",
    },
    Row {
        what: "one member that does not preempt holds all back",
        settings: |[_, b]| b.preempt = false,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait 3s
            a hear 50 from 120
            b hear 50 from 120  -> b watch
            wait 3s
            b seen
            is BACKUP
            a hear 0 from 120
            b hear 0 from 120   -> b unwatch
            wait a.skew         -> a advert 100, a add, a MASTER master_released, b advert 100, b add, b MASTER master_released, GROUP MASTER master_released",
    },
    Row {
        what: "after an absence those that were ready listen again",
        settings: plain,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait 1s
            b hear 150 from 120 -> b watch
            wait 3s
            freeze 2s
            is BACKUP
            wait b.A + b.A + b.skew - 1ns
            wait 1ns            -> b unwatch, a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent",
    },
    Row {
        what: "a group that was away returns with the last of its members",
        settings: |[_, b]| b.priority = Priority(50),
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait b.down         -> a advert 100, a add, a MASTER master_silent, b advert 50, b add, b MASTER master_silent, GROUP MASTER master_silent
            freeze 10s
            wait a.A + a.skew   -> a advert 100, a add, a MASTER returned
            wait b.skew - a.skew - 1ns
            wait 1ns            -> b advert 50, b add, b MASTER returned, GROUP MASTER returned",
    },
    Row {
        what: "who lost a tie by its first member listens an interval longer",
        settings: plain,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
            a hear 150 from 120 -> a advert 100, a remove, a watch, a BACKUP higher_priority, b advert 0, b remove, b BACKUP group_yielded, GROUP BACKUP higher_priority
            a hear 0 from 120   -> a unwatch
            wait b.down
            is BACKUP
            wait b.A - 1ns
            wait 1ns            -> a advert 100, a add, a MASTER master_released, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent",
    },
    Row {
        what: "and who lost by another one does not",
        settings: plain,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
            b hear 150 from 120 -> b advert 100, b remove, b watch, b BACKUP higher_priority, a advert 0, a remove, a BACKUP group_yielded, GROUP BACKUP higher_priority
            b hear 0 from 120   -> b unwatch
            wait a.down - 1ns
            wait 1ns            -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_released, GROUP MASTER master_silent",
    },
    Row {
        what: "a better master that was heard twice was no tie",
        settings: plain,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
            a hear 150 from 120 -> a advert 100, a remove, a watch, a BACKUP higher_priority, b advert 0, b remove, b BACKUP group_yielded, GROUP BACKUP higher_priority
            wait 1s
            a hear 150 from 120 -> a watch
            b hear 150 from 120 -> b watch
            wait a.down         -> a unwatch, b unwatch, a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent",
    },
    Row {
        what: "those that fall with a member hand over, while it has nothing to serve",
        settings: overlap,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
            a link down         -> a advert 0, a remove, a FAULT link_down, b advert 0, b FAULT group_fault, GROUP FAULT link_down
            wait 600ms
            b hear 90 from 90   -> b stop answering
            wait 50ms           -> b remove",
    },
    Row {
        what: "all hand over at the end, each to its own heir",
        settings: overlap,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
            shutdown            -> a advert 0, a INIT shutdown, b advert 0, b INIT shutdown, GROUP INIT shutdown
            wait 500ms          -> a advert 0, b advert 0, a advert 0, b advert 0
            a hear 90 from 90   -> a stop answering
            b hear 90 from 90   -> b stop answering
            wait 50ms           -> a remove, b remove",
    },
    Row {
        what: "one that yields with its group serves until its own heir is heard",
        settings: overlap,
        script: "
            startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
            wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
            a hear 150 from 120 -> a advert 100, a stop answering, a watch, a BACKUP higher_priority, b advert 0, b BACKUP group_yielded, GROUP BACKUP higher_priority
            wait 20ms
            b hear 150 from 120 -> b stop answering, b watch
            wait 50ms           -> a remove, b remove",
    },
];

#[test]
fn all_rows_hold() {
    for row in ROWS {
        let mut settings = [Variant::V3Ipv4.settings(), Variant::V3Ipv4.settings()];
        (row.settings)(&mut settings);
        run(row.what, settings, row.script);
    }
}

#[test]
fn transitions_of_a_group_are_numbered_and_name_the_member_that_moved_it() {
    let mut bench = Bench::new([Variant::V3Ipv4.settings(), Variant::V3Ipv4.settings()]);
    bench.handle(&Event::Startup);
    bench.handle(&Event::Link(InstanceId(1), false));
    bench.handle(&Event::Link(InstanceId(0), false));
    bench.handle(&Event::Link(InstanceId(1), true));
    bench.handle(&Event::Link(InstanceId(0), true));
    let told: Vec<_> =
        bench.groups.iter().map(|told| (told.epoch.0, told.member.0, told.from, told.to)).collect();
    assert_eq!(
        told,
        [
            (1, 1, State::Init, State::Backup),
            (2, 1, State::Backup, State::Fault),
            (3, 0, State::Fault, State::Backup)
        ]
    );
}

fn run(what: &str, settings: [InstanceSettings; 2], script: &str) {
    let mut bench = Bench::new(settings);
    for (number, line) in (1..).zip(script.lines()) {
        let (input, expected) = line.split_once("->").unwrap_or((line, ""));
        let words: Vec<_> = input.split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        let actions = step(&mut bench, &words).join(", ");
        assert_eq!(actions, expected.trim(), "{what}, line {number}: {}", line.trim());
        assert!(bench.members().all(|member| member.state() == bench.member(0).state()), "{what}, {line}");
    }
}

struct Bench {
    router: Router,
    now: Timestamp,
    groups: Vec<GroupTransition>,
}

impl Bench {
    fn new(settings: [InstanceSettings; 2]) -> Self {
        let group = GroupSettings { name: "G".into(), members: vec![InstanceId(0), InstanceId(1)] };
        let router = Router::with_groups(settings.into(), vec![group]);
        let mut bench = Self { router, now: Timestamp::from_nanos(1_000_000_000_000), groups: Vec::new() };
        for id in [0, 1].map(InstanceId) {
            bench.handle(&Event::Link(id, true));
            bench.handle(&Event::Source(id, Some(Variant::V3Ipv4.address(100))));
        }
        bench
    }

    fn member(&self, index: usize) -> &Instance {
        &self.router.instances()[index]
    }

    fn members(&self) -> impl Iterator<Item = &Instance> {
        self.router.instances().iter()
    }

    fn handle(&mut self, event: &Event) -> Vec<String> {
        self.router.handle(event, self.now);
        self.router.handle_timeout(self.now);
        self.drain()
    }

    fn wait(&mut self, span: Duration) -> Vec<String> {
        let end = self.now + span;
        let mut actions = Vec::new();
        while let Some(due) = self.router.poll_timeout().filter(|&due| due <= end) {
            self.now = due;
            self.router.handle_timeout(due);
            actions.extend(self.drain());
        }
        self.now = end;
        actions
    }

    fn drain(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(action) = self.router.poll_action() {
            match action {
                Action::ReportGroup(_, transition) => self.groups.push(transition),
                // Each member hears of questions for itself, as without a group.
                Action::Heed(..) => continue,
                _ => {}
            }
            let member = subject(&action).and_then(|id| MEMBERS.get(id.index()));
            let prefix = member.map(|name| format!("{name} ")).unwrap_or_default();
            words.push(format!("{prefix}{}", describe(&action)));
        }
        words
    }
}

fn subject(action: &Action) -> Option<InstanceId> {
    match *action {
        Action::Advertise(id, _)
        | Action::Watch(id)
        | Action::Unwatch(id)
        | Action::AddAddresses(id, _)
        | Action::HoldAddresses(id, _)
        | Action::StopAnswering(id, _)
        | Action::RemoveAddresses(id, _)
        | Action::Announce(id, _)
        | Action::PutBack(id, ..)
        | Action::Heed(id, _)
        | Action::ReportAbandoned(id)
        | Action::Report(id, _)
        | Action::ReportPriority(id, _)
        | Action::ReportContest(id, _) => Some(id),
        Action::ReportGroup(..) => None,
    }
}

fn step(bench: &mut Bench, words: &[&str]) -> Vec<String> {
    if let [name, rest @ ..] = words
        && let Some(index) = MEMBERS.iter().position(|member| member == name)
    {
        return step_member(bench, InstanceId(u32::try_from(index).unwrap()), rest);
    }
    match *words {
        ["startup"] => bench.handle(&Event::Startup),
        ["shutdown"] => bench.handle(&Event::Shutdown),
        ["track", id, state] => bench.handle(&Event::Track(TrackId(id.parse().unwrap()), state == "up")),
        ["wait", ref terms @ ..] => bench.wait(span(bench, terms)),
        ["freeze", ref terms @ ..] => {
            bench.now = bench.now + span(bench, terms);
            bench.router.handle_timeout(bench.now);
            bench.drain()
        }
        ["is", state] => {
            assert_eq!(bench.member(0).state().as_str(), state);
            Vec::new()
        }
        ["reasons", ref wanted @ ..] => {
            let reasons: Vec<_> = bench.members().map(|member| member.reason().unwrap().as_str()).collect();
            assert_eq!(reasons, wanted);
            Vec::new()
        }
        _ => panic!("not an input: {words:?}"),
    }
}

fn step_member(bench: &mut Bench, id: InstanceId, words: &[&str]) -> Vec<String> {
    let address = |number: &str| Variant::V3Ipv4.address(number.parse().unwrap());
    let event = match *words {
        ["link", state] => Event::Link(id, state == "up"),
        ["lost", "address"] => Event::Lost(id, Loss::Address),
        ["source", "none"] => Event::Source(id, None),
        ["source", from] => Event::Source(id, Some(address(from))),
        ["seen"] => Event::Seen(id, bench.now),
        ["hear", priority, "from", from] => {
            let priority = Priority(priority.parse().unwrap());
            let stamp = bench.now;
            let (source, version, interval) = (address(from), Version::V3, Interval::SECOND);
            Event::Advert(id, Heard { source, version, priority, interval, stamp })
        }
        _ => panic!("not an input: {words:?}"),
    };
    bench.handle(&event)
}

fn span(bench: &Bench, terms: &[&str]) -> Duration {
    script::sum(terms, |term| {
        let Some((name, what)) = term.split_once('.') else { return script::constant(term) };
        let member = bench.member(MEMBERS.iter().position(|&member| member == name).unwrap());
        match what {
            "down" => member.master_down_interval(),
            "skew" => member.skew(),
            "A" => member.settings().advert_interval.duration(),
            _ => panic!("not a length: {term}"),
        }
    })
}
