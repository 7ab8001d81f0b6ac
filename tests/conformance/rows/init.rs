//! Init (RFC 9568 §6.4.1).

use super::{ALL, Row, V3, owner, plain};
use crate::setup::tracked;

pub(super) const ROWS: &[Row] = &[
    Row {
        number: "S01",
        what: "the owner starts as master",
        variants: ALL,
        settings: owner,
        script: "
            startup         -> advert 255, add, MASTER owner
            wait A - 1ns
            wait 1ns        -> advert 255
            wait A          -> advert 255",
    },
    Row {
        number: "S01",
        what: "the owner starts as master even if a track is down",
        variants: ALL,
        settings: |settings| {
            owner(settings);
            settings.tracks = vec![tracked(1, -50)];
        },
        script: "
            track 1 down
            startup         -> advert 255, add, MASTER owner
            effective 255",
    },
    Row {
        number: "S02",
        what: "other routers wait for master_down_interval by their own interval, and send nothing",
        variants: ALL,
        settings: plain,
        script: "
            startup         -> BACKUP startup
            wait down - 1ns
            wait 1ns        -> advert 100, add, MASTER master_silent",
    },
    Row {
        number: "S03",
        what: "adverts in Init have no effect",
        variants: ALL,
        settings: plain,
        script: "
            hear 200 from 120
            hear 0 from 120
            hear 255 from 120
            seen
            is INIT
            startup         -> BACKUP startup
            wait 3609375us  -> advert 100, add, MASTER master_silent",
    },
    Row {
        number: "S04",
        what: "a second start does not use the learned interval",
        variants: V3,
        settings: plain,
        script: "
            startup                     -> BACKUP startup
            hear 200 from 120 every 5cs -> watch
            shutdown                    -> unwatch, INIT shutdown
            startup                     -> BACKUP startup
            wait 3609375us - 1ns
            wait 1ns                    -> advert 100, add, MASTER master_silent",
    },
];
