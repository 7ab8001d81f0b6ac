//! A node with the instances `a`, `b` and so on under a virtual clock, driven by scripts in the form of
//! [`crate::script`]. A member's settings, inputs and actions have its name before them; settings without a name are
//! those of all. In spans, `a.down` and the like belong to that member.
//!
//! `masters`, `backups` and `faults` bring `a` and `b` to the state in which a row begins.
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

/// `a` and `b` have become masters.
const MASTERS: &str = "
    startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
    wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
    epochs 2 2";

/// `a` and `b` obey another node.
const BACKUPS: &str = "
    startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
    a hear 150 from 120 -> a watch
    b hear 150 from 120 -> b watch
    epochs 1 1";

/// The link of `b` is down.
const FAULTS: &str = "
    startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
    b link down         -> a FAULT group_fault, b FAULT link_down, GROUP FAULT link_down";

/// Runs each row with two members; panics at the first line with other actions, or with members of a group in other
/// states than the group's.
pub(super) fn run_all(rows: &'static str) {
    for (header, script) in script::rows(rows) {
        let mut members = [Variant::V3Ipv4.settings(), Variant::V3Ipv4.settings()];
        for words in script::settings_of(script, "given") {
            match *words {
                [name, ref words @ ..] if MEMBERS.contains(&name) => {
                    script::change(&mut members[named(name).index()], words);
                }
                _ => members.iter_mut().for_each(|member| script::change(member, &words)),
            }
        }
        let mut bench = Bench::new(members);
        script::perform(header, script, |words| {
            let actions = step(&mut bench, words);
            assert!(bench.are_in_step(), "{header}, {words:?}: members in other states than their group's");
            actions
        });
    }
}

pub(super) struct Bench {
    router: Router,
    now: Timestamp,
    pub(super) groups: Vec<GroupTransition>,
}

impl Bench {
    /// All instances in one group, with links and sources.
    pub(super) fn new(settings: [ElectionSettings; 2]) -> Self {
        let ids = [InstanceId(0), InstanceId(1)];
        let group = GroupSettings { name: "G".into(), members: ids.into() };
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
                ["peers", "none"] => settings.unicast = unicast(Vec::new()),
                ["peers", "one"] => {
                    settings.unicast = unicast(vec![UnicastPeer::new(Variant::V3Ipv4.address(50))]);
                }
                _ => script::change(&mut settings, what),
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
        ["masters"] => open(bench, MASTERS),
        ["backups"] => open(bench, BACKUPS),
        ["faults"] => open(bench, FAULTS),
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

fn open(bench: &mut Bench, script: &str) -> Vec<String> {
    script::perform("opening", script, |words| step(bench, words));
    Vec::new()
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
