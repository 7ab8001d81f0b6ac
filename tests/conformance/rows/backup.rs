//! Backup (RFC 9568 §6.4.2): the masters that it obeys, and the time of its takeover.

use std::time::Duration;

use vrrp_user::protocol::{Interval, Priority, Version};

use super::{ALL, Row, V2, V3, no_preempt, owner, plain};
use crate::setup::tracked;

pub(super) const ROWS: &[Row] = &[
    Row {
        number: "B05",
        what: "a Backup stops without an advert",
        variants: ALL,
        settings: plain,
        script: "
            startup         -> BACKUP startup
            shutdown        -> INIT shutdown
            wait 20s",
    },
    Row {
        number: "B06",
        what: "the master's silence ends after master_down_interval; then our own interval counts",
        variants: V3,
        settings: plain,
        script: "
            startup                     -> BACKUP startup
            hear 200 from 120 every 5cs -> watch
            wait down - 1ns
            wait 1ns                    -> advert 100, add, unwatch, MASTER master_silent
            wait A - 1ns
            wait 1ns                    -> advert 100",
    },
    Row {
        number: "B07",
        what: "a release shortens the wait to skew",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 200 from 120   -> watch
            wait 500ms
            hear 0 from 120     -> unwatch
            wait 609375us - 1ns
            wait 1ns            -> advert 100, add, MASTER master_released",
    },
    Row {
        number: "B07",
        what: "the skew after a release follows the interval learned from the master",
        variants: V3,
        settings: plain,
        script: "
            startup                     -> BACKUP startup
            hear 200 from 120 every 1cs -> watch
            hear 0 from 120 every 1cs   -> unwatch
            wait 6093750ns - 1ns
            wait 1ns                    -> advert 100, add, MASTER master_released",
    },
    Row {
        number: "B08",
        what: "without preemption any master is obeyed",
        variants: ALL,
        settings: no_preempt,
        script: "
            startup         -> BACKUP startup
            wait 3s
            hear 1 from 90  -> watch
            wait down - 1ns
            wait 1ns        -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "B09",
        what: "an equal master is obeyed whatever its address",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait 3s
            hear 100 from 90    -> watch
            wait 3s
            hear 100 from 120   -> watch
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "B10",
        what: "a lower master is ignored, and the timer runs on",
        variants: ALL,
        settings: plain,
        script: "
            startup         -> BACKUP startup
            wait 1s
            hear 99 from 120
            wait 1s
            hear 99 from 120
            wait 1609375us - 1ns
            wait 1ns        -> advert 100, add, MASTER preempted",
    },
    Row {
        number: "B10",
        what: "the interval of a lower master is not learned",
        variants: V3,
        settings: plain,
        script: "
            startup         -> BACKUP startup
            hear 99 from 120 every 5cs
            hear 99 from 120 every 4095cs
            wait 3609375us - 1ns
            wait 1ns        -> advert 100, add, MASTER preempted",
    },
    Row {
        number: "B10",
        what: "a master whose priority falls below ours is no longer watched",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait 1s
            hear 50 from 120    -> unwatch
            wait 2609375us - 1ns
            wait 1ns            -> advert 100, add, MASTER preempted",
    },
    Row {
        number: "B10",
        what: "a second, lower master changes nothing about the watched one",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            hear 50 from 90
            wait 1s
            seen
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "B11",
        what: "the master's interval counts",
        variants: V3,
        settings: plain,
        script: "
            startup                     -> BACKUP startup
            hear 150 from 120 every 1cs -> watch
            wait 36093750ns - 1ns
            wait 1ns                    -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "V09",
        what: "in version 2 an advert with another interval counts, and the longer interval applies",
        variants: V2,
        settings: plain,
        script: "
            startup                     -> BACKUP startup
            hear 150 from 120 every 5s  -> watch
            wait 15609375us - 1ns
            wait 1ns                    -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "I04",
        what: "version 2 adverts of a master that speaks both versions are ignored, until it sends only these",
        variants: V3,
        settings: |settings| settings.also_v2 = true,
        script: "
            startup                          -> BACKUP startup
            hear 150 from 120 in version 2   -> watch
            hear 150 from 120 every 10cs     -> watch
            hear 150 from 120 in version 2
            wait 360937500ns - 1ns
            wait 1ns                         -> advert 100, add, unwatch, MASTER master_silent
            hear 150 from 120 in version 2   -> advert 100, remove, watch, BACKUP higher_priority
            hear 0 from 120 every 10cs       -> unwatch
            hear 150 from 120 in version 2   -> watch",
    },
    Row {
        number: "B12",
        what: "a shorter interval shortens the wait at once",
        variants: V3,
        settings: plain,
        script: "
            startup                        -> BACKUP startup
            hear 150 from 120 every 4095cs -> watch
            wait 1s
            hear 150 from 120 every 10cs   -> watch
            wait 360937500ns - 1ns
            wait 1ns                       -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "B13",
        what: "a second release starts skew again",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            hear 0 from 120     -> unwatch
            wait 600ms
            hear 0 from 120
            wait 609375us - 1ns
            wait 1ns            -> advert 100, add, MASTER master_released",
    },
    Row {
        number: "B07",
        what: "a release of another router than the master leaves the master its next advert",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait 200ms
            hear 0 from 90
            hear 0 from 90
            wait 800ms
            seen
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "B07",
        what: "after a release of another router a master that is not heard again is gone",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait 200ms
            hear 0 from 90
            wait A + skew - 200ms - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "B14",
        what: "an heir heard within skew is obeyed",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            hear 0 from 120     -> unwatch
            wait 600ms
            hear 120 from 90    -> watch
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "T05",
        what: "the owner preempts in spite of nopreempt and preempt_delay",
        variants: ALL,
        settings: |settings| {
            owner(settings);
            no_preempt(settings);
            settings.preempt_delay = Duration::from_secs(60);
        },
        script: "
            startup             -> advert 255, add, MASTER owner
            hear 255 from 120   -> advert 255, remove, watch, BACKUP higher_address
            hear 254 from 120   -> unwatch
            wait down - 1ns
            wait 1ns            -> advert 255, add, MASTER preempted",
    },
    Row {
        number: "T04",
        what: "the number of adverts to miss is a setting",
        variants: ALL,
        settings: |settings| settings.down_timer_adverts = 2,
        script: "
            startup             -> BACKUP startup
            wait 2609375us - 1ns
            wait 1ns            -> advert 100, add, MASTER master_silent",
    },
    Row {
        number: "T09",
        what: "a changed priority moves the running deadline by the difference of the skews",
        variants: ALL,
        settings: |settings| settings.tracks = vec![tracked(1, -64)],
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait 3s
            track 1 down        -> priority 36
            wait 859375us - 1ns
            wait 1ns            -> advert 36, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "T09",
        what: "a changed priority moves the deadline no further than now",
        variants: ALL,
        settings: |settings| {
            settings.priority = Priority(1);
            settings.tracks = vec![tracked(1, 253)];
        },
        script: "
            track 1 down        -> priority 1
            startup             -> BACKUP startup
            wait 3900ms
            track 1 up          -> priority 254, advert 254, add, MASTER master_silent
            suspensions 0",
    },
    Row {
        number: "V07",
        what: "skew is a share of a second whatever the interval",
        variants: V2,
        settings: |settings| {
            settings.advert_interval = Interval::new(Duration::from_secs(3), Version::V2).unwrap();
        },
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait 9609375us - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent
            wait 3s             -> advert 100",
    },
    Row {
        number: "own",
        what: "preempt_delay counts from the first lower advert, and the timer from the last one obeyed",
        variants: ALL,
        settings: |settings| settings.preempt_delay = Duration::from_secs(10),
        script: "
            startup             -> BACKUP startup
            wait 2s
            hear 50 from 120    -> watch
            wait 3s
            seen
            wait 3s
            seen
            wait 3s
            seen
            wait 1s             -> unwatch
            hear 50 from 120
            wait 2609375us - 1ns
            wait 1ns            -> advert 100, add, MASTER preempted",
    },
    Row {
        number: "own",
        what: "a master that is not lower ends preempt_delay",
        variants: ALL,
        settings: |settings| settings.preempt_delay = Duration::from_secs(10),
        script: "
            startup             -> BACKUP startup
            hear 50 from 120    -> watch
            wait 3s
            hear 100 from 120   -> watch
            wait 3s
            hear 50 from 120    -> watch
            wait 3s
            seen
            wait 3s
            seen
            wait 3s
            seen
            wait 1s             -> unwatch",
    },
    Row {
        number: "own",
        what: "the watched master seen moves the deadline forwards only",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            seen
            hear 150 from 120   -> watch
            wait 1s
            seen
            seen 500ms ago
            seen 5s ago
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent
            seen",
    },
    Row {
        number: "own",
        what: "an older advert handled after a sighting does not move the deadline back",
        variants: ALL,
        settings: plain,
        script: "
            startup                             -> BACKUP startup
            hear 150 from 120                   -> watch
            wait 2s
            seen
            hear 150 from 120 sent 500ms ago
            wait down - 1ns
            wait 1ns                            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "an older advert undoes no release",
        variants: ALL,
        settings: plain,
        script: "
            startup                             -> BACKUP startup
            hear 150 from 120                   -> watch
            wait 2s
            seen
            hear 0 from 120                     -> unwatch
            hear 150 from 130 sent 10ms ago
            wait skew - 1ns
            wait 1ns                            -> advert 100, add, MASTER master_released",
    },
    Row {
        number: "own",
        what: "a release counts although a lower router was heard since",
        variants: ALL,
        settings: plain,
        script: "
            startup                             -> BACKUP startup
            hear 150 from 120                   -> watch
            wait 2s
            seen
            wait 20ms
            hear 50 from 110
            hear 0 from 120 sent 10ms ago       -> unwatch
            wait skew - 10ms - 1ns
            wait 1ns                            -> advert 100, add, MASTER master_released",
    },
    Row {
        number: "own",
        what: "an older release shortens nothing",
        variants: ALL,
        settings: plain,
        script: "
            startup                             -> BACKUP startup
            hear 150 from 120                   -> watch
            wait 2s
            seen
            hear 0 from 130 sent 500ms ago
            wait down - 1ns
            wait 1ns                            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "master_down_interval counts from the kernel's stamp of the advert, not from its handling",
        variants: ALL,
        settings: plain,
        script: "
            startup                             -> BACKUP startup
            hear 150 from 120 sent 500ms ago    -> watch
            wait down - 500ms - 1ns
            wait 1ns                            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "after a release a sighting does not count, only an advert",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            hear 0 from 120     -> unwatch
            wait 100ms
            seen
            wait skew - 100ms   -> advert 100, add, MASTER master_released",
    },
];
