//! Invariants of any sequence of events.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{
    Action, ElectionSettings, Epoch, Event, Group, GroupId, GroupSettings, Handover, Instance, InstanceId,
    Interval, Loss, Order, PeerAdvert, Priority, Router, State, Steering, SteeringOrder, Timer, TrackId,
    Version,
};

use super::setup::{Variant, tracked};

#[derive(Clone, Debug)]
enum Input {
    Event(Event),
    Timeout,
    /// An advert stamped that many µs before its handling.
    Advert {
        id: u32,
        from: u8,
        priority: u8,
        interval: u16,
        age: u64,
    },
    Seen {
        id: u32,
        age: u64,
    },
    Reload(Reload),
}

/// Another configuration.
#[derive(Clone, Debug)]
struct Reload {
    /// Priority of each instance; `None` if it is not configured.
    priorities: [Option<u8>; 3],
    /// Group of each instance, 0 or 1; any other number means no group.
    groups: [usize; 3],
    /// Names of the groups, which a reload may change or exchange.
    names: [&'static str; 2],
    /// New instances take part, with their links unchanged.
    starts: bool,
}

fn reload() -> impl Strategy<Value = Input> {
    let priority = prop_oneof![1 => Just(None), 4 => prop_oneof![Just(255), 90..110_u8].prop_map(Some)];
    let names = prop::sample::select(&[["G", "H"], ["H", "G"], ["I", "G"], ["G", "J"]][..]);
    let priorities = [priority.clone(), priority.clone(), priority];
    let groups = [0..3_usize, 0..3, 0..3];
    (priorities, groups, names, any::<bool>()).prop_map(|(priorities, groups, names, starts)| {
        Input::Reload(Reload { priorities, groups, names, starts })
    })
}

fn input() -> impl Strategy<Value = Input> {
    // One instance more than exist.
    let id = 0..4_u32;
    prop_oneof![
        4 => Just(Input::Timeout),
        4 => (id.clone(), 98..103_u8, prop_oneof![Just(0), Just(255), 90..110_u8], 1..300_u16, 0..5_000_u64)
            .prop_map(|(id, from, priority, interval, age)| Input::Advert { id, from, priority, interval, age }),
        2 => (id.clone(), 0..2_000_000_u64).prop_map(|(id, age)| Input::Seen { id, age }),
        1 => (id.clone(), any::<bool>()).prop_map(|(id, up)| Input::Event(Event::Link(InstanceId(id), up))),
        1 => (id, any::<bool>()).prop_map(|(id, there)| {
            Input::Event(Event::Source(InstanceId(id), there.then(|| Variant::V3Ipv4.address(100))))
        }),
        1 => (0..3_u32, any::<bool>()).prop_map(|(id, up)| Input::Event(Event::Track(TrackId(id), up))),
        1 => (0..4_u32, prop::sample::select(&[Loss::Address, Loss::Path, Loss::Flushed][..])).prop_map(|(id, loss)| {
            Input::Event(Event::Lost(InstanceId(id), loss, Box::new([[192, 0, 2, 100].into()])))
        }),
        1 => (0..4_u32, any::<bool>(), any::<bool>(), prop::option::of(1..=255_u8), any::<bool>()).prop_map(
            |(id, maintenance, steps_back, priority, hands_over)| {
                let steering = Steering { maintenance, steps_back, priority: priority.map(Priority) };
                let order = SteeringOrder { instance: InstanceId(id), steering, hands_over };
                Input::Event(Event::Steer(Box::new([order])))
            }
        ),
        1 => (0..4_u32, any::<bool>()).prop_map(|(id, sends)| {
            let id = InstanceId(id);
            Input::Event(if sends { Event::SendsAgain(id) } else { Event::Refused(id) })
        }),
        1 => Just(Input::Event(Event::Startup)),
        1 => prop_oneof![9 => Just(Input::Timeout), 1 => Just(Input::Event(Event::Shutdown))],
    ]
}

/// Time to the next input in µs: none, short, an interval, long.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..5_000_u64, 0..1_500_000_u64, 0..60_000_000_u64]
}

