//! A hot restart, in which the older process sends until the newer one resumes.

use std::time::Duration;

use vrrp_user::protocol::{Reason, SendError, State};

use super::{BACKUP, HEARING, MASTER, moves, ms, pair};

/// However long the newer process takes.
#[test]
fn a_hot_restart_moves_no_master() {
    for seed in 0..100 {
        for resumes in [true, false] {
            let mut world = pair(seed, 1);
            let (moment, takes) = (world.random.below(100_000_000), world.random.below(1_000_000_000));
            world.run(Duration::from_nanos(moment));
            world.begin_restart(MASTER);
            world.run(Duration::from_nanos(takes));
            world.end_restart(MASTER, resumes);
            world.run(Duration::from_secs(2));
            assert_eq!(moves(&world), [], "seed {seed}");
            assert_eq!((world.masters(), world.shared), (vec![MASTER], Duration::ZERO), "seed {seed}");
        }
    }
}

/// The machine is suspended in a hot restart, or its adverts do not leave for a while: the peer is master by then.
#[test]
fn a_master_that_was_silent_in_a_hot_restart_listens() {
    for seed in 0..200 {
        let (freezes, resumes) = (seed % 2 == 0, seed % 4 < 2);
        let mut world = pair(seed, 1);
        let (moment, silent) = (world.random.below(100_000_000), world.random.below(800_000_000));
        world.run(Duration::from_nanos(moment));
        world.begin_restart(MASTER);
        world.run(ms(15));
        let span = ms(60) + Duration::from_nanos(silent);
        if freezes {
            world.freeze(MASTER, span);
            world.run(span);
        } else {
            world.nodes[MASTER].fail_sends(Some(SendError::Unreachable));
            world.run(span);
            world.nodes[MASTER].fail_sends(None);
            // None may leave now: it would move the peer.
            world.run(ms(25));
        }
        assert_eq!(moves(&world), [(BACKUP, State::Master, Reason::MasterSilent)], "seed {seed}");
        let sent = world.sent[MASTER];
        world.end_restart(MASTER, resumes);
        assert_eq!(world.sent[MASTER], sent, "seed {seed}");
        let until = world.nodes[MASTER].kernel.answers_until();
        assert!(until.is_none_or(|until| until <= world.now), "seed {seed}: it answers");
        world.run(Duration::from_secs(2));
        assert_eq!(world.masters(), [MASTER], "seed {seed}");
        assert!(world.shared <= HEARING, "seed {seed}: both answer for {:?}", world.shared);
    }
}
