//! Fault, and the effective priority.

pub(super) const ROWS: &str = "
own: a backup raised above the watched master no longer watches it and takes over
    given track 1 weight -60
    track 1 down        -> priority 40
    startup             -> BACKUP startup
    hear 50 from 120    -> watch
    wait 1s
    seen
    track 1 up          -> unwatch, priority 100
    hear 50 from 120
    wait down - 1ns
    wait 1ns            -> advert 100, add, MASTER preempted

own: a router whose priority falls below the lower master obeys it again
    given track 1 weight -60
    startup             -> BACKUP startup
    hear 50 from 120
    track 1 down        -> priority 40
    hear 50 from 120    -> watch
    wait down - 1ns
    wait 1ns            -> advert 40, add, unwatch, MASTER master_silent

own: a master advertises a lower priority at once, a higher one with the next advert
    given track 1 weight 20
    startup             -> BACKUP startup
    wait down           -> advert 120, add, MASTER master_silent
    wait 300ms
    track 1 down        -> advert 100, priority 100
    track 1 down
    wait 300ms
    track 1 up          -> priority 120
    wait 700ms - 1ns
    wait 1ns            -> advert 120

own: weights add while up or subtract while down, reversed too, within 1 and 254
    given track 1 weight 253
    given track 2 weight -253
    given track 3 weight 10 reverse
    effective 254
    track 1 down        -> priority 90
    track 2 down        -> priority 1
    track 3 down
    track 2 up          -> priority 100
    track 3 up          -> priority 90

own: a negative weight that is reversed adds while down
    given track 1 weight -10 reverse
    effective 100
    track 1 down        -> priority 110
    track 1 up          -> priority 100

own: a failed track of weight 0 is Fault: release, addresses removed, silence, then a full wait
    given track 1 weight 0
    master
    track 1 down        -> advert 0, remove, FAULT track_down
    hear 50 from 120
    hear 0 from 120
    wait 20s
    track 1 up          -> BACKUP recovered
    wait down - 1ns
    wait 1ns            -> advert 100, add, MASTER master_silent

own: a file adds its number times the weight, and fails at -254
    given file 1 weight 2
    given file 2 weight -100
    startup
    is INIT
    value 1 0
    value 2 0           -> BACKUP startup
    value 1 -10         -> priority 80
    value 1 30          -> priority 160
    value 2 2           -> priority 1
    value 2 3           -> FAULT track_down
    value 2 -1          -> BACKUP recovered, priority 254
    value 1 0           -> priority 200

own: a file without weight is a fault while its number is not 0
    given file 1 weight 0
    startup
    value 1 0           -> BACKUP startup
    value 1 -1          -> FAULT track_down
    value 1 7
    value 1 0           -> BACKUP recovered

own: without link or source there is no election, and more causes make no more transitions
    link down
    startup             -> FAULT link_down
    source none
    link up
    is FAULT
    source 100          -> BACKUP recovered
    hear 150 from 120   -> watch
    source none         -> unwatch, FAULT no_source
    link down
    source 100
    link up             -> BACKUP recovered
    wait down           -> advert 100, add, MASTER master_silent
    link down           -> advert 0, remove, FAULT link_down
    shutdown            -> INIT shutdown

own: without a source no release is sent
    given priority 255
    startup             -> advert 255, add, MASTER owner
    source none         -> remove, FAULT no_source
    source 100          -> advert 255, add, MASTER recovered

own: a failure of the instance's own link can be ignored
    given ignore_own_link
    link down
    startup             -> BACKUP startup
    link up
    link down
    wait down           -> advert 100, add, MASTER master_silent

own: Init lasts until all track results are known
    given track 1 weight 0 unknown
    given track 2 weight 10
    startup
    track 2 down        -> priority 100
    wait 20s
    is INIT
    track 1 up          -> BACKUP startup

own: a first result that ends Init and changes the priority counts once
    given track 1 weight -64 unknown
    startup
    track 1 down        -> BACKUP startup, priority 36
    wait down - 1ns
    wait 1ns            -> advert 36, add, MASTER master_silent";
