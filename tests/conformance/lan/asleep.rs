//! A machine that was suspended to memory or disk: its clock stops, and CLOCK_BOOTTIME goes on.

use std::time::Duration;

use vrrp_user::protocol::State;

use super::{BACKUP, MASTER, ms, pair};
use crate::world::World;

/// A pair at 100 ms or 1 s, at any moment.
fn scenes(seed: u64) -> impl Iterator<Item = (World, Duration)> {
    [10, 100].into_iter().map(move |interval| {
        let mut world = pair(seed, interval);
        let moment = Duration::from_nanos(world.random.below(1_000_000_000));
        world.run(moment);
        let span = Duration::from_nanos(world.random.below(20_000_000_000)) + ms(5000);
        (world, span)
    })
}

#[test]
fn a_master_listens_before_it_answers() {
    for seed in 0..50 {
        for (mut world, span) in scenes(seed) {
            world.sleep(MASTER, span);
            world.run(span - ms(20));
            assert_eq!(world.nodes[BACKUP].state(), State::Master, "seed {seed}");
            let sent = world.sent[MASTER];
            world.ask(ms(2));
            world.run(ms(21));
            let interval = world.nodes[MASTER].settings().advert_interval.duration();
            world.run(interval - ms(20));
            assert_eq!(world.sent[MASTER], sent, "seed {seed}: it sends before it has listened");
            world.run(Duration::from_secs(5));
            // Until the engine runs, 2 ms after the return at the latest, the lease of the last advert holds.
            let twice = world.answered.iter().filter(|by| **by > 1).count();
            assert!(twice <= 2, "seed {seed}: {twice} requests");
            assert_eq!(world.masters().len(), 1, "seed {seed}");
        }
    }
}

/// The time to listen stands still with the machine.
#[test]
fn a_master_that_sleeps_again_listens_anew() {
    for seed in 0..50 {
        for (mut world, span) in scenes(seed) {
            world.sleep(MASTER, span);
            world.run(span);
            let interval = world.nodes[MASTER].settings().advert_interval.duration();
            world.run(interval - ms(20));
            world.sleep(MASTER, span);
            let sent = world.sent[MASTER];
            world.run(span + interval - ms(20));
            assert_eq!(world.sent[MASTER], sent, "seed {seed}: it sends before it has listened");
        }
    }
}

#[test]
fn a_backup_does_not_take_over_by_what_it_knew() {
    for seed in 0..50 {
        for (mut world, span) in scenes(seed) {
            world.log.clear();
            world.sleep(BACKUP, span);
            world.run(span + Duration::from_secs(5));
            assert!(world.log.is_empty(), "seed {seed}: {:?}", world.log);
            assert_eq!(world.masters(), [MASTER], "seed {seed}");
            assert!(world.nodes[BACKUP].instance().stats().suspensions > 0, "seed {seed}");
        }
    }
}

/// Both are machines of one host.
#[test]
fn a_pair_that_sleeps_together_agrees_again() {
    for seed in 0..50 {
        for (mut world, span) in scenes(seed) {
            world.sleep(MASTER, span);
            world.sleep(BACKUP, span);
            world.run(span + Duration::from_secs(10));
            assert_eq!(world.masters(), [MASTER], "seed {seed}");
        }
    }
}
