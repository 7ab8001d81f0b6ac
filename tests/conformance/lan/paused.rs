//! A node paused by its hypervisor: its clock stops too, so it returns with its state unchanged.

use std::time::Duration;

use vrrp_user::protocol::State;

use super::{MASTER, ms};
use crate::world::World;
use crate::world::node::{Node, node};

const PERIOD: Duration = Duration::from_millis(2);

/// A settled world with the first node as master, and with the product's announcements.
fn world(seed: u64, mut nodes: Vec<Node>) -> World {
    for node in &mut nodes {
        node.settings().announce.lower_prio_repeat = 1;
    }
    let mut world = World::new(seed, nodes);
    for node in 0..world.nodes.len() {
        world.start(node);
        world.run(Duration::from_secs(5));
    }
    assert_eq!(world.masters(), [MASTER], "seed {seed}");
    // A resumed machine has much to do.
    world.wake = Duration::from_micros(5)..ms(3);
    let moment = Duration::from_nanos(world.random.below(1_000_000_000));
    world.run(moment);
    world
}

/// The paused node has the higher priority, or the lower one of two with `nopreempt`, at 100 ms and 1 s. All frames
/// wait for it, or none of its heir's. Also with a third node, which has noticed nothing.
fn scenes(seed: u64) -> Vec<(&'static str, World)> {
    let mut scenes = Vec::new();
    for interval in [10, 100] {
        for queue in [1_000_000, 0] {
            for (what, priorities) in
                [("better", vec![150, 100]), ("worse", vec![100, 150]), ("of three", vec![150, 120, 100])]
            {
                let of = |(number, &priority): (u8, &u8)| node(10 * number, priority, interval);
                let mut nodes: Vec<Node> = (1..).zip(&priorities).map(of).collect();
                for node in nodes.iter_mut().filter(|_| what == "worse") {
                    node.settings().preempt = false;
                }
                let mut world = world(seed, nodes);
                world.queue = queue;
                scenes.push((what, world));
            }
        }
    }
    scenes
}

#[test]
fn a_paused_master_answers_one_request_beside_its_heir_on_return() {
    for seed in 0..20 {
        for (what, mut world) in scenes(seed) {
            let interval = world.nodes[0].settings().advert_interval;
            let span = 4 * interval.duration() + Duration::from_nanos(world.random.below(6_000_000_000));
            world.pause(MASTER, span);
            world.run(span - ms(30));
            world.ask(PERIOD);
            world.run(ms(30));
            let (asked, heir) = (world.answered.len(), world.masters());
            assert!(heir.len() == 2, "seed {seed}, {what}: {heir:?}");
            world.run(ms(500));
            let masters = world.masters();
            assert_eq!(masters.len(), 1, "seed {seed}, {what}");
            if what == "worse" {
                // Requests sent since the heir's first advert are queued behind it, and the heir answers them. The last
                // request may have been in transit at the return.
                let waited = &world.answered[..asked - 1];
                assert!(waited.iter().all(|by| *by == 1), "seed {seed}: late answers: {waited:?}");
            }
            let twice = world.answered[asked..].iter().filter(|by| **by > 1).count();
            // The returned node answers one request before it receives the heir's advert that the request causes, and
            // any request in transit meanwhile. Before that, the heir must have been silent for 20 ms.
            let limit = 1 + ms(20).as_nanos() / PERIOD.as_nanos();
            assert!(twice as u128 <= limit, "seed {seed}, {what}: {twice} requests");
            world.run(Duration::from_secs(2));
            assert_eq!(world.masters(), masters, "seed {seed}, {what}");
            assert_eq!(world.believed, Some(masters[0]), "seed {seed}, {what}: clients");
        }
    }
}

/// A client that sends no further request learns only from announcements.
#[test]
fn each_client_with_the_wrong_node_in_its_cache_is_corrected() {
    for seed in 0..20 {
        for (what, mut world) in scenes(seed) {
            let interval = world.nodes[0].settings().advert_interval;
            let span = 4 * interval.duration() + Duration::from_nanos(world.random.below(2_000_000_000));
            world.pause(MASTER, span);
            world.run(span - ms(50));
            world.ask(PERIOD);
            let asking = Duration::from_nanos(world.random.below(20_000_000));
            world.run(ms(50) + asking);
            world.asking = None;
            world.run(Duration::from_secs(2));
            let masters = world.masters();
            assert_eq!(world.believed.map(|it| vec![it]), Some(masters), "seed {seed}, {what}");
        }
    }
}

#[test]
fn a_pause_shorter_than_master_down_interval_changes_nothing() {
    for seed in 0..20 {
        for (what, mut world) in scenes(seed) {
            let patience = 2 * world.nodes[0].settings().advert_interval.duration();
            world.log.clear();
            let span = Duration::from_nanos(world.random.below(u64::try_from(patience.as_nanos()).unwrap()));
            world.pause(MASTER, span);
            world.run(Duration::from_secs(10));
            assert!(world.log.is_empty(), "seed {seed}, {what}: {:?}", world.log);
            assert!(world.nodes.iter().skip(1).all(|node| node.state() == State::Backup));
        }
    }
}
