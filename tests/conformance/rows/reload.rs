//! Changed settings of a running instance.

pub(super) const ROWS: &str = "
own: the same settings again change nothing, in any state
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
    configure nothing

own: a master sends a changed advert at once, and continues from there
    master
    wait 300ms
    configure priority 150 -> advert 150, priority 150
    wait 1s - 1ns
    wait 1ns            -> advert 150
    configure interval 2s -> advert 150
    wait 2s - 1ns
    wait 1ns            -> advert 150
    configure one address more -> advert 150

own: changes invisible to others shift no advert
    master
    wait 400ms
    configure preempt off
    configure patience 5
    wait 600ms - 1ns
    wait 1ns            -> advert 100

own: a backup raised above its master waits for the rest of master_down_interval
    startup             -> BACKUP startup
    hear 120 from 50    -> watch
    configure priority 150 -> unwatch, priority 150
    wait 1s
    hear 120 from 50
    wait down - 1s - 1ns
    wait 1ns            -> advert 150, add, MASTER preempted

own: in version 2 the longer interval applies, ours or the master's
    for version 2
    startup             -> BACKUP startup
    hear 120 from 50    -> watch
    wait 500ms
    configure interval 2s
    wait 1s
    seen
    wait 6s + 609375us - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

own: in version 3 the master's interval still applies
    for version 3
    startup             -> BACKUP startup
    hear 120 from 50    -> watch
    wait 500ms
    configure interval 2s
    wait down - 500ms - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

own: a new track fails the instance by its first result, and its removal recovers it
    master
    configure track 1 weight 0 unknown
    track 1 down        -> advert 0, remove, FAULT track_down
    configure tracks off -> BACKUP recovered

own: an unchanged track keeps its result
    given track 1 weight -60
    startup             -> BACKUP startup
    track 1 down        -> priority 40
    configure priority 150 -> priority 90
    track 1 up          -> priority 150

own: an instance that is removed releases, and nothing brings it back
    master
    configure away      -> advert 0, remove, INIT removed
    startup
    hear 50 from 120
    link down
    link up
    wait 20s
    is INIT";
