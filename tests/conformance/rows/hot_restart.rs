//! Hot restart: the newer process sends, announces and forgets nothing because of it.

use std::time::Duration;

use vrrp_user::protocol::ElectionSettings;

use super::{ALL, Row, V3, plain};
use crate::setup::tracked;

fn refreshed(settings: &mut ElectionSettings) {
    settings.announce.refresh = Duration::from_secs(1);
}

fn announced_again(settings: &mut ElectionSettings) {
    (settings.announce.repeat, settings.announce.delay) = (5, Duration::from_millis(900));
}

fn checked(settings: &mut ElectionSettings) {
    settings.tracks = vec![tracked(1, 0), tracked(2, -20)];
    settings.tracks.iter_mut().for_each(|track| track.initial = None);
}

pub(super) const ROWS: &[Row] = &[
    Row {
        number: "own",
        what: "a master stays master, in its epoch and in the phase of its adverts",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            epoch 2
            wait 400ms
            restart             -> hold
            is MASTER
            epoch 2
            wait A - 400ms - 1ns
            wait 1ns            -> advert 100
            wait A              -> advert 100
            shutdown            -> advert 0, remove, INIT shutdown",
    },
    Row {
        number: "own",
        what: "an advert due during the restart is sent at once",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            sleep A
            sleep 3ms
            restart             -> hold, advert 100
            wait A - 3ms        -> advert 100",
    },
    Row {
        number: "own",
        what: "a restart that takes long is no suspension: the older process sends meanwhile",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            restart in down + A -> hold, advert 100
            suspensions 0
            epoch 2
            wait A              -> advert 100",
    },
    Row {
        number: "own",
        what: "a master whose adverts do not leave during the restart listens",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            restart unsent in down -> hold
            suspensions 1
            wait A + skew       -> advert 100, add, MASTER resumed
            epoch 3",
    },
    Row {
        number: "own",
        what: "a master that was suspended before the restart listens",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            sleep down + A
            restart             -> hold
            suspensions 1
            wait A + skew       -> advert 100, add, MASTER resumed
            epoch 3",
    },
    Row {
        number: "own",
        what: "periodic announcements continue",
        variants: ALL,
        settings: refreshed,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 500ms
            restart             -> hold
            wait 1s             -> advert 100, announce 1",
    },
    Row {
        number: "own",
        what: "the second set of announcements is sent at its original time",
        variants: V3,
        settings: announced_again,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, announce 4, MASTER master_silent
            wait 500ms
            restart             -> hold
            wait 400ms - 1ns
            wait 1ns            -> announce 5
            wait 100ms          -> advert 100
            restart             -> hold
            wait A              -> advert 100",
    },
    Row {
        number: "own",
        what: "a backup still obeys its master, and listens for an interval and skew if the deadline was near",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait 100ms
            restart
            hear 150 from 120   -> watch
            epoch 1
            wait down - 1ns
            restart
            wait A + skew - 1ns
            is BACKUP
            wait 1ns            -> advert 100, add, MASTER master_silent
            epoch 2",
    },
    Row {
        number: "own",
        what: "another router's release leaves the master an interval and skew to be heard again",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait 100ms
            restart
            wait 100ms
            hear 0 from 130
            wait A - 100ms
            hear 150 from 120   -> watch
            wait down - 1ns
            restart
            hear 0 from 130
            wait A + skew - 1ns
            is BACKUP
            wait 1ns            -> advert 100, add, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "preempt_delay runs on, over two restarts",
        variants: ALL,
        settings: |settings| settings.preempt_delay = Duration::from_secs(10),
        script: "
            startup             -> BACKUP startup
            hear 90 from 120    -> watch
            wait 2s
            seen
            wait 2s
            restart
            hear 90 from 120    -> watch
            wait 2s
            seen
            wait 2s
            restart
            wait 500ms
            hear 90 from 120    -> watch
            wait 1500ms - 1ns
            wait 1ns            -> unwatch
            hear 90 from 120
            wait down - 1500ms - 1ns
            wait 1ns            -> advert 100, add, MASTER preempted",
    },
    Row {
        number: "own",
        what: "a preempt_delay that has ended does not begin again",
        variants: ALL,
        settings: |settings| settings.preempt_delay = Duration::from_secs(2),
        script: "
            startup             -> BACKUP startup
            hear 90 from 120    -> watch
            wait 2s             -> unwatch
            restart
            hear 90 from 120
            wait A + skew - 1ns
            wait 1ns            -> advert 100, add, MASTER preempted",
    },
    Row {
        number: "own",
        what: "a fault persists until its cause ends",
        variants: ALL,
        settings: checked,
        script: "
            startup
            track 1 up
            track 2 up          -> BACKUP startup
            track 1 down        -> FAULT track_down
            track 2 down        -> priority 80
            restart
            is FAULT
            effective 80
            epoch 2
            track 1 up          -> BACKUP recovered",
    },
    Row {
        number: "own",
        what: "a master keeps its check results until new ones are known",
        variants: ALL,
        settings: checked,
        script: "
            startup
            track 1 up
            track 2 down        -> BACKUP startup, priority 80
            wait down           -> advert 80, add, MASTER master_silent
            restart             -> hold
            effective 80
            wait A              -> advert 80",
    },
];
