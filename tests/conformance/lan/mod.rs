//! Several nodes on a simulated LAN: latency, loss, a split, frozen and starved nodes, death, stop and return. A
//! failing run prints its seed.

mod asleep;
mod faults;
mod owners;
mod paused;
mod priorities;
mod refused;
mod restarted;

use std::time::Duration;

use vrrp_user::protocol::{Reason, State};

use crate::world::World;
use crate::world::node::node;

const MASTER: usize = 0;
const BACKUP: usize = 1;

/// Longest wake-up; longest transit of an advert and its wake-up; time that addresses stay after the heir is heard.
const WAKE: Duration = Duration::from_micros(80);
const SETTLE: Duration = Duration::from_millis(50);
const HEARING: Duration = Duration::from_micros(280);

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn pair(seed: u64, interval: u16) -> World {
    let world = World::settled(seed, vec![node(10, 150, interval), node(20, 100, interval)]);
    assert_eq!(world.masters(), [MASTER], "seed {seed}");
    world
}

fn moves(world: &World) -> Vec<(usize, State, Reason)> {
    world.log.iter().map(|(node, transition)| (*node, transition.to, transition.reason)).collect()
}

#[test]
fn a_steady_master_wakes_its_backup_once_per_master_down_interval_less_an_interval() {
    let mut world = pair(1, 10);
    let (turns, sent) = (world.nodes[BACKUP].turns, world.sent[MASTER]);
    world.run(Duration::from_secs(100));
    assert_eq!(moves(&world), []);
    let adverts = world.sent[MASTER] - sent;
    assert!((998..=1000).contains(&adverts), "{adverts} adverts");
    let turns = world.nodes[BACKUP].turns - turns;
    assert!(turns <= 500, "{turns} turns in 100 s at 100 ms");
}

#[test]
fn a_dead_master_is_followed_exactly_after_master_down_interval() {
    for seed in 0..300 {
        let mut world = pair(seed, if seed % 2 == 0 { 1 } else { 10 });
        let moment = Duration::from_nanos(world.random.below(100_000_000));
        world.run(moment);
        world.kill(MASTER);
        // Frames in transit still count.
        world.run(Duration::from_millis(1));
        let last = world.nodes[BACKUP].last_seen();
        let patience = world.nodes[BACKUP].instance().master_down_interval();
        world.run(Duration::from_secs(2));
        assert_eq!(moves(&world), [(BACKUP, State::Master, Reason::MasterSilent)], "seed {seed}");
        let waited = world.log[0].1.at.since(last);
        assert!(waited >= patience && waited <= patience + WAKE, "seed {seed}: {waited:?} of {patience:?}");
    }
}

#[test]
fn a_stopped_master_is_followed_within_skew() {
    for seed in 0..100 {
        let mut world = pair(seed, 1);
        let moment = Duration::from_nanos(world.random.below(100_000_000));
        world.run(moment);
        let stopped = world.now;
        world.stop(MASTER);
        world.run(Duration::from_secs(2));
        let expected =
            [(MASTER, State::Init, Reason::Shutdown), (BACKUP, State::Master, Reason::MasterReleased)];
        assert_eq!(moves(&world), expected, "seed {seed}");
        let skew = Duration::from_nanos(6_093_750);
        let waited = world.log[1].1.at.since(stopped);
        // The skew starts again with each release, and two more follow the first one; all of them may be heard.
        let latest = skew + Duration::from_micros(2 * 1250) + 2 * WAKE + HEARING + WAKE;
        assert!(waited >= skew && waited <= latest, "seed {seed}: {waited:?}");
        assert_eq!(world.orphaned, Duration::ZERO, "seed {seed}");
        assert!(world.shared <= HEARING, "seed {seed}: both answer for {:?}", world.shared);
        assert!(world.overlap <= SETTLE + HEARING + WAKE, "seed {seed}: both for {:?}", world.overlap);
    }
}

/// The reload, with its startup, comes behind the shutdown.
#[test]
fn a_reload_of_a_master_that_stops_starts_nothing() {
    for seed in 0..100 {
        let mut world = pair(seed, 1);
        world.stop(MASTER);
        world.reload(MASTER, &[true]);
        world.run(Duration::from_secs(2));
        let expected =
            [(MASTER, State::Init, Reason::Shutdown), (BACKUP, State::Master, Reason::MasterReleased)];
        assert_eq!(moves(&world), expected, "seed {seed}");
    }
}

