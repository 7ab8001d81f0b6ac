//! A machine that was suspended to memory or disk: its clock stops, and CLOCK_BOOTTIME goes on.

use std::time::Duration;

use vrrp_user::protocol::{Reason, State, TrackId};

use super::{BACKUP, HEARING, MASTER, WAKE, moves, ms, pair};
use crate::setup::{file, tracked};
use crate::world::World;
use crate::world::node::node;

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

/// The time to listen does not advance while the machine sleeps.
#[test]
fn a_master_that_sleeps_twice_listens_twice() {
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

/// The time to listen does not advance while the machine of a backup sleeps.
#[test]
fn a_backup_that_sleeps_twice_listens_twice() {
    for seed in 0..50 {
        for (mut world, span) in scenes(seed) {
            world.log.clear();
            for _ in 0..3 {
                world.sleep(BACKUP, span);
                let interval = world.nodes[BACKUP].instance().master_interval().duration();
                let awake = interval * u32::try_from(world.random.below(8)).unwrap() / 10;
                world.run(span + awake);
            }
            world.run(Duration::from_secs(5));
            assert_eq!(moves(&world), [], "seed {seed}");
            assert_eq!(world.masters(), [MASTER], "seed {seed}");
        }
    }
}

/// The peer of the one that sleeps is frozen with its clock running, and both are back at almost the same time.
#[test]
fn one_that_sleeps_beside_one_that_is_frozen_makes_no_second_master() {
    for seed in 0..100 {
        for (mut world, span) in scenes(seed) {
            let (asleep, frozen) = if seed % 2 == 0 { (MASTER, BACKUP) } else { (BACKUP, MASTER) };
            let apart = Duration::from_nanos(world.random.below(200_000_000));
            let (first, second) = if seed % 4 < 2 { (span, span + apart) } else { (span + apart, span) };
            world.sleep(asleep, first);
            world.freeze(frozen, second);
            world.run(span + apart);
            let before = world.shared;
            world.run(Duration::from_secs(10));
            assert_eq!(world.masters(), [MASTER], "seed {seed}");
            let shared = world.shared - before;
            assert!(shared <= HEARING + WAKE, "seed {seed}: both answer for {shared:?}");
        }
    }
}

/// A result that was not known before the sleep comes after it.
#[test]
fn an_instance_that_slept_in_init_waits_for_a_whole_master_down_interval() {
    for seed in 0..50 {
        let mut nodes = vec![node(10, 150, 10), node(20, 200, 10)];
        nodes[BACKUP].settings().tracks.push(file(1, 10));
        let mut world = World::settled(seed, nodes);
        assert_eq!((world.masters(), world.nodes[BACKUP].state()), (vec![MASTER], State::Init));
        world.kill(MASTER);
        let moment = Duration::from_nanos(world.random.below(500_000_000));
        world.run(moment);
        world.sleep(BACKUP, ms(5000));
        world.run(ms(5001));
        world.track(BACKUP, TrackId(1), true);
        let start = world.now;
        world.run(Duration::from_secs(2));
        let expected =
            [(BACKUP, State::Backup, Reason::Startup), (BACKUP, State::Master, Reason::MasterSilent)];
        assert_eq!(moves(&world), expected, "seed {seed}");
        // Its clock did not advance in the sleep.
        let waited = (world.log[1].1.at + ms(5000)).since(start);
        assert!(waited >= ms(300), "seed {seed}: master after {waited:?}");
    }
}

/// Its own clock measures the delay. After the sleep it hears the lower master first.
#[test]
fn a_better_backup_that_sleeps_in_its_preempt_delay_goes_on_with_it() {
    const DELAY: Duration = Duration::from_secs(3);
    for seed in 0..50 {
        let mut nodes = vec![node(10, 150, 10), node(20, 200, 10)];
        nodes[BACKUP].settings().preempt_delay = DELAY;
        let mut world = World::new(seed, nodes);
        world.start(MASTER);
        world.run(Duration::from_secs(2));
        world.start(BACKUP);
        let start = world.now;
        let moment = Duration::from_nanos(world.random.below(2_900_000_000));
        world.run(moment);
        world.forget();
        world.sleep(BACKUP, ms(7000));
        world.run(ms(7000) + DELAY - moment - ms(100));
        assert_eq!(moves(&world), [], "seed {seed}");
        world.run(Duration::from_secs(2));
        let expected =
            [(BACKUP, State::Master, Reason::Preempted), (MASTER, State::Backup, Reason::HigherPriority)];
        assert_eq!(moves(&world), expected, "seed {seed}");
        assert!(world.log[0].1.at.since(start) >= DELAY, "seed {seed}");
        assert!(world.shared <= HEARING, "seed {seed}: both answer for {:?}", world.shared);
    }
}

/// The old or the new process decides after it: neither knows more than the other.
#[test]
fn a_machine_that_sleeps_in_a_hot_restart_listens() {
    for seed in 0..100 {
        for resumes in [true, false] {
            for (mut world, span) in scenes(seed) {
                let asleep = if seed % 2 == 0 { MASTER } else { BACKUP };
                // Both are machines of one host, now and then.
                let are_both = seed % 8 < 2;
                world.forget();
                world.begin_restart(asleep);
                let moment = Duration::from_nanos(world.random.below(20_000_000));
                world.run(moment);
                world.sleep(asleep, span);
                if are_both {
                    world.sleep(if asleep == MASTER { BACKUP } else { MASTER }, span);
                }
                // The older process has run since the sleep, or not.
                let after = Duration::from_nanos(world.random.below(200_000));
                world.run(span + after);
                let sent = world.sent[asleep];
                world.end_restart(asleep, resumes);
                let until = world.nodes[asleep].kernel.answers_until();
                assert!(
                    until.is_none_or(|until| until + world.nodes[asleep].behind <= world.now),
                    "seed {seed}: it answers"
                );
                let interval = world.nodes[MASTER].settings().advert_interval.duration();
                world.run(interval - ms(20));
                assert_eq!(world.sent[asleep], sent, "seed {seed}: it sends before it has listened");
                if asleep == BACKUP || are_both {
                    assert_eq!(moves(&world), [], "seed {seed}");
                }
                world.run(Duration::from_secs(10));
                assert_eq!(world.masters(), [MASTER], "seed {seed}");
                if asleep == BACKUP {
                    assert_eq!(moves(&world).iter().filter(|it| it.0 == BACKUP).count(), 0, "seed {seed}");
                }
            }
        }
    }
}

/// No daemon replaces this one, and what has come meanwhile is handled after the sleep, by which it is out of date.
#[test]
fn inputs_kept_in_a_hot_restart_make_no_sleeper_send() {
    for seed in 0..50 {
        for interval in [10, 100] {
            let mut nodes = vec![node(10, 150, interval), node(20, 100, interval)];
            nodes[MASTER].settings().tracks.push(tracked(1, -10));
            let mut world = World::settled(seed, nodes);
            assert_eq!(world.masters(), [MASTER], "seed {seed}");
            world.begin_restart(MASTER);
            world.track(MASTER, TrackId(1), false);
            world.sleep(MASTER, ms(20_000));
            world.run(ms(20_000));
            let sent = world.sent[MASTER];
            world.end_restart(MASTER, false);
            let period = world.nodes[MASTER].settings().advert_interval.duration();
            world.run(period - ms(20));
            assert_eq!(world.sent[MASTER], sent, "seed {seed}: it sends before it has listened");
            world.run(Duration::from_secs(10));
            assert_eq!(world.masters(), [MASTER], "seed {seed}");
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
