//! An heir, and the master before it that may come back without knowing of it.

use std::time::Duration;

use vrrp_user::protocol::Interval;

use super::{ALL, Row, V3, no_preempt, owner, plain};

pub(super) const ROWS: &[Row] = &[
    Row {
        number: "own",
        what: "one that took over from silence says so when it is asked, at most each 20 ms",
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
        what: "so does one that has never heard another",
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
        what: "for five minutes",
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
        what: "until another master is heard, who knows of it then",
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
        what: "not where the master has released, was overruled, or is nobody",
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
        what: "an owner, which nobody was before, is not asked",
        variants: ALL,
        settings: owner,
        script: "
            startup             -> advert 255, add, MASTER owner
            wait 500ms
            ask",
    },
    Row {
        number: "own",
        what: "adverts as frequent as that say enough",
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
        what: "one that is asked after its own absence says nothing",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            sleep 10s
            ask
            away 1
            wait A + skew       -> advert 100, add, MASTER returned
            ask",
    },
    Row {
        number: "own",
        what: "the last advert of one that was overruled is no contest, a later one is",
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
        what: "that of another one is a contest at once",
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
        what: "one that does not preempt, and is better than a master that was paused, announces itself again when that yields",
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
        what: "a lower master that is heard again just after it was announced about is announced about once more, and a third time after a second",
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
