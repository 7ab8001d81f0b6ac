//! Faults of a host and of its program: sends that fail, lost ring entries, late wake-ups, and silence that proves
//! nothing because adverts do not reach the program.

use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{HOLD_MAX, Reason, SendError, State, TrackId};

use super::{BACKUP, HEARING, MASTER, WAKE, moves, ms, pair};
use crate::setup::tracked;
use crate::world::World;
use crate::world::node::{Node, node};

const TRACK: TrackId = TrackId(1);

/// Listening for a master that is not heard, at adverts each 10 ms: two intervals and the skew of priority 100.
const LISTENING: Duration = Duration::from_micros(26_094);

fn micros(world: &mut World, below: u64) -> Duration {
    Duration::from_micros(world.random.below(below))
}

/// Time from `start` to the backup's takeover, the only move.
fn takeover(world: &World, start: Timestamp) -> Duration {
    assert_eq!(moves(world), [(BACKUP, State::Master, Reason::MasterSilent)]);
    world.log[0].1.at.since(start)
}

/// Its adverts leave again after its lease has expired: it listens, and answers for its addresses only when it has
/// taken over again.
#[test]
fn a_master_whose_lease_has_lapsed_takes_over_again_before_it_answers() {
    for seed in 0..100 {
        let mut world = pair(seed, 1);
        let moment = micros(&mut world, 50_000);
        world.run(moment);
        world.nodes[MASTER].fail_sends(Some(SendError::Unreachable));
        let span = ms(60) + micros(&mut world, 300_000);
        world.run(span);
        assert_eq!(moves(&world), [(BACKUP, State::Master, Reason::MasterSilent)], "seed {seed}");
        world.nodes[MASTER].fail_sends(None);
        world.run(ms(500));
        let expected = [
            (BACKUP, State::Master, Reason::MasterSilent),
            (BACKUP, State::Backup, Reason::HigherPriority),
            (MASTER, State::Master, Reason::Resumed),
        ];
        assert_eq!(moves(&world), expected, "seed {seed}");
        assert_eq!(world.shared, Duration::ZERO, "seed {seed}: both answer");
    }
}

/// Without an heir, no other node answers for the addresses, and the master goes on after it has listened.
#[test]
fn a_lapsed_master_without_an_heir_resumes() {
    for seed in 0..100 {
        let mut world = World::settled(seed, vec![node(10, 150, 1)]);
        world.nodes[MASTER].fail_sends(Some(SendError::Unreachable));
        let span = ms(45) + micros(&mut world, 300_000);
        world.run(span);
        assert_eq!(moves(&world), [], "seed {seed}");
        world.nodes[MASTER].fail_sends(None);
        world.run(ms(500));
        assert_eq!(moves(&world), [(MASTER, State::Master, Reason::Resumed)], "seed {seed}");
    }
}

#[test]
fn a_master_whose_sends_are_refused_leaves_to_the_one_it_hears() {
    for seed in 0..20 {
        let mut world = pair(seed, 1);
        let moment = micros(&mut world, 50_000);
        world.run(moment);
        world.nodes[MASTER].fail_sends(Some(SendError::Refused));
        let span = ms(100) + micros(&mut world, 1_000_000);
        world.run(span);
        assert_eq!(world.masters(), [BACKUP], "seed {seed}: while refused");
        world.nodes[MASTER].fail_sends(None);
        world.run(Duration::from_secs(10));
        let expected = [
            (BACKUP, State::Master, Reason::MasterSilent),
            (MASTER, State::Fault, Reason::Refused),
            (MASTER, State::Backup, Reason::Recovered),
            (MASTER, State::Master, Reason::Preempted),
            (BACKUP, State::Backup, Reason::HigherPriority),
        ];
        assert_eq!(moves(&world), expected, "seed {seed}");
        assert!(world.shared <= HEARING, "seed {seed}: both answer for {:?}", world.shared);
    }
}

