//! Two nodes, each with one group of two members. After every input an assertion checks that a node holds the addresses
//! of all members or of none.

use std::time::Duration;

use vrrp_user::protocol::{Order, Reason, State};

use crate::world::World;
use crate::world::node::{Node, member};

const MASTER: usize = 0;
const BACKUP: usize = 1;

/// Longest transit of an advert, with the engine's wake-up.
const HEARING: Duration = Duration::from_micros(280);

/// Master_Down_Interval of priority 100 with adverts each second: three intervals and the skew.
const DOWN: Duration = Duration::from_nanos(3_609_375_000);

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Both members send every second.
fn node(address: u8, priority: u8) -> Node {
    Node::grouped(vec![member(address, priority, 100), member(address, priority, 100)])
}

fn pair(seed: u64) -> World {
    let world = World::settled(seed, vec![node(10, 150), node(20, 100)]);
    assert_eq!(world.masters(), [MASTER], "seed {seed}");
    world
}

fn moves(world: &World) -> Vec<(usize, State, Reason)> {
    world.log.iter().map(|(node, transition)| (*node, transition.to, transition.reason)).collect()
}

#[test]
fn a_failed_link_of_one_member_moves_all_and_back() {
    for seed in 0..50 {
        let mut world = pair(seed);
        let moment = Duration::from_nanos(world.random.below(3_000_000_000));
        world.run(moment);
        world.set_link(MASTER, 1, false);
        world.run(secs(10));
        let expected =
            [(MASTER, State::Fault, Reason::LinkDown), (BACKUP, State::Master, Reason::MasterSilent)];
        assert_eq!(moves(&world), expected, "seed {seed}");
        assert_eq!(world.shared, Duration::ZERO, "seed {seed}");
        assert!(world.orphaned <= DOWN + HEARING, "seed {seed}: no master for {:?}", world.orphaned);
        world.forget();
        world.set_link(MASTER, 1, true);
        world.run(secs(10));
        let expected = [
            (MASTER, State::Backup, Reason::Recovered),
            (MASTER, State::Master, Reason::Preempted),
            (BACKUP, State::Backup, Reason::HigherPriority),
        ];
        assert_eq!(moves(&world), expected, "seed {seed}");
        assert!(world.shared <= HEARING, "seed {seed}: both for {:?}", world.shared);
        assert_eq!(world.orphaned, Duration::ZERO, "seed {seed}");
    }
}

/// The heirs wait for the member whose link has failed, which is longer than the other's adverts entitle it to serve.
#[test]
fn a_member_beside_a_failed_link_answers_until_the_heirs_are_there() {
    for seed in 0..50 {
        let mut nodes = vec![node(10, 150), node(20, 100)];
        for member in nodes.iter_mut().flat_map(|node| &mut node.kernel.members) {
            member.settings.handover = Order::Overlap;
        }
        let mut world = World::settled(seed, nodes);
        let moment = Duration::from_nanos(world.random.below(3_000_000_000));
        world.run(moment);
        world.set_link(MASTER, 1, false);
        let failed = world.now;
        while world.masters() != [BACKUP] {
            let until = world.nodes[MASTER].kernel.answers_until();
            assert!(until > Some(world.now), "seed {seed}: {:?} after the failure", world.now.since(failed));
            assert!(world.now.since(failed) < secs(10), "seed {seed}: no heir");
            world.run(Duration::from_millis(5));
        }
        world.run(secs(1));
        assert_eq!(world.nodes[MASTER].kernel.answers_until(), None, "seed {seed}");
    }
}

#[test]
fn late_adverts_of_one_member_cause_no_takeover() {
    for seed in 0..50 {
        let mut world = pair(seed);
        let late = if world.random.below(2) == 0 { 0 } else { 1 };
        world.latency[late] = Duration::ZERO..secs(8);
        world.run(secs(300));
        assert_eq!(moves(&world), [], "seed {seed}");
    }
}