/// The release reaches some of the backups, or none, and their adverts are lost too.
#[test]
fn a_handover_under_loss_ends_with_one_master_that_alone_has_the_addresses() {
    for seed in 0..200 {
        let mut world = World::settled(seed, vec![node(10, 200, 10), node(20, 150, 10), node(30, 100, 10)]);
        world.loss.fill(300);
        world.stop(0);
        world.run(Duration::from_secs(10));
        world.loss.fill(0);
        world.run(Duration::from_secs(1));
        assert_eq!(world.masters(), [1], "seed {seed}");
        let having: Vec<_> = (0..3).filter(|&node| world.nodes[node].has_addresses()).collect();
        assert_eq!(having, [1], "seed {seed}");
        // The higher backup's Master_Down_Interval ends up to an interval after that of the departed master.
        assert!(world.orphaned <= ms(100) + HEARING + WAKE, "seed {seed}: {:?}", world.orphaned);
    }
}

#[test]
fn a_better_master_returns_by_one_transition_each() {
    for seed in 0..100 {
        let mut world = pair(seed, 1);
        world.kill(MASTER);
        world.run(Duration::from_secs(1));
        world.forget();
        world.start(MASTER);
        world.run(Duration::from_secs(1));
        let expected = [
            (MASTER, State::Backup, Reason::Startup),
            (MASTER, State::Master, Reason::Preempted),
            (BACKUP, State::Backup, Reason::HigherPriority),
        ];
        assert_eq!(moves(&world), expected, "seed {seed}");
        assert!(world.shared <= HEARING, "seed {seed}: both answer for {:?}", world.shared);
        assert!(world.overlap <= SETTLE + HEARING + WAKE, "seed {seed}: both for {:?}", world.overlap);
        assert_eq!(world.orphaned, Duration::ZERO, "seed {seed}");
    }
}

#[test]
fn without_preemption_the_better_one_returns_as_backup() {
    for seed in 0..50 {
        let mut world = pair(seed, 1);
        world.kill(MASTER);
        world.run(Duration::from_secs(1));
        world.log.clear();
        world.nodes[MASTER].settings().preempt = false;
        world.start(MASTER);
        world.run(Duration::from_secs(5));
        assert_eq!(moves(&world), [(MASTER, State::Backup, Reason::Startup)], "seed {seed}");
        assert_eq!(world.masters(), [BACKUP], "seed {seed}");
    }
}

/// Whole machines freeze: both nodes are suspended together for up to 100 ms, at 10 ms adverts. After the longer
/// suspensions the master listens.
#[test]
fn nodes_frozen_together_keep_their_states() {
    for seed in 0..60 {
        let mut world = pair(seed, 1);
        for _ in 0..100 {
            let (span, pause) = (world.random.below(100_000), world.random.below(300_000));
            world.freeze(MASTER, Duration::from_micros(span));
            world.freeze(BACKUP, Duration::from_micros(span));
            world.run(Duration::from_micros(span + pause));
        }
        let resumed = (MASTER, State::Master, Reason::Resumed);
        assert!(moves(&world).iter().all(|change| *change == resumed), "seed {seed}: {:?}", moves(&world));
    }
}

#[test]
fn a_frozen_or_starved_backup_does_not_take_over() {
    for seed in 0..60 {
        let mut world = pair(seed, 1);
        for round in 0..100 {
            let (span, pause) = (world.random.below(500_000), world.random.below(100_000));
            if round % 2 == 0 {
                world.freeze(BACKUP, Duration::from_micros(span));
            } else {
                world.starve(BACKUP, Duration::from_micros(span));
            }
            world.run(Duration::from_micros(span + pause));
        }
        assert_eq!(moves(&world), [], "seed {seed}");
    }
}

