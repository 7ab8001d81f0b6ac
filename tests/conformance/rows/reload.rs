//! Changed settings of a running instance.

use super::{ALL, Row, V2, V3, plain};
use crate::setup::tracked;

pub(super) const ROWS: &[Row] = &[
    Row {
        number: "own",
        what: "the same settings again change nothing, in any state",
        variants: ALL,
        settings: plain,
        script: "
            configure nothing
            startup             -> BACKUP startup
            wait 1s
            configure nothing
            wait down - 1s - 1ns
            wait 1ns            -> advert 100, add, MASTER master_silent
            wait 300ms
            configure nothing
            wait 700ms - 1ns
            wait 1ns            -> advert 100
            source none         -> remove, FAULT no_source
            configure nothing",
    },
    Row {
        number: "own",
        what: "a master sends a changed advert at once, and continues from there",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 300ms
            configure priority 150 -> advert 150, priority 150
            wait 1s - 1ns
            wait 1ns            -> advert 150
            configure interval 2s -> advert 150
            wait 2s - 1ns
            wait 1ns            -> advert 150
            configure one address more -> advert 150",
    },
    Row {
        number: "own",
        what: "changes invisible to others shift no advert",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 400ms
            configure preempt off
            configure patience 5
            wait 600ms - 1ns
            wait 1ns            -> advert 100",
    },
    Row {
        number: "own",
        what: "a backup raised above its master waits for the rest of master_down_interval",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 120 from 50    -> watch
            configure priority 150 -> unwatch, priority 150
            wait 1s
            hear 120 from 50
            wait down - 1s - 1ns
            wait 1ns            -> advert 150, add, MASTER preempted",
    },
    Row {
        number: "own",
        what: "in version 2 the longer interval applies, ours or the master's",
        variants: V2,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 120 from 50    -> watch
            wait 500ms
            configure interval 2s
            wait 1s
            seen
            wait 6s + 609375us - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "in version 3 the master's interval still applies",
        variants: V3,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 120 from 50    -> watch
            wait 500ms
            configure interval 2s
            wait down - 500ms - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "a new track fails the instance by its first result, and its removal recovers it",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            configure track 1
            track 1 down        -> advert 0, remove, FAULT track_down
            configure tracks off -> BACKUP recovered",
    },
    Row {
        number: "own",
        what: "an unchanged track keeps its result",
        variants: ALL,
        settings: |settings| settings.tracks = vec![tracked(1, -60)],
        script: "
            startup             -> BACKUP startup
            track 1 down        -> priority 40
            configure priority 150 -> priority 90
            track 1 up          -> priority 150",
    },
    Row {
        number: "own",
        what: "an instance that is removed releases, and nothing brings it back",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            configure away      -> advert 0, remove, INIT removed
            startup
            hear 50 from 120
            link down
            link up
            wait 20s
            is INIT",
    },
];