fn settings() -> Vec<ElectionSettings> {
    let mut plain = Variant::V3Ipv4.settings();
    plain.tracks = vec![tracked(0, -20), tracked(1, 0)];
    plain.announce.repeat = 5;
    plain.announce.lower_prio_repeat = 5;
    plain.announce.delay = Duration::from_secs(5);
    plain.announce.refresh = Duration::from_secs(1);
    plain.handover = Order::Overlap;
    let mut patient = Variant::V3Ipv6.settings();
    patient.preempt_delay = Duration::from_secs(3);
    patient.advert_interval = Interval::from_wire(1, Version::V3).unwrap();
    patient.tracks = vec![tracked(0, 30)];
    let mut owner = Variant::V2.settings();
    owner.priority = Priority::OWNER;
    owner.preempt = false;
    owner.handover = Order::Overlap;
    owner.tracks = vec![tracked(2, 0)];
    owner.tracks[0].initial = None;
    vec![plain, patient, owner]
}

/// Actions of an instance at one event, and at a reload, which changes its settings, its group and its state.
const ACTIONS_OF_AN_EVENT: usize = 6;
const ACTIONS_OF_A_RELOAD: usize = 10;

/// Effects of the actions so far, which later actions must not contradict.
#[derive(Default)]
struct Account {
    states: HashMap<InstanceId, (State, Epoch)>,
    has_addresses: HashMap<InstanceId, bool>,
    watches: HashMap<InstanceId, bool>,
    groups: HashMap<GroupId, (State, Epoch)>,
    /// Highest epoch of each name so far.
    epochs: HashMap<Arc<str>, Epoch>,
}

impl Account {
    fn take(&mut self, router: &mut Router, most: usize) -> Result<(), TestCaseError> {
        let mut per_instance: HashMap<InstanceId, usize> = HashMap::new();
        let mut adverts: HashMap<InstanceId, usize> = HashMap::new();
        while let Some(action) = router.poll_action() {
            let id = match action {
                Action::Advertise(id, _) => {
                    *adverts.entry(id).or_default() += 1;
                    id
                }
                Action::Watch(id) => {
                    self.watches.insert(id, true);
                    id
                }
                Action::Unwatch(id) => {
                    prop_assert_eq!(self.watches.insert(id, false), Some(true));
                    id
                }
                Action::AddAddresses(id, _) | Action::HoldAddresses(id, _) => {
                    // They may belong to a mastership whose heir did not appear.
                    self.has_addresses.insert(id, true);
                    id
                }
                Action::StopAnswering(id, _) | Action::ProlongLease(id, _) => {
                    prop_assert_eq!(self.has_addresses.get(&id), Some(&true));
                    id
                }
                Action::RemoveAddresses(id, _) => {
                    prop_assert_eq!(self.has_addresses.insert(id, false), Some(true));
                    id
                }
                Action::Announce(id, announcement) => {
                    prop_assert_eq!(self.has_addresses.get(&id), Some(&true));
                    prop_assert!(announcement.repeat > 0);
                    prop_assert_eq!(Some(announcement.epoch), router.instance(id).map(|i| i.epoch()));
                    id
                }
                Action::Report(id, transition) => {
                    let (state, epoch) = self.states.get(&id).copied().unwrap_or_default();
                    prop_assert_eq!(transition.from, state);
                    prop_assert!(transition.epoch > epoch);
                    self.states.insert(id, (transition.to, transition.epoch));
                    id
                }
                Action::PutBack(id, epoch, _) => {
                    prop_assert_eq!(self.has_addresses.get(&id), Some(&true));
                    prop_assert_eq!(Some(epoch), router.instance(id).map(|i| i.epoch()));
                    id
                }
                Action::ReportPriority(id, _) | Action::ReportContest(id, _) => id,
                Action::ReportAbandoned(id) | Action::Heed(id, _) | Action::TrySending(id, _) => id,
                Action::ReportGroup(id, transition) => {
                    let (state, epoch) = self.groups.get(&id).copied().unwrap_or_default();
                    prop_assert_eq!(state, transition.from);
                    prop_assert!(transition.epoch > epoch);
                    prop_assert_eq!(router.group(id).map(Group::state), Some(transition.to));
                    self.groups.insert(id, (transition.to, transition.epoch));
                    let name = router.group(id).map(|group| Arc::clone(&group.settings().name)).unwrap();
                    let before = self.epochs.insert(name, transition.epoch).unwrap_or_default();
                    prop_assert!(transition.epoch > before);
                    continue;
                }
            };
            *per_instance.entry(id).or_default() += 1;
        }
        prop_assert!(per_instance.values().all(|&count| count <= most), "a storm: {:?}", per_instance);
        prop_assert!(adverts.values().all(|&count| count <= 2), "too many adverts: {:?}", adverts);
        Ok(())
    }

