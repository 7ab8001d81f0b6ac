//! A node with the instances `a`, `b` and so on under a virtual clock, driven by scripts in the form of
//! [`crate::script`]. A member's inputs and actions have its name before them. In spans, `a.down` and the like belong
//! to that member.
//!
//! `reload` applies another configuration, item by item: `remove a`, `add c` (which `c joins` when its link and source
//! are known), `set a priority 150`, `set a peers none|one`, and `group NAME a b` for each group of the new
//! configuration.

use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{
    Action, ElectionSettings, Event, GroupSettings, GroupTransition, Instance, InstanceId, Interval, Loss,
    PeerAdvert, Priority, Router, TrackId, Unicast, UnicastPeer, Version,
};

use crate::script;
use crate::setup::{Variant, describe};

const MEMBERS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Runs the script; panics at the first line with other actions, or with members of a group in other states than the
/// group's.
pub(super) fn run<const COUNT: usize>(what: &str, settings: [ElectionSettings; COUNT], script: &str) {
    let mut bench = Bench::new(settings);
    for (number, line) in (1..).zip(script.lines()) {
        let (input, expected) = line.split_once("->").unwrap_or((line, ""));
        let words: Vec<_> = input.split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        let actions = step(&mut bench, &words).join(", ");
        assert_eq!(actions, expected.trim(), "{what}, line {number}: {}", line.trim());
        assert!(bench.are_in_step(), "{what}, line {number}: {}", line.trim());
    }
}

pub(super) struct Bench {
    router: Router,
    now: Timestamp,
    pub(super) groups: Vec<GroupTransition>,
}

impl Bench {
    /// All instances in one group, with links and sources.
    pub(super) fn new<const COUNT: usize>(settings: [ElectionSettings; COUNT]) -> Self {
        let ids: Vec<InstanceId> = (0..).map(InstanceId).take(COUNT).collect();
        let group = GroupSettings { name: "G".into(), members: ids.clone() };
        let router = Router::with_groups(settings.into(), vec![group]);
        let mut bench = Self { router, now: Timestamp::from_nanos(1_000_000_000_000), groups: Vec::new() };
        for id in ids {
            bench.connect(id);
        }
        bench
    }

    fn connect(&mut self, id: InstanceId) -> Vec<String> {
        let mut actions = self.handle(&Event::Link(id, true));
        actions.extend(self.handle(&Event::Source(id, Some(Variant::V3Ipv4.address(100)))));
        actions
    }

    /// Whether each member is in the state of its group, unless it has not joined yet.
    fn are_in_step(&self) -> bool {
        self.router.instances().iter().all(|member| {
            let group = member.group().and_then(|group| self.router.group(group));
            group.is_none_or(|group| {
                member.reason().is_none() || member.is_apart() || member.state() == group.state()
            })
        })
    }

    /// Applies another configuration, as the engine does.
    pub(super) fn reload(&mut self, items: &str) -> Vec<String> {
        let items: Vec<Vec<&str>> = items.split(',').map(|item| item.split_whitespace().collect()).collect();
        let mut groups = Vec::new();
        for item in &items {
            match **item {
                ["remove", name] => self.router.remove(named(name), self.now),
                ["add", name] => {
                    self.router.configure(named(name), Variant::V3Ipv4.settings(), false, &[], self.now);
                }
                ["group", name, ref members @ ..] => {
                    let members = members.iter().map(|name| named(name)).collect();
                    groups.push(GroupSettings { name: name.into(), members });
                }
                _ => {}
            }
        }
        self.router.regroup(groups);
        for item in &items {
            let ["set", name, ref what @ ..] = **item else { continue };
            let mut settings = self.member(named(name).index()).settings().clone();
            let unicast = |peers| Some(Unicast { peers, ttl: 255, checks_source: false });
            match *what {
                ["priority", priority] => settings.priority = Priority(priority.parse().unwrap()),
                ["peers", "none"] => settings.unicast = unicast(Vec::new()),
                ["peers", "one"] => {
                    settings.unicast = unicast(vec![UnicastPeer::new(Variant::V3Ipv4.address(50))]);
                }
                _ => panic!("not a setting: {what:?}"),
            }
            self.router.configure(named(name), settings, false, &[], self.now);
        }
        self.router.agree(self.now);
        self.router.handle_timeout(self.now);
        self.drain()
    }

    fn member(&self, index: usize) -> &Instance {
        &self.router.instances()[index]
    }

    pub(super) fn handle(&mut self, event: &Event) -> Vec<String> {
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
                // Requests wake each member separately, as without a group.
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

fn named(name: &str) -> InstanceId {
    let index = MEMBERS.iter().position(|member| *member == name).unwrap();
    InstanceId(u32::try_from(index).unwrap())
}

fn subject(action: &Action) -> Option<InstanceId> {
    match *action {
        Action::Advertise(id, _)
        | Action::TrySending(id, _)
        | Action::Watch(id)
        | Action::Unwatch(id)
        | Action::AddAddresses(id, _)
        | Action::HoldAddresses(id, _)
        | Action::ProlongLease(id, _)
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
        && MEMBERS.contains(name)
    {
        return step_member(bench, named(name), rest);
    }
    match *words {
        ["startup"] => bench.handle(&Event::Startup),
        ["reload", ..] => bench.reload(words[1..].join(" ").as_str()),
        ["steer", ref order @ ..] => {
            let ids: Vec<InstanceId> = bench.router.instances().iter().map(Instance::id).collect();
            bench.handle(&script::steer(&ids, order))
        }
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
        ["epochs", ref wanted @ ..] => {
            let epochs: Vec<String> =
                bench.router.instances().iter().map(|member| member.epoch().0.to_string()).collect();
            assert_eq!(epochs, wanted);
            Vec::new()
        }
        ["reasons", ref wanted @ ..] => {
            let reasons: Vec<_> =
                bench.router.instances().iter().map(|member| member.reason().unwrap().as_str()).collect();
            assert_eq!(reasons, wanted);
            Vec::new()
        }
        _ => panic!("not an input: {words:?}"),
    }
}

fn step_member(bench: &mut Bench, id: InstanceId, words: &[&str]) -> Vec<String> {
    let address = |number: &str| Variant::V3Ipv4.address(number.parse().unwrap());
    let event = match *words {
        ["joins"] => {
            let mut actions = bench.connect(id);
            actions.extend(bench.handle(&Event::Startup));
            return actions;
        }
        ["link", state] => Event::Link(id, state == "up"),
        ["lost", "address"] => Event::Lost(id, Loss::Address, Box::new([address("200")])),
        ["source", "none"] => Event::Source(id, None),
        ["source", from] => Event::Source(id, Some(address(from))),
        ["seen"] => Event::Seen(id, bench.now),
        ["hear", priority, "from", from] => {
            let priority = Priority(priority.parse().unwrap());
            let stamp = bench.now;
            let (source, version, interval) = (address(from), Version::V3, Interval::SECOND);
            Event::Advert(id, PeerAdvert { source, version, priority, interval, stamp })
        }
        _ => panic!("not an input: {words:?}"),
    };
    bench.handle(&event)
}

fn span(bench: &Bench, terms: &[&str]) -> Duration {
    script::sum(terms, |term| {
        let Some((name, what)) = term.split_once('.') else { return script::constant(term) };
        let member = bench.member(named(name).index());
        match what {
            "down" => member.master_down_interval(),
            "skew" => member.skew(),
            "A" => member.settings().advert_interval.duration(),
            _ => panic!("not a length: {term}"),
        }
    })
}