/// One member was ready before the sleep, and the reload that was kept meanwhile leaves it alone. Its master has been
/// there all the time.
#[test]
fn a_reload_kept_over_a_sleep_makes_no_takeover() {
    for seed in 0..50 {
        let mut world = pair(seed);
        world.loss[0] = 1000;
        world.run(secs(10));
        world.begin_restart(BACKUP);
        world.reload(BACKUP, &[true, false]);
        world.sleep(BACKUP, secs(20));
        world.loss[0] = 0;
        world.run(secs(20));
        world.end_restart(BACKUP, false);
        world.run(secs(20));
        assert_eq!(moves(&world), [], "seed {seed}");
    }
}

#[test]
fn total_loss_on_one_lan_causes_no_takeover_until_the_master_leaves() {
    for seed in 0..50 {
        let mut world = pair(seed);
        world.loss[0] = 1000;
        world.run(secs(60));
        assert_eq!(moves(&world), [], "seed {seed}");
        world.stop(MASTER);
        world.run(secs(10));
        let expected =
            [(MASTER, State::Init, Reason::Shutdown), (BACKUP, State::Master, Reason::MasterReleased)];
        assert_eq!(moves(&world), expected, "seed {seed}");
    }
}

/// One member has lost its master for a while, and the events by which it would hear it again are lost too: its record
/// shows it when the other member's master falls silent.
#[test]
fn lost_ring_entries_of_a_member_cause_no_takeover_when_the_other_one_is_silent() {
    for seed in 0..50 {
        let mut world = pair(seed);
        let silent = if world.random.below(2) == 0 { 0 } else { 1 };
        world.loss[silent] = 1000;
        world.run(secs(10));
        world.nodes[BACKUP].ring_loss = 1000;
        world.loss[silent] = 0;
        let moment = Duration::from_nanos(1_500_000_000 + world.random.below(3_000_000_000));
        world.run(moment);
        world.loss[1 - silent] = 1000;
        world.run(secs(10));
        assert_eq!(moves(&world), [], "seed {seed}");
    }
}

/// Adverts on two LANs are rarely lost at the same time, so loss moves a group less often than an instance.
#[test]
fn loss_on_both_lans_moves_a_group_less_than_it_moves_an_instance() {
    let takeovers = |members: usize| {
        let mut count = 0;
        for seed in 0..30 {
            let node = |address, priority| {
                Node::grouped((0..members).map(|_| member(address, priority, 100)).collect())
            };
            let mut world = World::settled(seed, vec![node(10, 150), node(20, 100)]);
            world.loss.fill(300);
            world.run(secs(120));
            count +=
                world.log.iter().filter(|(node, moved)| (*node, moved.to) == (BACKUP, State::Master)).count();
            world.loss.fill(0);
            world.run(secs(10));
            world.forget();
            world.run(secs(30));
            assert_eq!(world.masters(), [MASTER], "seed {seed}");
            assert_eq!(moves(&world), [], "seed {seed}");
        }
        count
    };
    let (alone, together) = (takeovers(1), takeovers(2));
    assert!(alone >= 20 && together * 5 <= alone, "{alone} of an instance, {together} of a group");
}

#[test]
fn a_stopped_master_is_followed_by_all_members_within_skew() {
    for seed in 0..50 {
        let mut world = pair(seed);
        world.stop(MASTER);
        world.run(secs(5));
        let expected =
            [(MASTER, State::Init, Reason::Shutdown), (BACKUP, State::Master, Reason::MasterReleased)];
        assert_eq!(moves(&world), expected, "seed {seed}");
        let skew = DOWN - secs(3);
        assert!(world.orphaned <= skew + 2 * HEARING, "seed {seed}: {:?}", world.orphaned);
    }
}

