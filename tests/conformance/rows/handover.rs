//! Planned handover: the addresses stay until the heir has them.

pub(super) const ROWS: &str = "
own: a master that ends serves until shortly after its heir is heard
    given handover overlap
    master
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
    wait 20s

own: without an heir it serves for its skew and two intervals
    given handover overlap
    master
    shutdown            -> advert 0, INIT shutdown
    hear 0 from 90
    wait 100ms          -> advert 0, advert 0
    wait skew + 2s - 1ns
    wait 1ns            -> remove
    hear 90 from 90
    wait 20s

own: after the heir's advert the release is not repeated
    given handover overlap
    master
    shutdown        -> advert 0, INIT shutdown
    wait 20ms
    hear 90 from 90 -> stop answering
    wait 50ms       -> remove
    wait 20s

own: a second shutdown ends the wait for an heir
    given handover overlap
    master
    shutdown    -> advert 0, INIT shutdown
    wait 10ms
    shutdown    -> remove
    shutdown
    wait 20s

own: a failed check hands over, and the heir is obeyed when the check succeeds again
    given handover overlap
    given track 1 weight 0
    master
    track 1 down     -> advert 0, FAULT track_down
    wait 100ms
    track 1 up       -> BACKUP recovered
    wait 100ms
    hear 150 from 90 -> stop answering, watch
    wait 50ms        -> remove

own: a link failure during the handover removes the addresses at once
    given handover overlap
    given track 1 weight 0
    master
    track 1 down     -> advert 0, FAULT track_down
    wait 50ms
    link down        -> remove
    hear 150 from 90
    wait 20s

own: without a link or a source there is no handover
    given handover overlap
    master
    link down   -> advert 0, remove, FAULT link_down
    link up     -> BACKUP recovered
    wait down   -> advert 100, add, MASTER master_silent
    source none -> remove, FAULT no_source

own: a master with a lowered priority advertises it and serves until the higher one is heard
    given handover overlap
    given track 1 weight -20
    master
    track 1 down     -> advert 80, priority 80
    wait A           -> advert 80
    hear 90 from 90  -> advert 80, stop answering, watch, BACKUP higher_priority
    wait 50ms        -> remove

own: a node that becomes master again during its handover serves without a gap
    for version 3
    given handover overlap
    given track 1 weight 0
    master
    track 1 down     -> advert 0, FAULT track_down
    track 1 up       -> BACKUP recovered
    hear 0 from 90
    wait skew        -> advert 100, add, MASTER master_released
    wait 3s          -> advert 100, advert 100, advert 100
    is MASTER

own: a removed instance stops serving at once
    given handover overlap
    master
    configure away  -> advert 0, remove, INIT removed
    wait 20s

own: with a virtual MAC address the addresses are removed at the heir's advert
    given handover overlap
    given virtual_mac
    master
    hear 150 from 90 -> advert 100, stop answering, remove, watch, BACKUP higher_priority";
