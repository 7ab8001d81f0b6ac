//! Planned handover: the addresses stay until the heir has them.

use vrrp_user::protocol::{InstanceSettings, Name, Order, Vmac};

use super::{ALL, Row, V3};
use crate::setup::tracked;

fn overlap(settings: &mut InstanceSettings) {
    settings.handover = Order::Overlap;
}

fn checked(settings: &mut InstanceSettings) {
    overlap(settings);
    settings.tracks = vec![tracked(1, 0)];
}

fn weighed(settings: &mut InstanceSettings) {
    overlap(settings);
    settings.tracks = vec![tracked(1, -20)];
}

fn virtual_mac(settings: &mut InstanceSettings) {
    overlap(settings);
    settings.vmacs.own = Some(Vmac {
        name: Name::Written("vrrp.1".into()),
        parent: "eth0".into(),
        mac: [0, 0, 0x5e, 0, 1, 1],
        family: settings.family,
        group: 0,
        notify: false,
    });
}

pub(super) const ROWS: &[Row] = &[
    Row {
        number: "own",
        what: "a master that ends serves until its heir was heard, and a moment more",
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
        what: "where nobody comes, it serves for its skew and two intervals",
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
        what: "an heir that is heard is told no more to take over",
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
        what: "told twice to end, it waits for nobody",
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
        what: "a failed check hands over, and the heir is obeyed when the check is well again",
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
        what: "a link that goes while the addresses are still served takes them along",
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
        what: "without a link or a source there is nothing to serve",
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
        what: "a lowered priority is said and served on, until the better one is heard",
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
        what: "who becomes master again while it still serves has never stopped",
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
        what: "one that the configuration knows no more serves no more",
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
        what: "a virtual MAC address moves with the heir's advert, and nothing may move it back",
        variants: ALL,
        settings: virtual_mac,
        script: "
            startup          -> BACKUP startup
            wait down        -> advert 100, add, MASTER master_silent
            hear 150 from 90 -> advert 100, stop answering, remove, watch, BACKUP higher_priority",
    },
];
