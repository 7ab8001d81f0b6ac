//! Suspension: timers handled early or late, and adverts that a master could not send.

use vrrp_user::protocol::Priority;

use super::{ALL, Row, no_preempt, plain};
use crate::setup::tracked;

pub(super) const ROWS: &[Row] = &[
    Row {
        number: "own",
        what: "a timeout called too early does nothing",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            call
            wait 700ms
            call
            call
            wait down - 700ms   -> advert 100, add, MASTER master_silent
            call
            wait 300ms
            call
            wait 700ms          -> advert 100
            call",
    },
    Row {
        number: "own",
        what: "a suspended backup listens for two intervals and skew, as its master may be listening too",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            freeze 10s
            suspensions 1
            wait A + A + skew - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "a backup without reception does not take over, and listens again",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait down - 10ms
            deaf
            suspensions 1
            wait 20ms
            deaf
            wait A + A + skew - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "lost reception has no effect on a master",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            deaf
            is MASTER",
    },
    Row {
        number: "own",
        what: "a suspended backup without a known master listens for one interval and skew",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            freeze 10s
            suspensions 1
            wait A + skew - 1ns
            wait 1ns            -> advert 100, add, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "a backup suspended again listens again, until the master is heard",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            freeze 10s
            wait 1s
            freeze 1s
            suspensions 2
            wait 1s
            hear 150 from 120   -> watch
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "the first input after a suspension detects it, even an old sighting",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait 2s
            sleep 2s
            seen 3s ago
            suspensions 1
            wait A + A + skew - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "a changed priority detects a suspension",
        variants: ALL,
        settings: |settings| settings.tracks = vec![tracked(1, -64)],
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            sleep 4s
            track 1 down        -> priority 36
            suspensions 1
            wait A + A + skew - 1ns
            wait 1ns            -> advert 36, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "a suspension that ends just after the deadline is detected by an earlier timer",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait down - 760ms
            freeze 860ms
            suspensions 1
            wait 425ms - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "a suspended backup listens for half as long again, and master_down_interval in all",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait A + A + 800ms
            freeze 250ms
            suspensions 1
            wait down - A - A - A - 50ms - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "suspensions in one silence count together",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait down - 760ms
            freeze 610ms
            freeze 280ms
            suspensions 2
            wait 415ms - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "a suspension before the first check has an unknown length; the master's lease has not expired",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            sleep A + A + 250ms
            call
            suspensions 1
            wait down - A - A - 250ms - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "a suspension after a release is detected too",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            hear 0 from 120     -> unwatch
            freeze 2s
            suspensions 1
            wait A + skew - 1ns
            wait 1ns            -> advert 100, add, MASTER master_released",
    },
    Row {
        number: "own",
        what: "a short delay is no suspension",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait down - 1ns
            freeze 90ms         -> advert 100, add, unwatch, MASTER master_silent
            suspensions 0",
    },
    Row {
        number: "own",
        what: "a master late by less than its peers' master_down_interval continues",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            freeze 2996ms       -> advert 100
            suspensions 0
            wait A              -> advert 100",
    },
    Row {
        number: "own",
        what: "a master suspended for longer listens, and returns if no other has taken over",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            freeze 3s
            suspensions 1
            wait A + skew - 1ns
            is MASTER
            wait 1ns            -> advert 100, add, MASTER resumed
            wait A              -> advert 100",
    },
    Row {
        number: "own",
        what: "a master suspended again listens again",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            freeze 10s
            freeze 10s
            suspensions 2
            wait A + skew       -> advert 100, add, MASTER resumed",
    },
    Row {
        number: "own",
        what: "a returning master obeys a higher one, without an advert before",
        variants: ALL,
        settings: |settings| settings.higher_prio_send_advert = true,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            sleep 10s
            hear 150 from 120   -> remove, watch, BACKUP higher_priority
            suspensions 1",
    },
    Row {
        number: "own",
        what: "a returning master obeys one of equal priority and higher address",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            freeze 10s
            hear 100 from 120   -> remove, watch, BACKUP higher_address",
    },
    Row {
        number: "own",
        what: "a lower master, and its release, change nothing for a returning one",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            freeze 10s
            hear 50 from 120
            hear 0 from 120
            wait A + skew       -> advert 100, add, MASTER resumed",
    },
    Row {
        number: "own",
        what: "without preemption a returning master obeys a lower one",
        variants: ALL,
        settings: no_preempt,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            freeze 10s
            hear 50 from 120    -> remove, watch, BACKUP superseded",
    },
    Row {
        number: "own",
        what: "a returning owner obeys no lower master",
        variants: ALL,
        settings: |settings| (settings.preempt, settings.priority) = (false, Priority::OWNER),
        script: "
            startup             -> advert 255, add, MASTER owner
            freeze 10s
            hear 50 from 120
            wait A + skew       -> advert 255, add, MASTER resumed",
    },
    Row {
        number: "own",
        what: "a returning master sends nothing while it listens",
        variants: ALL,
        settings: |settings| settings.tracks = vec![tracked(1, -64)],
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            sleep 10s
            track 1 down        -> priority 36
            lost address
            configure patience 5
            wait A + A          -> advert 36, add, MASTER resumed",
    },
    Row {
        number: "own",
        what: "a returning master releases on shutdown",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            freeze 10s
            shutdown            -> advert 0, remove, INIT shutdown",
    },
    Row {
        number: "own",
        what: "a lapsed lease counts as a suspension",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            lapsed
            wait down           -> advert 100, add, MASTER master_silent
            lapsed
            suspensions 1
            wait A + skew - 1ns
            wait 1ns            -> advert 100, add, MASTER resumed",
    },
];