/// A trial that finds no route has not come to the firewall.
#[test]
fn a_master_whose_sends_are_refused_stays_away_until_adverts_leave() {
    for seed in 0..20 {
        let mut world = pair(seed, 1);
        world.nodes[MASTER].fail_sends(Some(SendError::Refused));
        world.run(Duration::from_secs(1));
        assert_eq!(world.masters(), [BACKUP], "seed {seed}: while refused");
        world.nodes[MASTER].fail_sends(Some(SendError::Unreachable));
        let span = Duration::from_secs(10) + micros(&mut world, 1_000_000);
        world.run(span);
        assert_eq!(world.masters(), [BACKUP], "seed {seed}: without a route");
        assert_eq!(moves(&world).len(), 2, "seed {seed}");
    }
}

/// For less than an interval at a time: one advert at most is not sent.
#[test]
fn failed_sends_within_a_lease_change_nothing() {
    for seed in 0..100 {
        let mut world = pair(seed, 1);
        for round in 0..50 {
            let error = if round % 2 == 0 { SendError::Refused } else { SendError::Unreachable };
            world.nodes[MASTER].fail_sends(Some(error));
            let span = micros(&mut world, 9_800);
            world.run(span);
            world.nodes[MASTER].fail_sends(None);
            let pause = ms(21) + micros(&mut world, 20_000);
            world.run(pause);
        }
        assert_eq!(moves(&world), [], "seed {seed}");
    }
}

/// A master of changing priority beside a backup whose ring loses entries, some or all: each change is an event.
fn lossy(seed: u64, loss: u64) -> World {
    let mut master = node(10, 200, 10);
    master.settings().tracks = vec![tracked(TRACK.0, -20)];
    let mut world = World::settled(seed, vec![master, node(20, 100, 10)]);
    world.nodes[BACKUP].ring_loss = loss;
    for round in 0..20 {
        world.track(MASTER, TRACK, round % 2 == 1);
        let moment = micros(&mut world, 1_000_000);
        world.run(moment);
    }
    world
}

#[test]
fn lost_ring_entries_cause_no_takeover() {
    for seed in 0..100 {
        let loss = if seed % 2 == 0 { 1000 } else { 500 };
        let world = lossy(seed, loss);
        assert_eq!(moves(&world), [], "seed {seed}");
        assert_eq!(world.masters(), [MASTER], "seed {seed}");
    }
}

/// Map is state: Master_Down_Interval counts from the latest advert that is recorded.
#[test]
fn lost_ring_entries_delay_no_takeover() {
    for seed in 0..100 {
        let mut world = lossy(seed, 1000);
        world.kill(MASTER);
        // Frames in transit still count.
        world.run(ms(1));
        let last = *world.nodes[BACKUP].kernel.members[0].side.arrivals.values().max().unwrap();
        let patience = world.nodes[BACKUP].instance().master_down_interval();
        world.run(Duration::from_secs(2));
        let waited = takeover(&world, last);
        assert!(waited >= patience && waited <= patience + WAKE, "seed {seed}: {waited:?} of {patience:?}");
    }
}

/// Turns come up to 2 ms late, at adverts each 10 ms, which is no suspension yet.
#[test]
fn late_wake_ups_cause_no_takeover_and_delay_one_by_little() {
    for seed in 0..100 {
        let mut world = pair(seed, 1);
        world.wake = Duration::from_micros(5)..ms(2);
        world.run(Duration::from_secs(5));
        assert_eq!(moves(&world), [], "seed {seed}");
        world.kill(MASTER);
        world.run(ms(1));
        let last = world.nodes[BACKUP].last_seen();
        let patience = world.nodes[BACKUP].instance().master_down_interval();
        world.run(ms(500));
        let waited = takeover(&world, last);
        let limit = patience + ms(2);
        assert!(waited >= patience && waited <= limit, "seed {seed}: {waited:?} of {patience:?}");
    }
}

#[test]
fn silence_of_a_detached_program_proves_nothing() {
    for seed in 0..50 {
        let mut world = pair(seed, 1);
        for _ in 0..5 {
            world.nodes[BACKUP].kernel.members[0].is_detached = true;
            let span = micros(&mut world, 2_000_000);
            world.run(span);
            world.nodes[BACKUP].kernel.members[0].is_detached = false;
            let pause = ms(30) + micros(&mut world, 100_000);
            world.run(pause);
        }
        assert_eq!(moves(&world), [], "seed {seed}");
        // Until it is attached again, no silence is believed; then a dead master is replaced.
        world.nodes[BACKUP].kernel.members[0].is_detached = true;
        world.kill(MASTER);
        let span = ms(100) + micros(&mut world, 1_000_000);
        world.run(span);
        assert_eq!(moves(&world), [], "seed {seed}");
        world.nodes[BACKUP].kernel.members[0].is_detached = false;
        let attached = world.now;
        world.run(ms(500));
        assert!(takeover(&world, attached) <= LISTENING + WAKE, "seed {seed}");
    }
}