/// Both nodes are reloaded one after the other, in either order, with a third member and then without it.
#[test]
fn members_that_join_and_leave_cause_no_takeover() {
    for seed in 0..50 {
        let node = |address, priority| {
            let mut members: Vec<_> = (0..3).map(|_| member(address, priority, 100)).collect();
            members[2].present = false;
            Node::grouped(members)
        };
        let mut world = World::settled(seed, vec![node(10, 150), node(20, 100)]);
        for round in 0..10 {
            let present = [true, true, world.random.below(3) > 0];
            let first = usize::from(world.random.below(2) == 0);
            for node in [first, 1 - first] {
                let moment = Duration::from_nanos(world.random.below(5_000_000_000));
                world.run(moment);
                world.reload(node, &present);
            }
            assert_eq!(moves(&world), [], "seed {seed}, round {round}");
            assert_eq!(world.masters(), [MASTER], "seed {seed}, round {round}");
        }
        world.run(secs(10));
        assert_eq!(moves(&world), [], "seed {seed}");
        let epochs = world
            .nodes
            .iter()
            .map(|node| node.instances().iter().take(2).map(|member| member.epoch().0).collect::<Vec<_>>());
        assert_eq!(epochs.collect::<Vec<_>>(), [[2, 2], [1, 1]], "seed {seed}");
        world.stop(MASTER);
        world.run(secs(5));
        assert_eq!(world.masters(), [BACKUP], "seed {seed}");
    }
}

/// Each node has lost the link of a different member: neither can serve all, so none does until a link is back.
#[test]
fn crossed_failures_leave_no_master_until_one_is_repaired() {
    for seed in 0..50 {
        let mut world = pair(seed);
        world.set_link(BACKUP, 0, false);
        world.run(secs(5));
        assert_eq!(moves(&world), [(BACKUP, State::Fault, Reason::LinkDown)], "seed {seed}");
        world.set_link(MASTER, 1, false);
        world.run(secs(30));
        assert_eq!(world.masters(), [] as [usize; 0], "seed {seed}");
        world.forget();
        world.set_link(BACKUP, 0, true);
        world.run(secs(5));
        let expected =
            [(BACKUP, State::Backup, Reason::Recovered), (BACKUP, State::Master, Reason::MasterSilent)];
        assert_eq!(moves(&world), expected, "seed {seed}");
        world.set_link(MASTER, 1, true);
        world.run(secs(10));
        assert_eq!(world.masters(), [MASTER], "seed {seed}");
        assert!(world.shared <= HEARING, "seed {seed}: both for {:?}", world.shared);
    }
}

/// Started together, with each node better for one member: by priority, or by address alone.
#[test]
fn a_tie_is_settled_by_the_first_member() {
    let node = |[first, second]: [(u8, u8); 2]| {
        Node::grouped([first, second].map(|(address, priority)| member(address, priority, 100)).into())
    };
    for seed in 0..200 {
        let nodes = if seed % 2 == 0 {
            [[(10, 200), (10, 100)], [(20, 100), (20, 200)]]
        } else {
            [[(20, 100), (10, 100)], [(10, 100), (20, 100)]]
        };
        let nodes = nodes.map(node).into();
        let mut world = World::new(seed, nodes);
        world.start(0);
        world.start(1);
        world.run(secs(20));
        assert_eq!(world.masters().len(), 1, "seed {seed}");
        let count = world.log.iter().filter(|(_, moved)| moved.to == State::Master).count();
        assert!(count <= 3, "seed {seed}: {:?}", moves(&world));
        assert!(world.shared <= 2 * HEARING, "seed {seed}: both for {:?}", world.shared);
    }
}

/// Members whose intervals differ by a factor of 100, each node better for another one, started together: whichever
/// member ends the tie, one node is master of both for good.
#[test]
fn members_of_different_intervals_end_a_tie() {
    for seed in 0..24 {
        let intervals = if seed % 2 == 0 { [1, 100] } else { [100, 1] };
        let of = |address, priorities: [u8; 2]| {
            let members = priorities.into_iter().zip(intervals);
            Node::grouped(members.map(|(priority, interval)| member(address, priority, interval)).collect())
        };
        let pairs = [([200, 100], [100, 200]), ([150, 100], [101, 200]), ([250, 1], [1, 250])];
        let (one, other) = pairs[usize::try_from(seed).unwrap() / 2 % pairs.len()];
        let mut world = World::new(seed, vec![of(10, one), of(20, other)]);
        world.start(0);
        let apart = Duration::from_nanos(world.random.below(2_000_000_000));
        world.run(apart);
        world.start(1);
        world.run(secs(30));
        world.forget();
        world.run(secs(60));
        assert_eq!(world.masters().len(), 1, "seed {seed}: {:?}", moves(&world));
        assert_eq!(moves(&world), [], "seed {seed}");
    }
}