    fn enter(&mut self, router: &mut Router, most: usize) -> Result<(), TestCaseError> {
        self.take(router, most)?;
        self.agree(router)?;
        for instance in router.instances() {
            let id = instance.id();
            let is_master = instance.state() == State::Master;
            prop_assert_eq!(self.states.get(&id).copied().unwrap_or_default().0, instance.state());
            let holds = is_master || instance.handover() != Handover::Idle;
            prop_assert!(!is_master || instance.handover() == Handover::Idle);
            prop_assert_eq!(self.has_addresses.get(&id).copied().unwrap_or_default(), holds);
            prop_assert_eq!(self.watches.get(&id).copied().unwrap_or_default(), instance.watches());
            prop_assert!(!instance.watches() || instance.state() == State::Backup);
            let is_limited = instance.deadline(Timer::Handover).is_some();
            prop_assert_eq!(is_limited, instance.handover() != Handover::Idle);
            for timer in Timer::ALL.into_iter().filter(|timer| *timer != Timer::Handover) {
                let home = match timer {
                    Timer::MasterDown | Timer::Suspect | Timer::PreemptDelay => State::Backup,
                    _ => State::Master,
                };
                prop_assert!(instance.deadline(timer).is_none() || instance.state() == home, "{:?}", timer);
            }
        }
        Ok(())
    }
}

impl Account {
    /// Applies another configuration, as the engine does. Instances that are in the state of all in their group, before
    /// and after, notice nothing.
    fn reload(&mut self, router: &mut Router, reload: &Reload, now: Timestamp) -> Result<(), TestCaseError> {
        let is_there =
            |router: &Router, id: InstanceId| router.instance(id).is_some_and(|it| !it.is_removed());
        let ids = || (0..).map(InstanceId).zip(&reload.priorities);
        for (id, _) in ids().filter(|(_, priority)| priority.is_none()) {
            if is_there(router, id) {
                router.remove(id, now);
                self.take(router, ACTIONS_OF_AN_EVENT)?;
            }
        }
        let configured = |(id, priority): (InstanceId, &Option<u8>)| {
            Some((
                id,
                ElectionSettings { priority: Priority((*priority)?), ..settings()[id.index()].clone() },
            ))
        };
        let (known, new): (Vec<_>, Vec<_>) =
            ids().filter_map(configured).partition(|(id, _)| is_there(router, *id));
        for (id, settings) in new.iter().cloned() {
            router.configure(id, settings, false, &[], now);
        }
        let member_of = |number: usize| {
            let all = reload.groups.iter().zip(ids());
            all.filter(move |(group, (_, priority))| **group == number && priority.is_some())
                .map(|(_, (id, _))| id)
        };
        let groups = reload.names.iter().zip(0..).map(|(name, number)| GroupSettings {
            name: (*name).into(),
            members: member_of(number).collect(),
        });
        let groups: Vec<GroupSettings> = groups.filter(|group| !group.members.is_empty()).collect();
        let before = std::mem::take(&mut self.groups);
        for (old, id) in router.regroup(groups).into_iter().zip((0..).map(GroupId)) {
            self.groups.extend(old.and_then(|old| before.get(&old)).map(|reported| (id, *reported)));
        }
        for (id, settings) in known {
            router.configure(id, settings, false, &[], now);
        }
        router.agree(now);
        router.renew(now);
        self.enter(router, ACTIONS_OF_A_RELOAD)?;
        if reload.starts {
            router.handle(&Event::Startup, now);
        }
        self.enter(router, ACTIONS_OF_AN_EVENT)
    }

