//! Changes of priority beside a steady master, whose latest adverts have woken no engine: each backup takes over when
//! the Master_Down_Interval since the last advert that it obeyed has passed, and never before (RFC 9568 §6.4.2).

use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{Reason, State, Steering, TrackId};

use super::{MASTER, WAKE, moves, ms};
use crate::setup::tracked;
use crate::world::World;
use crate::world::node::{Node, node};

const TRACK: TrackId = TrackId(1);
const INTERVAL: u16 = 20;

fn with_weight(mut node: Node, weight: i16) -> Node {
    node.settings().tracks = vec![tracked(TRACK.0, weight)];
    node
}

/// Runs for a random part of a few intervals.
fn settle(world: &mut World) {
    let moment = Duration::from_nanos(world.random.below(2_000_000_000));
    world.run(moment);
    world.log.clear();
}

/// Time at which `node` became master, and its Master_Down_Interval then.
fn takeover(world: &World, node: usize) -> Option<(Timestamp, Duration)> {
    let entry = world.log.iter().find(|(who, change)| *who == node && change.to == State::Master);
    let patience = world.nodes[node].instance().master_down_interval();
    entry.map(|(_, change)| (change.at, patience))
}

fn ensure_due(world: &World, seed: u64, node: usize, last: Timestamp) {
    let (at, patience) = takeover(world, node).unwrap();
    let waited = at.since(last);
    assert!(waited >= patience && waited <= patience + WAKE, "seed {seed}: {waited:?} of {patience:?}");
}

fn arrival(world: &World, node: usize, of: IpAddr, priority: u8) -> Timestamp {
    world.nodes[node].kernel.members[0].side.arrivals[&(of, priority)]
}

#[test]
fn a_master_that_falls_below_is_followed_by_the_highest_after_master_down_interval() {
    for seed in 0..200 {
        let falling = with_weight(node(10, 200, INTERVAL), -150);
        let mut world = World::settled(seed, vec![falling, node(20, 150, INTERVAL), node(30, 140, INTERVAL)]);
        settle(&mut world);
        world.track(MASTER, TRACK, false);
        world.run(Duration::from_secs(3));
        let of = world.nodes[MASTER].source();
        ensure_due(&world, seed, 1, arrival(&world, 1, of, 200));
        assert!(takeover(&world, 2).is_none(), "seed {seed}: the lower backup was master");
        assert_eq!(world.masters(), [1], "seed {seed}");
    }
}

#[test]
fn a_backup_that_rises_above_takes_over_after_master_down_interval() {
    for seed in 0..200 {
        let rising = with_weight(node(20, 100, INTERVAL), 150);
        let mut world = World::new(seed, vec![node(10, 200, INTERVAL), rising]);
        world.start(0);
        world.start(1);
        world.track(1, TRACK, false);
        world.run(Duration::from_secs(10));
        assert_eq!(world.masters(), [MASTER], "seed {seed}");
        settle(&mut world);
        // Frames in transit would no longer be obeyed.
        world.run(ms(1));
        let of = world.nodes[MASTER].source();
        let last = arrival(&world, 1, of, 200);
        world.track(1, TRACK, true);
        world.run(Duration::from_secs(3));
        ensure_due(&world, seed, 1, last);
        assert_eq!(world.masters(), [1], "seed {seed}");
    }
}

/// The master releases, or releases after its priority fell, each beside a higher and a lower backup.
#[test]
fn a_release_after_steady_adverts_is_followed_within_the_skew() {
    for seed in 0..200 {
        let falling = with_weight(node(10, 200, INTERVAL), -10);
        let mut world = World::settled(seed, vec![falling, node(20, 150, INTERVAL), node(30, 140, INTERVAL)]);
        settle(&mut world);
        if seed % 2 == 0 {
            world.track(MASTER, TRACK, false);
            world.run(ms(50));
        }
        world.stop(MASTER);
        world.run(Duration::from_secs(3));
        let of = world.nodes[MASTER].source();
        let released = arrival(&world, 1, of, 0);
        let (at, _) = takeover(&world, 1).unwrap();
        let skew = world.nodes[1].instance().skew();
        let waited = at.since(released);
        assert!(waited <= skew + WAKE, "seed {seed}: {waited:?} of {skew:?}");
        assert!(takeover(&world, 2).is_none(), "seed {seed}: the lower backup was master");
    }
}

/// Maintenance in the midst of a `preempt_delay`, or after it, before the takeover: the delay begins again with the
/// first advert of the lower master that is heard after its end.
#[test]
fn maintenance_starts_preempt_delay_again() {
    const DELAY: Duration = Duration::from_secs(2);
    for seed in 0..100 {
        let mut better = node(20, 200, INTERVAL);
        better.settings().preempt_delay = DELAY;
        let mut world = World::new(seed, vec![node(10, 150, INTERVAL), better]);
        world.start(MASTER);
        world.run(Duration::from_secs(2));
        world.start(1);
        let moment = Duration::from_nanos(world.random.below(2_200_000_000));
        world.run(moment);
        world.steer(1, Steering { maintenance: true, ..Steering::default() });
        let away = Duration::from_nanos(world.random.below(3_000_000_000));
        world.run(away);
        world.forget();
        world.steer(1, Steering::default());
        let back = world.now;
        world.run(Duration::from_secs(5));
        let expected = [
            (1, State::Backup, Reason::Recovered),
            (1, State::Master, Reason::Preempted),
            (MASTER, State::Backup, Reason::HigherPriority),
        ];
        assert_eq!(moves(&world), expected, "seed {seed}");
        let waited = world.log[1].1.at.since(back);
        assert!(waited >= DELAY, "seed {seed}: {waited:?}");
    }
}