/// The master freezes for less than a lease at a time; its backup freezes or starves for other spans. In 2 of 5000 runs
/// the master loses its lease nevertheless, by a second freeze, and the backup takes over while it listens.
#[test]
fn nodes_suspended_for_different_spans_keep_their_states() {
    let mut taken_over = 0;
    for seed in 0..200 {
        let mut world = pair(seed, 1);
        for round in 0..200 {
            let (master, backup) = (world.random.below(17_000), world.random.below(60_000));
            let (before, pause) = (world.random.below(40_000), world.random.below(40_000));
            if round % 3 > 0 {
                world.freeze(MASTER, Duration::from_micros(master));
            }
            world.run(Duration::from_micros(before));
            if round % 2 == 0 {
                world.freeze(BACKUP, Duration::from_micros(backup));
            } else {
                world.starve(BACKUP, Duration::from_micros(backup));
            }
            world.run(Duration::from_micros(backup + pause) + ms(12));
        }
        let resumed = (MASTER, State::Master, Reason::Resumed);
        let moves = moves(&world);
        if moves.iter().any(|change| *change != resumed) {
            let in_vain = [
                (BACKUP, State::Master, Reason::MasterSilent),
                resumed,
                (BACKUP, State::Backup, Reason::HigherPriority),
            ];
            assert!(moves.ends_with(&in_vain), "seed {seed}: {moves:?}");
            taken_over += 1;
        }
    }
    assert!(taken_over <= 1, "{taken_over} of 200 backups took over");
}

#[test]
fn a_short_suspension_in_a_silence_delays_the_takeover_by_its_length() {
    let mut excesses = Vec::new();
    for seed in 0..1000 {
        let mut world = pair(seed, 1);
        let moment = Duration::from_nanos(world.random.below(50_000_000));
        world.run(moment);
        world.kill(MASTER);
        world.run(ms(1));
        let last = world.nodes[BACKUP].last_seen();
        let patience = world.nodes[BACKUP].instance().master_down_interval();
        let before = world.random.below(34_000);
        world.run(Duration::from_micros(before));
        world.freeze(BACKUP, ms(3));
        world.run(ms(200));
        assert_eq!(moves(&world), [(BACKUP, State::Master, Reason::MasterSilent)], "seed {seed}");
        let waited = world.log[0].1.at.since(last);
        assert!(waited >= patience, "seed {seed}: {waited:?}");
        excesses.push(waited - patience);
    }
    // A freeze of 3 ms ends with up to 2 ms of thawing.
    let late = excesses.iter().filter(|excess| **excess > ms(5)).count();
    assert!(late <= 60, "{late} of 1000 takeovers came more than 5 ms late");
}

#[test]
fn a_death_during_a_freeze_is_found_one_listening_time_after_it() {
    for seed in 0..100 {
        let mut world = pair(seed, 1);
        let moment = Duration::from_nanos(world.random.below(50_000_000));
        world.run(moment);
        let span = ms(40) + Duration::from_micros(world.random.below(60_000));
        world.kill(MASTER);
        // An advert still in transit would be heard after the freeze.
        world.run(ms(1));
        world.freeze(BACKUP, span);
        let thaw = world.now + span;
        world.run(Duration::from_secs(1));
        assert_eq!(moves(&world), [(BACKUP, State::Master, Reason::MasterSilent)], "seed {seed}");
        // Thawing takes up to 2 ms, listening two intervals and the skew.
        let limit = ms(2) + ms(20) + Duration::from_nanos(6_093_750) + WAKE;
        let waited = world.log[0].1.at.since(thaw);
        assert!(waited <= limit, "seed {seed}: {waited:?}");
    }
}

#[test]
fn a_frozen_master_is_followed_and_returns_when_it_has_listened() {
    for seed in 0..50 {
        let mut world = pair(seed, 1);
        let thaw = world.now + ms(500);
        world.freeze(MASTER, ms(500));
        world.run(Duration::from_secs(2));
        let expected = [
            (BACKUP, State::Master, Reason::MasterSilent),
            (MASTER, State::Master, Reason::Resumed),
            (BACKUP, State::Backup, Reason::HigherPriority),
        ];
        assert_eq!(moves(&world), expected, "seed {seed}");
        assert_eq!(world.masters(), [MASTER], "seed {seed}");
        let listened = world.log[1].1.at.since(thaw);
        assert!(listened > ms(10) && listened < ms(20), "seed {seed}: {listened:?}");
    }
}

