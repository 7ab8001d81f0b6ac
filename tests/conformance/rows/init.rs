//! Init (RFC 9568 §6.4.1).

pub(super) const ROWS: &str = "
S01: the owner starts as master
    given priority 255
    startup         -> advert 255, add, MASTER owner
    wait A - 1ns
    wait 1ns        -> advert 255
    wait A          -> advert 255

S01: the owner starts as master even if a track is down
    given priority 255
    given track 1 weight -50
    track 1 down
    startup         -> advert 255, add, MASTER owner
    effective 255

S02: other routers wait for master_down_interval by their own interval, and send nothing
    startup         -> BACKUP startup
    wait down - 1ns
    wait 1ns        -> advert 100, add, MASTER master_silent

S03: adverts in Init have no effect
    hear 200 from 120
    hear 0 from 120
    hear 255 from 120
    seen
    is INIT
    startup         -> BACKUP startup
    wait 3609375us  -> advert 100, add, MASTER master_silent

S04: a second start does not use the learned interval
    for version 3
    startup                     -> BACKUP startup
    hear 200 from 120 every 5cs -> watch
    shutdown                    -> unwatch, INIT shutdown
    startup                     -> BACKUP startup
    wait 3609375us - 1ns
    wait 1ns                    -> advert 100, add, MASTER master_silent";
