//! A master whose host refuses its adverts, to all of its destinations or to some of several unicast peers: its Fault,
//! the trials that end it, and the other masters, which they must not disturb.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_user::protocol::{Reason, SendError, State, Unicast, UnicastPeer};

use super::{BACKUP, HEARING, MASTER, WAKE, moves, ms, pair};
use crate::world::World;
use crate::world::node::{Node, node};
use crate::world::random::Random;

/// Longest time from a repair to the end of the Fault: five trials, each a second after the one before.
const REPAIRED: Duration = Duration::from_secs(6);

/// Nodes that send to each other by unicast.
fn peers(mut nodes: Vec<Node>) -> Vec<Node> {
    let all: Vec<IpAddr> = nodes.iter().map(Node::source).collect();
    for node in &mut nodes {
        let others = all.iter().filter(|it| **it != node.source());
        let peers = others.map(|&address| UnicastPeer { address, min_ttl: 0, max_ttl: 255 }).collect();
        node.settings().unicast = Some(Unicast { peers, ttl: 255, checks_source: true });
    }
    nodes
}

/// A settled world of up to five nodes, in which some do not preempt. The first is master; only the priority of the
/// second may be 1.
fn world(seed: u64) -> World {
    let mut random = Random::new(seed);
    let interval = [1, 10, 100][usize::try_from(random.below(3)).unwrap()];
    let count = 2 + random.below(4);
    let mut nodes = vec![node(if random.permille(500) { 10 } else { 90 }, 250, interval)];
    for number in 1..count {
        let priority = if number == 1 && random.permille(200) { 1 } else { 100 + random.below(120) };
        let mut node =
            node(u8::try_from(10 + 10 * number).unwrap(), u8::try_from(priority).unwrap(), interval);
        node.settings().preempt = random.permille(500);
        nodes.push(node);
    }
    let nodes = if random.permille(800) { peers(nodes) } else { nodes };
    let world = World::settled(seed, nodes);
    assert_eq!(world.masters(), [MASTER], "seed {seed}");
    world
}

/// Refuses sends to these nodes. By multicast, to all or none.
fn refuse(world: &mut World, to: &[usize]) {
    let refused: Vec<IpAddr> = to.iter().map(|to| world.nodes[*to].source()).collect();
    let master = &mut world.nodes[MASTER];
    if master.settings().unicast.is_some() {
        master.kernel.members[0].refused = refused;
    } else {
        master.fail_sends((!to.is_empty()).then_some(SendError::Refused));
    }
}

fn some_of(world: &mut World, of: &[usize]) -> Vec<usize> {
    loop {
        let some: Vec<usize> = of.iter().copied().filter(|_| world.random.permille(500)).collect();
        if !some.is_empty() {
            return some;
        }
    }
}

fn micros(world: &mut World, below: u64) -> Duration {
    Duration::from_micros(world.random.below(below))
}

/// Refuses sends to some nodes, and runs until the master is in Fault and its heirs have settled.
fn fail(world: &mut World, seed: u64) -> Vec<usize> {
    let others: Vec<usize> = (1..world.nodes.len()).collect();
    let refused = some_of(world, &others);
    refuse(world, &refused);
    let interval = world.nodes[MASTER].settings().advert_interval.duration();
    world.run(20 * interval);
    assert_eq!(world.nodes[MASTER].state(), State::Fault, "seed {seed}");
    assert_eq!(world.masters().len(), 1, "seed {seed}");
    world.forget();
    refused
}

#[test]
fn a_refused_master_leaves_the_others_alone_until_all_of_its_adverts_leave() {
    for seed in 0..100 {
        let mut world = world(seed);
        let refused = fail(&mut world, seed);
        let other = world.masters();
        // Trials reach those for which the firewall is mended.
        for _ in 0..8 {
            let span = micros(&mut world, 6_000_000);
            world.run(span);
            let still = some_of(&mut world, &refused);
            refuse(&mut world, &still);
        }
        world.run(Duration::from_secs(5));
        assert_eq!(moves(&world), [], "seed {seed}");
        refuse(&mut world, &[]);
        let repaired = world.now;
        world.run(REPAIRED);
        let ended = world.log.iter().find(|(node, it)| *node == MASTER && it.reason == Reason::Recovered);
        assert!(ended.is_some_and(|(_, it)| it.at.since(repaired) < REPAIRED), "seed {seed}");
        world.run(Duration::from_secs(5));
        assert_eq!(world.masters(), [MASTER], "seed {seed}");
        let moved: Vec<usize> = moves(&world).iter().map(|(node, ..)| *node).collect();
        assert_eq!(moved.iter().filter(|node| **node == MASTER).count(), 2, "seed {seed}");
        assert!(moved.iter().all(|node| [MASTER, other[0]].contains(node)), "seed {seed}: {moved:?}");
        assert!(world.shared <= HEARING + WAKE, "seed {seed}: both answer for {:?}", world.shared);
    }
}

/// Its heirs among the other nodes come first, also where they do not hear the one that is refused.
#[test]
fn a_refused_master_serves_when_no_other_is_left() {
    for seed in 0..60 {
        let mut world = world(seed);
        fail(&mut world, seed);
        while let [other] = world.masters()[..]
            && other != MASTER
        {
            let span = micros(&mut world, 12_000_000);
            world.run(span);
            world.kill(other);
            world.run(Duration::from_secs(15));
            assert!(world.shared <= HEARING + WAKE, "seed {seed}: both answer for {:?}", world.shared);
            world.forget();
        }
        assert_eq!(world.masters(), [MASTER], "seed {seed}: alone");
    }
}

/// For half of the time, in parts of 0.1 s: a mastership between two of them would serve no client.
#[test]
fn sends_refused_now_and_then_seldom_move_the_master() {
    for seed in 0..4 {
        let mut world = pair(seed, 1);
        for _ in 0..6000 {
            let fails = world.random.permille(500).then_some(SendError::Refused);
            world.nodes[MASTER].fail_sends(fails);
            world.run(ms(100));
        }
        let returns = moves(&world).iter().filter(|it| it.2 == Reason::Recovered).count();
        assert!(returns <= 30, "seed {seed}: {returns} in 10 minutes");
        world.nodes[MASTER].fail_sends(None);
        world.run(REPAIRED + ms(100));
        assert_eq!(world.masters(), [MASTER], "seed {seed}");
        assert_eq!(world.nodes[BACKUP].state(), State::Backup, "seed {seed}");
    }
}
