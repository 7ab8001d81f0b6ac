//! Silence that proves nothing: timers handled early or late.

use super::{ALL, Row, plain};
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
        what: "a backup that stood still listens for another interval and skew",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            freeze 10s
            away 1
            wait A + skew - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "and again if it stands still again, until the master is heard",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            freeze 10s
            wait 1s
            freeze 1s
            away 2
            wait 1s
            hear 150 from 120   -> watch
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "an absence is noticed by whatever comes first, also by an old sighting",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait 2s
            sleep 2s
            seen 3s ago
            away 1
            wait A + skew - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "or by a changed priority",
        variants: ALL,
        settings: |settings| settings.tracks = vec![tracked(1, -64)],
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            sleep 4s
            track 1 down        -> priority 36
            away 1
            wait A + skew - 1ns
            wait 1ns            -> advert 36, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "an absence that ends just after the deadline is noticed by what it missed before",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait down - 700ms
            freeze 750ms
            away 1
            wait A + skew - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "a release is judged as carefully",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            hear 0 from 120     -> unwatch
            freeze 2s
            away 1
            wait A + skew - 1ns
            wait 1ns            -> advert 100, add, MASTER master_released",
    },
    Row {
        number: "own",
        what: "a little lateness is no absence",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait down - 1ns
            freeze 90ms         -> advert 100, add, unwatch, MASTER master_silent
            away 0",
    },
];