/// Starved: its kernel runs, and answers for the addresses until the lease expires.
#[test]
fn a_starved_master_without_preemption_finds_its_heir_and_never_speaks() {
    for seed in 0..100 {
        let mut world = World::new(seed, vec![node(10, 150, 1), node(20, 100, 1)]);
        world.nodes[MASTER].settings().preempt = false;
        world.start(MASTER);
        world.run(Duration::from_secs(1));
        world.start(BACKUP);
        world.run(Duration::from_secs(1));
        world.log.clear();
        let span = ms(40) + Duration::from_micros(world.random.below(500_000));
        world.starve(MASTER, span);
        let sent = world.sent[MASTER];
        world.run(Duration::from_secs(2));
        let expected =
            [(BACKUP, State::Master, Reason::MasterSilent), (MASTER, State::Backup, Reason::Superseded)];
        assert_eq!(moves(&world), expected, "seed {seed}");
        assert_eq!(world.sent[MASTER], sent, "seed {seed}");
    }
}

#[test]
fn a18_of_two_equal_ones_started_together_one_is_master() {
    for seed in 0..200 {
        let mut world = World::new(seed, vec![node(10, 100, 10), node(20, 100, 10)]);
        world.start(0);
        world.start(1);
        world.run(Duration::from_secs(5));
        assert_eq!(world.masters().len(), 1, "seed {seed}");
        let other = 1 - world.masters()[0];
        // The second advert is the one with which it yields.
        assert!(world.sent[other] <= 2, "seed {seed}: {} adverts", world.sent[other]);
        assert!(world.shared <= 2 * HEARING, "seed {seed}: both for {:?}", world.shared);
    }
}

#[test]
fn of_three_the_next_best_follows_and_only_one_is_master() {
    for seed in 0..100 {
        let mut world = World::settled(seed, vec![node(10, 200, 10), node(20, 150, 10), node(30, 100, 10)]);
        assert_eq!(world.masters(), [0], "seed {seed}");
        world.kill(0);
        world.run(Duration::from_secs(2));
        assert_eq!(moves(&world), [(1, State::Master, Reason::MasterSilent)], "seed {seed}");
        world.kill(1);
        world.run(Duration::from_secs(2));
        assert_eq!(world.masters(), [2], "seed {seed}");
        world.start(0);
        world.run(Duration::from_secs(2));
        assert_eq!(world.masters(), [0], "seed {seed}");
        assert!(world.shared <= HEARING, "seed {seed}: {:?}", world.shared);
    }
}

#[test]
fn loss_leaves_no_lasting_confusion() {
    for seed in 0..30 {
        let mut world = World::settled(seed, vec![node(10, 200, 10), node(20, 150, 10), node(30, 100, 10)]);
        world.loss.fill(300);
        world.run(Duration::from_secs(60));
        // A false takeover lasts until one advert of the higher master arrives.
        assert!(world.shared < Duration::from_secs(3), "seed {seed}: {:?}", world.shared);
        assert_eq!(world.orphaned, Duration::ZERO, "seed {seed}");
        world.loss.fill(0);
        world.run(Duration::from_secs(1));
        world.log.clear();
        world.run(Duration::from_secs(10));
        assert_eq!(world.masters(), [0], "seed {seed}");
        assert_eq!(moves(&world), [], "seed {seed}");
    }
}

/// It was master beside a better one, so its releases concern no other router.
#[test]
fn a_deaf_master_that_stops_moves_no_other_router() {
    for seed in 0..100 {
        let mut world = World::settled(seed, vec![node(10, 200, 10), node(20, 150, 10), node(30, 100, 10)]);
        world.deaf = Some(2);
        let moment = ms(2000) + Duration::from_nanos(world.random.below(100_000_000));
        world.run(moment);
        assert_eq!(world.masters(), [0, 2], "seed {seed}");
        world.forget();
        world.stop(2);
        world.run(Duration::from_secs(2));
        assert_eq!(moves(&world), [(2, State::Init, Reason::Shutdown)], "seed {seed}");
    }
}

#[test]
fn a_healed_split_leaves_the_higher_master() {
    for seed in 0..100 {
        let mut world = pair(seed, 10);
        world.is_split = true;
        world.run(Duration::from_secs(1));
        assert_eq!(world.masters(), [MASTER, BACKUP], "seed {seed}");
        world.is_split = false;
        world.shared = Duration::ZERO;
        let before = world.log.len();
        world.run(Duration::from_secs(1));
        assert_eq!(moves(&world)[before..], [(BACKUP, State::Backup, Reason::HigherPriority)], "seed {seed}");
        assert!(world.shared <= ms(100) + HEARING + WAKE, "seed {seed}: {:?}", world.shared);
        // The higher one's advert may arrive first, and then there is no contest.
        assert!(world.contests <= 1, "seed {seed}");
    }
}
