//! Master (RFC 9568 §6.4.3): adverts, contests, announcements.

use std::time::Duration;

use vrrp_user::protocol::Interval;

use super::{ALL, Row, V3, no_preempt, owner, plain};

pub(super) const ROWS: &[Row] = &[
    Row {
        number: "A07",
        what: "a master sends a release, then removes its addresses",
        variants: ALL,
        settings: owner,
        script: "
            startup     -> advert 255, add, MASTER owner
            shutdown    -> advert 0, remove, INIT shutdown
            wait 20s",
    },
    Row {
        number: "A09",
        what: "a release is answered at once, and the interval starts again",
        variants: ALL,
        settings: owner,
        script: "
            startup         -> advert 255, add, MASTER owner
            wait 400ms
            hear 0 from 120 -> advert 255
            wait A - 1ns
            wait 1ns        -> advert 255",
    },
    Row {
        number: "A09",
        what: "each of several releases is answered, the later ones after the pause between them",
        variants: ALL,
        settings: owner,
        script: "
            startup         -> advert 255, add, MASTER owner
            wait 400ms
            hear 0 from 120 -> advert 255
            wait 20ms
            hear 0 from 120
            wait 20ms
            hear 0 from 120
            wait 10ms - 1ns
            wait 1ns        -> advert 255
            wait 10ms
            hear 0 from 120
            wait 40ms - 1ns
            wait 1ns        -> advert 255
            wait A - 1ns
            wait 1ns        -> advert 255",
    },
    Row {
        number: "A10",
        what: "a higher master is obeyed, after an advert that shows it that there were two",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 300ms
            hear 101 from 90    -> advert 100, remove, watch, BACKUP higher_priority
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "A17",
        what: "the higher master's interval applies until we are master again, then ours",
        variants: V3,
        settings: plain,
        script: "
            startup                     -> BACKUP startup
            wait down                   -> advert 100, add, MASTER master_silent
            hear 200 from 90 every 1cs  -> advert 100, remove, watch, BACKUP higher_priority
            wait 36093750ns - 1ns
            wait 1ns                    -> advert 100, add, unwatch, MASTER master_silent
            wait A - 1ns
            wait 1ns                    -> advert 100",
    },
    Row {
        number: "A11",
        what: "of two equal masters the lower address yields",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            hear 100 from 200   -> advert 100, remove, watch, BACKUP higher_address",
    },
    Row {
        number: "own",
        what: "the time of two masters is counted between adverts of the lower one, without its gaps",
        variants: V3,
        settings: plain,
        script: "
            startup                     -> BACKUP startup
            wait down                   -> advert 100, add, MASTER master_silent
            wait 300ms
            hear 90 from 90 every 10cs  -> advert 100, contest
            wait 50ms
            hear 90 from 90 every 10cs
            rivalled 50ms
            wait 200ms
            hear 90 from 90 every 10cs  -> advert 100
            rivalled 250ms
            wait 201ms
            hear 90 from 90 every 10cs  -> advert 100
            rivalled 250ms",
    },
    Row {
        number: "A12",
        what: "of two equal masters the higher address stays, and sends an advert",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 300ms
            hear 100 from 90    -> advert 100, contest
            wait A - 1ns
            wait 1ns            -> advert 100",
    },
    Row {
        number: "A13",
        what: "a lower master is answered at once, but not every time",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 300ms
            hear 99 from 120    -> advert 100, contest
            wait 50ms
            hear 99 from 120
            wait 50ms - 1ns
            hear 99 from 120
            wait 1ns
            hear 99 from 120    -> advert 100
            wait A - 1ns
            wait 1ns            -> advert 100",
    },
    Row {
        number: "A14",
        what: "without preemption a master still yields to a higher one",
        variants: ALL,
        settings: no_preempt,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            hear 99 from 120    -> advert 100, contest
            hear 101 from 90    -> advert 100, remove, watch, BACKUP higher_priority",
    },
    Row {
        number: "A15",
        what: "our own looped advert changes nothing",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 200 from 100
            wait down           -> advert 100, add, MASTER master_silent
            wait 300ms
            hear 200 from 100
            hear 0 from 100
            hear 1 from 100
            wait 700ms - 1ns
            wait 1ns            -> advert 100",
    },
    Row {
        number: "A16",
        what: "of two owners the higher address stays",
        variants: ALL,
        settings: owner,
        script: "
            startup             -> advert 255, add, MASTER owner
            hear 255 from 90    -> advert 255, contest
            hear 255 from 120   -> advert 255, remove, watch, BACKUP higher_address
            wait down - 1ns
            wait 1ns            -> advert 255, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "V12",
        what: "a lower master gets no answer with lower_prio_no_advert",
        variants: ALL,
        settings: |settings| settings.lower_prio_no_advert = true,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 300ms
            hear 99 from 120    -> contest
            wait 700ms - 1ns
            wait 1ns            -> advert 100",
    },
    Row {
        number: "own",
        what: "a master yields without an advert if configured",
        variants: ALL,
        settings: |settings| settings.higher_prio_send_advert = false,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            hear 101 from 90    -> remove, watch, BACKUP higher_priority",
    },
    Row {
        number: "own",
        what: "announcements: first set, its repeats, the delayed set, the refresh",
        variants: ALL,
        settings: |settings| {
            settings.advert_interval = Interval::new(Duration::from_secs(40), settings.version).unwrap();
            settings.announce.repeat = 5;
            settings.announce.delay = Duration::from_secs(5);
            settings.announce.refresh = Duration::from_secs(10);
            settings.announce.refresh_repeat = 2;
            owner(settings);
        },
        script: "
            startup         -> advert 255, add, announce 4, MASTER owner
            wait 5s - 1ns
            wait 1ns        -> announce 5
            wait 5s - 1ns
            wait 1ns        -> announce 2
            wait 10s        -> announce 2
            shutdown        -> advert 0, remove, INIT shutdown
            wait 100s",
    },
    Row {
        number: "own",
        what: "announcements again, as after a link has come up: a set at once and the delayed one",
        variants: ALL,
        settings: |settings| {
            settings.advert_interval = Interval::new(Duration::from_secs(40), settings.version).unwrap();
            settings.announce.repeat = 5;
            settings.announce.delay = Duration::from_secs(5);
            owner(settings);
        },
        script: "
            startup         -> advert 255, add, announce 4, MASTER owner
            wait 5s         -> announce 5
            wait 1s
            announce        -> announce 5
            wait 5s - 1ns
            wait 1ns        -> announce 5
            wait 20s",
    },
    Row {
        number: "own",
        what: "a contest is announced now and later, and reported once a second",
        variants: ALL,
        settings: |settings| {
            owner(settings);
            settings.announce.lower_prio_repeat = 3;
            settings.announce.lower_prio_delay = Duration::from_millis(1500);
        },
        script: "
            startup             -> advert 255, add, MASTER owner
            hear 99 from 120    -> advert 255, announce 3, contest
            wait 500ms
            hear 99 from 120    -> advert 255
            wait 500ms          -> announce 3
            hear 99 from 120    -> advert 255, announce 3, contest
            wait 500ms          -> announce 3
            wait 500ms          -> advert 255",
    },
    Row {
        number: "own",
        what: "an owner can be configured to ignore all other masters",
        variants: ALL,
        settings: |settings| {
            owner(settings);
            settings.owner_ignores = true;
        },
        script: "
            startup             -> advert 255, add, MASTER owner
            wait 400ms
            hear 99 from 120
            hear 255 from 200
            hear 0 from 120
            wait A - 400ms - 1ns
            wait 1ns            -> advert 255",
    },
    Row {
        number: "A08",
        what: "adverts keep their phase when sent late, and start again when a whole interval was lost",
        variants: ALL,
        settings: owner,
        script: "
            startup             -> advert 255, add, MASTER owner
            wait 900ms
            freeze 300ms        -> advert 255
            wait 800ms - 1ns
            wait 1ns            -> advert 255
            freeze 2500ms       -> advert 255
            wait A - 1ns
            wait 1ns            -> advert 255",
    },
];
