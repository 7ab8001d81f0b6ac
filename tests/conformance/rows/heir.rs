//! An heir, and a former master that may return without having heard it.

use std::time::Duration;

use vrrp_user::protocol::Interval;

use super::{ALL, Row, V3, no_preempt, owner, plain};

pub(super) const ROWS: &[Row] = &[
    Row {
        number: "own",
        what: "a master after silence answers a request with an advert, at most each 20 ms",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait down           -> advert 100, add, unwatch, MASTER master_silent
            wait 20ms - 1ns
            ask
            wait 1ns
            ask                 -> advert 100
            ask
            wait 20ms - 1ns
            ask
            wait 1ns
            ask                 -> advert 100
            wait A - 1ns
            wait 1ns            -> advert 100
            ask
            wait 20ms
            ask                 -> advert 100",
    },
    Row {
        number: "own",
        what: "a master that has never heard another one does so too",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 20ms
            ask                 -> advert 100",
    },
    Row {
        number: "own",
        what: "adverts on request end after five minutes",
        variants: ALL,
        settings: |settings| {
            settings.advert_interval = Interval::new(Duration::from_secs(40), settings.version).unwrap();
        },
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 280s           -> advert 100, advert 100, advert 100, advert 100, advert 100, advert 100, advert 100
            wait 20s - 1ns
            ask                 -> advert 100
            wait 30ms
            ask",
    },
    Row {
        number: "own",
        what: "adverts on request end when another master is heard, which then knows of it",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 500ms
            hear 90 from 120    -> advert 100, contest
            wait 100ms
            ask",
    },
    Row {
        number: "own",
        what: "no adverts on request after a release",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            hear 0 from 120     -> unwatch
            wait skew           -> advert 100, add, MASTER master_released
            wait 500ms
            ask
            shutdown            -> advert 0, remove, INIT shutdown",
    },
    Row {
        number: "own",
        what: "an owner that was master at once sends no adverts on request",
        variants: ALL,
        settings: owner,
        script: "
            startup             -> advert 255, add, MASTER owner
            wait 500ms
            ask",
    },
    Row {
        number: "own",
        what: "no adverts on request at intervals of 20 ms",
        variants: V3,
        settings: |settings| {
            settings.advert_interval = Interval::new(Duration::from_millis(20), settings.version).unwrap();
        },
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 19ms
            ask",
    },
    Row {
        number: "own",
        what: "no adverts on request after its own suspension",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            sleep 10s
            ask
            suspensions 1
            wait A + skew       -> advert 100, add, MASTER resumed
            ask",
    },
    Row {
        number: "own",
        what: "the last advert of a preempted master is no contest, a later one is",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 90 from 90
            wait down           -> advert 100, add, MASTER preempted
            wait 100ms
            hear 90 from 90
            wait 1ns
            hear 90 from 90     -> advert 100, contest",
    },
    Row {
        number: "own",
        what: "an advert of another master is a contest at once",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 90 from 90
            wait down           -> advert 100, add, MASTER preempted
            hear 80 from 80     -> advert 100, contest",
    },
    Row {
        number: "own",
        what: "a higher master without preemption announces again when a paused lower master yields",
        variants: ALL,
        settings: |settings| {
            no_preempt(settings);
            settings.announce.lower_prio_repeat = 3;
        },
        script: "
            startup             -> BACKUP startup
            hear 90 from 90     -> watch
            wait down           -> advert 100, add, unwatch, MASTER master_silent
            wait 50ms
            hear 90 from 90     -> advert 100, announce 3, contest",
    },
    Row {
        number: "own",
        what: "a lower master heard again just after our announcement causes another one, and a third after a second",
        variants: ALL,
        settings: |settings| {
            owner(settings);
            settings.advert_interval = Interval::new(Duration::from_secs(40), settings.version).unwrap();
            settings.announce.lower_prio_repeat = 3;
            settings.announce.lower_prio_delay = Duration::ZERO;
        },
        script: "
            startup             -> advert 255, add, MASTER owner
            hear 99 from 120    -> advert 255, announce 3, contest
            wait 10ms
            hear 99 from 120
            wait 50ms
            hear 99 from 120
            wait 50ms - 1ns
            wait 1ns            -> announce 3
            wait 100ms
            hear 99 from 120    -> advert 255
            wait 700ms
            hear 99 from 120    -> advert 255
            wait 90ms
            hear 99 from 120    -> announce 3, contest
            wait 110ms - 1ns
            wait 1ns            -> announce 3
            wait 10s",
    },
];
