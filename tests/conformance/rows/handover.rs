//! Planned handover: the addresses stay until the heir has them.

use vrrp_user::protocol::{ElectionSettings, Order};

use super::{ALL, Row, V3};
use crate::setup::tracked;

fn overlap(settings: &mut ElectionSettings) {
    settings.handover = Order::Overlap;
}

fn checked(settings: &mut ElectionSettings) {
    overlap(settings);
    settings.tracks = vec![tracked(1, 0)];
}

fn weighed(settings: &mut ElectionSettings) {
    overlap(settings);
    settings.tracks = vec![tracked(1, -20)];
}

fn virtual_mac(settings: &mut ElectionSettings) {
    overlap(settings);
    settings.has_virtual_mac = true;
}

pub(super) const ROWS: &[Row] = &[
    Row {
        number: "own",
        what: "a master that ends serves until shortly after its heir is heard",
        variants: ALL,
        settings: overlap,
        script: "
            startup         -> BACKUP startup
            wait down       -> advert 100, add, MASTER master_silent
            wait 10ms
            shutdown        -> advert 0, INIT shutdown
            wait 50ms - 1ns
            wait 1ns        -> advert 0
            wait 50ms       -> advert 0
            wait 500ms
            hear 90 from 90 -> stop answering
            hear 90 from 90
            wait 50ms - 1ns
            wait 1ns        -> remove
            wait 20s",
    },
    Row {
        number: "own",
        what: "without an heir it serves for its skew and two intervals",
        variants: ALL,
        settings: overlap,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            shutdown            -> advert 0, INIT shutdown
            hear 0 from 90
            wait 100ms          -> advert 0, advert 0
            wait skew + 2s - 1ns
            wait 1ns            -> remove
            hear 90 from 90
            wait 20s",
    },
    Row {
        number: "own",
        what: "after the heir's advert the release is not repeated",
        variants: ALL,
        settings: overlap,
        script: "
            startup         -> BACKUP startup
            wait down       -> advert 100, add, MASTER master_silent
            shutdown        -> advert 0, INIT shutdown
            wait 20ms
            hear 90 from 90 -> stop answering
            wait 50ms       -> remove
            wait 20s",
    },
    Row {
        number: "own",
        what: "a second shutdown ends the wait for an heir",
        variants: ALL,
        settings: overlap,
        script: "
            startup     -> BACKUP startup
            wait down   -> advert 100, add, MASTER master_silent
            shutdown    -> advert 0, INIT shutdown
            wait 10ms
            shutdown    -> remove
            shutdown
            wait 20s",
    },
    Row {
        number: "own",
        what: "a failed check hands over, and the heir is obeyed when the check succeeds again",
        variants: ALL,
        settings: checked,
        script: "
            startup          -> BACKUP startup
            wait down        -> advert 100, add, MASTER master_silent
            track 1 down     -> advert 0, FAULT track_down
            wait 100ms
            track 1 up       -> BACKUP recovered
            wait 100ms
            hear 150 from 90 -> stop answering, watch
            wait 50ms        -> remove",
    },
    Row {
        number: "own",
        what: "a link failure during the handover removes the addresses at once",
        variants: ALL,
        settings: checked,
        script: "
            startup          -> BACKUP startup
            wait down        -> advert 100, add, MASTER master_silent
            track 1 down     -> advert 0, FAULT track_down
            wait 50ms
            link down        -> remove
            hear 150 from 90
            wait 20s",
    },
    Row {
        number: "own",
        what: "without a link or a source there is no handover",
        variants: ALL,
        settings: overlap,
        script: "
            startup     -> BACKUP startup
            wait down   -> advert 100, add, MASTER master_silent
            link down   -> advert 0, remove, FAULT link_down
            link up     -> BACKUP recovered
            wait down   -> advert 100, add, MASTER master_silent
            source none -> remove, FAULT no_source",
    },
    Row {
        number: "own",
        what: "a master with a lowered priority advertises it and serves until the higher one is heard",
        variants: ALL,
        settings: weighed,
        script: "
            startup          -> BACKUP startup
            wait down        -> advert 100, add, MASTER master_silent
            track 1 down     -> advert 80, priority 80
            wait A           -> advert 80
            hear 90 from 90  -> advert 80, stop answering, watch, BACKUP higher_priority
            wait 50ms        -> remove",
    },
    Row {
        number: "own",
        what: "a node that becomes master again during its handover serves without a gap",
        variants: V3,
        settings: checked,
        script: "
            startup          -> BACKUP startup
            wait down        -> advert 100, add, MASTER master_silent
            track 1 down     -> advert 0, FAULT track_down
            track 1 up       -> BACKUP recovered
            hear 0 from 90
            wait skew        -> advert 100, add, MASTER master_released
            wait 3s          -> advert 100, advert 100, advert 100
            is MASTER",
    },
    Row {
        number: "own",
        what: "a removed instance stops serving at once",
        variants: ALL,
        settings: overlap,
        script: "
            startup         -> BACKUP startup
            wait down       -> advert 100, add, MASTER master_silent
            configure away  -> advert 0, remove, INIT removed
            wait 20s",
    },
    Row {
        number: "own",
        what: "with a virtual MAC address the addresses are removed at the heir's advert",
        variants: ALL,
        settings: virtual_mac,
        script: "
            startup          -> BACKUP startup
            wait down        -> advert 100, add, MASTER master_silent
            hear 150 from 90 -> advert 100, stop answering, remove, watch, BACKUP higher_priority",
    },
];