    /// Members that are not apart are in the state of their group, and ready ones are in a group with others that are
    /// not ready.
    fn agree(&self, router: &Router) -> Result<(), TestCaseError> {
        for group in (0..).map(GroupId).map_while(|id| router.group(id)) {
            let has_joined = |member: &&Instance| {
                !member.is_apart() && (group.state() == State::Init || member.reason().is_some())
            };
            let members = || {
                let members = router.instances().iter().filter(|it| it.group() == Some(group.id()));
                members.filter(has_joined)
            };
            let reported = self.groups.get(&group.id()).copied().unwrap_or_default();
            prop_assert_eq!(reported.0, group.state());
            prop_assert!(members().all(|member| member.state() == group.state()));
            prop_assert!(members().count() == 0 || members().any(|member| !member.is_ready()));
        }
        for instance in router.instances() {
            let listed = router.ready_with(instance.id(), instance.id()) == Some(instance.id());
            prop_assert_eq!(listed, instance.is_ready());
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_account_always_balances(inputs in prop::collection::vec((pause(), input()), 1..150)) {
        balances(Router::new(settings()), inputs)?;
    }

    #[test]
    fn the_account_balances_over_reloads(
        inputs in prop::collection::vec((pause(), prop_oneof![8 => input(), 1 => reload()]), 1..150),
    ) {
        let members = vec![InstanceId(0), InstanceId(1)];
        let group = GroupSettings { name: "G".into(), members };
        balances(Router::with_groups(settings(), vec![group]), inputs)?;
    }

    #[test]
    fn the_account_balances_in_groups(
        inputs in prop::collection::vec((pause(), input()), 1..150),
        members in prop::sample::subsequence(vec![0, 1, 2], 2..=3),
    ) {
        let members = members.into_iter().map(InstanceId).collect();
        let group = GroupSettings { name: "G".into(), members };
        balances(Router::with_groups(settings(), vec![group]), inputs)?;
    }
}

fn balances(mut router: Router, inputs: Vec<(u64, Input)>) -> Result<(), TestCaseError> {
    let mut account = Account::default();
    let mut now = Timestamp::from_nanos(3_600_000_000_000);
    for index in 0..3 {
        let id = InstanceId(index);
        let source = settings()[index as usize].family;
        let address = if source == vrrp_ebpf::wire::Family::V6 { Variant::V3Ipv6 } else { Variant::V3Ipv4 };
        router.handle(&Event::Link(id, true), now);
        router.handle(&Event::Source(id, Some(address.address(100))), now);
    }
    let mut is_shut_down = false;
    for (pause, input) in inputs {
        now = now + Duration::from_micros(pause);
        match input {
            Input::Event(event) => {
                is_shut_down |= event == Event::Shutdown;
                router.handle(&event, now);
            }
            Input::Timeout => router.handle_timeout(now),
            Input::Advert { id, from, priority, interval, age } => {
                let heard = PeerAdvert {
                    source: Variant::V3Ipv4.address(from),
                    version: Version::V3,
                    priority: Priority(priority),
                    interval: Interval::from_wire(interval, Version::V3).unwrap(),
                    stamp: now - Duration::from_micros(age),
                };
                router.handle(&Event::Advert(InstanceId(id), heard), now);
            }
            // A daemon that ends takes no reload any more.
            Input::Reload(_) if is_shut_down => {}
            Input::Reload(reload) => {
                account.reload(&mut router, &reload, now)?;
            }
            Input::Seen { id, age } => {
                router.handle(&Event::Seen(InstanceId(id), now - Duration::from_micros(age)), now);
            }
        }
        account.enter(&mut router, ACTIONS_OF_AN_EVENT)?;
        router.handle_timeout(now);
        prop_assert!(router.poll_timeout().is_none_or(|due| due > now), "a timer stays in the past");
        account.enter(&mut router, ACTIONS_OF_AN_EVENT)?;
        router.handle_timeout(now);
        prop_assert_eq!(router.poll_action(), None, "a second call had an effect");
        let due = router.poll_timeout();
        let earliest = router
            .instances()
            .iter()
            .flat_map(|instance| Timer::ALL.map(|timer| instance.deadline(timer)))
            .flatten()
            .min();
        prop_assert_eq!(due, earliest);
        let silent = due.and_then(|due| router.silent_from(InstanceId(0), due));
        prop_assert!(silent.is_none_or(|id| router.instance(id).is_some_and(|i| i.state() == State::Backup)));
    }
    Ok(())
}