#[test]
fn adverts_that_only_sockets_receive_hold_a_takeover_off_for_ten_seconds() {
    for seed in 0..20 {
        let mut world = pair(seed, 1);
        world.nodes[BACKUP].kernel.members[0].is_bypassed = true;
        let span = micros(&mut world, 9_500_000);
        world.run(span);
        world.nodes[BACKUP].kernel.members[0].is_bypassed = false;
        world.run(ms(100));
        assert_eq!(moves(&world), [], "seed {seed}");
        world.nodes[BACKUP].kernel.members[0].is_bypassed = true;
        let start = world.now;
        world.run(Duration::from_secs(11));
        let held = takeover(&world, start);
        assert!(held >= HOLD_MAX && held <= HOLD_MAX + 3 * LISTENING, "seed {seed}: {held:?}");
    }
}

#[test]
fn doubt_delays_no_takeover_from_a_dead_master() {
    for seed in 0..100 {
        let mut world = pair(seed, 1);
        let moment = micros(&mut world, 50_000);
        world.run(moment);
        world.kill(MASTER);
        world.run(ms(1));
        world.nodes[BACKUP].kernel.members[0].is_bypassed = true;
        let last = world.nodes[BACKUP].last_seen();
        let patience = world.nodes[BACKUP].instance().master_down_interval();
        world.run(ms(500));
        let waited = takeover(&world, last);
        assert!(waited >= patience && waited <= patience + WAKE, "seed {seed}: {waited:?} of {patience:?}");
    }
}

/// Signed adverts that are dropped over the budget of a flood may be the master's.
#[test]
fn signed_adverts_dropped_unjudged_hold_a_takeover_off_for_ten_seconds() {
    let signed = |mut node: Node| {
        node.kernel.members[0].is_signed = true;
        node
    };
    for seed in 0..20 {
        let mut world = World::settled(seed, vec![signed(node(10, 150, 1)), signed(node(20, 100, 1))]);
        assert_eq!(world.masters(), [MASTER], "seed {seed}");
        world.nodes[BACKUP].ring_loss = 1000;
        let span = micros(&mut world, 9_500_000);
        world.run(span);
        world.nodes[BACKUP].ring_loss = 0;
        world.run(ms(100));
        assert_eq!(moves(&world), [], "seed {seed}");
        world.nodes[BACKUP].ring_loss = 1000;
        let start = world.now;
        world.run(Duration::from_secs(11));
        let held = takeover(&world, start);
        assert!(held >= HOLD_MAX && held <= HOLD_MAX + 3 * LISTENING, "seed {seed}: {held:?}");
    }
}

/// A single loss leaves a gap of two intervals, more or less by the jitter of both adverts. Two in a row bring the next
/// advert in the last interval before the takeover.
#[test]
fn two_adverts_lost_in_a_row_are_a_near_miss_and_one_is_not() {
    for seed in 0..100 {
        let mut world = pair(seed, 10);
        let mut expected = world.nodes[BACKUP].kernel.near_misses;
        for lost in [1, 2, 1, 1, 2] {
            let seen = world.nodes[BACKUP].last_seen();
            while world.nodes[BACKUP].last_seen() == seen {
                world.run(Duration::from_micros(100));
            }
            world.loss.fill(1000);
            world.run(ms(lost * 100 + 2));
            world.loss.fill(0);
            world.run(Duration::from_secs(1));
            expected += u64::from(lost == 2);
            let counted = world.nodes[BACKUP].kernel.near_misses;
            assert_eq!(counted, expected, "seed {seed}: after {lost} lost adverts");
        }
        assert_eq!(moves(&world), [], "seed {seed}");
    }
}
