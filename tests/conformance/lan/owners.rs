//! Two owners of one address, by mistake: the lower address yields, also after a time in which it did not run.

use std::time::Duration;

use vrrp_user::protocol::{Priority, State};

use super::{BACKUP, HEARING, MASTER, WAKE, ms};
use crate::world::World;
use crate::world::node::node;

fn world(seed: u64) -> World {
    let nodes = [20, 10].map(|address| {
        let mut node = node(address, 100, 10);
        node.settings().priority = Priority::OWNER;
        node
    });
    let world = World::settled(seed, nodes.into());
    assert_eq!(world.masters(), [MASTER], "seed {seed}");
    world
}

#[test]
fn an_owner_that_starved_answers_beside_no_other_one() {
    for seed in 0..100 {
        let mut world = world(seed);
        let moment = Duration::from_nanos(world.random.below(100_000_000));
        world.run(moment);
        let span = ms(250) + Duration::from_nanos(world.random.below(2_000_000_000));
        world.starve(MASTER, span);
        world.run(span + Duration::from_secs(3));
        assert_eq!(world.masters(), [MASTER], "seed {seed}");
        assert!(world.shared <= HEARING + WAKE, "seed {seed}: both answer for {:?}", world.shared);
    }
}

#[test]
fn an_owner_that_yielded_and_slept_takes_nothing() {
    for seed in 0..100 {
        let mut world = world(seed);
        world.log.clear();
        world.sleep(BACKUP, ms(6000));
        world.run(ms(9000));
        assert!(world.log.is_empty(), "seed {seed}: {:?}", world.log);
        assert_eq!(world.nodes[BACKUP].state(), State::Backup, "seed {seed}");
    }
}
