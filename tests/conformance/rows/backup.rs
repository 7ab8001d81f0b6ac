//! Backup (RFC 9568 §6.4.2): the masters that it obeys, and the time of its takeover.

pub(super) const ROWS: &str = "
B05: a Backup stops without an advert
    startup         -> BACKUP startup
    shutdown        -> INIT shutdown
    wait 20s

B06: the master's silence ends after master_down_interval; then our own interval counts
    for version 3
    startup                     -> BACKUP startup
    hear 200 from 120 every 5cs -> watch
    wait down - 1ns
    wait 1ns                    -> advert 100, add, unwatch, MASTER master_silent
    wait A - 1ns
    wait 1ns                    -> advert 100

B07: a release shortens the wait to skew
    startup             -> BACKUP startup
    hear 200 from 120   -> watch
    wait 500ms
    hear 0 from 120     -> unwatch
    wait 609375us - 1ns
    wait 1ns            -> advert 100, add, MASTER master_released

B07: the skew after a release follows the interval learned from the master
    for version 3
    startup                     -> BACKUP startup
    hear 200 from 120 every 1cs -> watch
    hear 0 from 120 every 1cs   -> unwatch
    wait 6093750ns - 1ns
    wait 1ns                    -> advert 100, add, MASTER master_released

B08: without preemption any master is obeyed
    given preempt off
    startup         -> BACKUP startup
    wait 3s
    hear 1 from 90  -> watch
    wait down - 1ns
    wait 1ns        -> advert 100, add, unwatch, MASTER master_silent

B09: an equal master is obeyed whatever its address
    startup             -> BACKUP startup
    wait 3s
    hear 100 from 90    -> watch
    wait 3s
    hear 100 from 120   -> watch
    wait down - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

B10: a lower master is ignored, and the timer runs on
    startup         -> BACKUP startup
    wait 1s
    hear 99 from 120
    wait 1s
    hear 99 from 120
    wait 1609375us - 1ns
    wait 1ns        -> advert 100, add, MASTER preempted

B10: the interval of a lower master is not learned
    for version 3
    startup         -> BACKUP startup
    hear 99 from 120 every 5cs
    hear 99 from 120 every 4095cs
    wait 3609375us - 1ns
    wait 1ns        -> advert 100, add, MASTER preempted

B10: a master whose priority falls below ours is no longer watched
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait 1s
    hear 50 from 120    -> unwatch
    wait 2609375us - 1ns
    wait 1ns            -> advert 100, add, MASTER preempted

B10: a second, lower master changes nothing about the watched one
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    hear 50 from 90
    wait 1s
    seen
    wait down - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

B11: the master's interval counts
    for version 3
    startup                     -> BACKUP startup
    hear 150 from 120 every 1cs -> watch
    wait 36093750ns - 1ns
    wait 1ns                    -> advert 100, add, unwatch, MASTER master_silent

V09: in version 2 an advert with another interval counts, and the longer interval applies
    for version 2
    startup                     -> BACKUP startup
    hear 150 from 120 every 5s  -> watch
    wait 15609375us - 1ns
    wait 1ns                    -> advert 100, add, unwatch, MASTER master_silent

I04: version 2 adverts of a master that speaks both versions are ignored, until it sends only these
    for version 3
    given also_v2
    startup                          -> BACKUP startup
    hear 150 from 120 in version 2   -> watch
    hear 150 from 120 every 10cs     -> watch
    hear 150 from 120 in version 2
    wait 360937500ns - 1ns
    wait 1ns                         -> advert 100, add, unwatch, MASTER master_silent
    hear 150 from 120 in version 2   -> advert 100, remove, watch, BACKUP higher_priority
    hear 0 from 120 every 10cs       -> unwatch
    hear 150 from 120 in version 2   -> watch

B12: a shorter interval shortens the wait at once
    for version 3
    startup                        -> BACKUP startup
    hear 150 from 120 every 4095cs -> watch
    wait 1s
    hear 150 from 120 every 10cs   -> watch
    wait 360937500ns - 1ns
    wait 1ns                       -> advert 100, add, unwatch, MASTER master_silent

B13: a second release starts skew again
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    hear 0 from 120     -> unwatch
    wait 600ms
    hear 0 from 120
    wait 609375us - 1ns
    wait 1ns            -> advert 100, add, MASTER master_released

B07: a release of another router than the master leaves the master its next advert
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait 200ms
    hear 0 from 90
    hear 0 from 90
    wait 800ms
    seen
    wait down - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

B07: after a release of another router a master that is not heard again is gone
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait 200ms
    hear 0 from 90
    wait A + skew - 200ms - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

B14: an heir heard within skew is obeyed
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    hear 0 from 120     -> unwatch
    wait 600ms
    hear 120 from 90    -> watch
    wait down - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

T05: the owner preempts in spite of nopreempt and preempt_delay
    given priority 255
    given preempt off
    given preempt_delay 60s
    startup             -> advert 255, add, MASTER owner
    hear 255 from 120   -> advert 255, remove, watch, BACKUP higher_address
    hear 254 from 120   -> unwatch
    wait down - 1ns
    wait 1ns            -> advert 255, add, MASTER preempted

T04: the number of adverts to miss is a setting
    given patience 2
    startup             -> BACKUP startup
    wait 2609375us - 1ns
    wait 1ns            -> advert 100, add, MASTER master_silent

T09: a changed priority moves the running deadline by the difference of the skews
    given track 1 weight -64
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait 3s
    track 1 down        -> priority 36
    wait 859375us - 1ns
    wait 1ns            -> advert 36, add, unwatch, MASTER master_silent

T09: a changed priority moves the deadline no further than now
    given priority 1
    given track 1 weight 253
    track 1 down        -> priority 1
    startup             -> BACKUP startup
    wait 3900ms
    track 1 up          -> priority 254, advert 254, add, MASTER master_silent
    suspensions 0

V07: skew is a share of a second whatever the interval
    for version 2
    given interval 3s
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait 9609375us - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent
    wait 3s             -> advert 100

own: preempt_delay counts from the first lower advert, and the timer from the last one obeyed
    given preempt_delay 10s
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
    wait 1ns            -> advert 100, add, MASTER preempted

own: a master that is not lower ends preempt_delay
    given preempt_delay 10s
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
    wait 1s             -> unwatch

own: the watched master seen moves the deadline forwards only
    startup             -> BACKUP startup
    seen
    hear 150 from 120   -> watch
    wait 1s
    seen
    seen 500ms ago
    seen 5s ago
    wait down - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent
    seen

own: an older advert handled after a sighting does not move the deadline back
    startup                             -> BACKUP startup
    hear 150 from 120                   -> watch
    wait 2s
    seen
    hear 150 from 120 sent 500ms ago
    wait down - 1ns
    wait 1ns                            -> advert 100, add, unwatch, MASTER master_silent

own: an older advert undoes no release
    startup                             -> BACKUP startup
    hear 150 from 120                   -> watch
    wait 2s
    seen
    hear 0 from 120                     -> unwatch
    hear 150 from 130 sent 10ms ago
    wait skew - 1ns
    wait 1ns                            -> advert 100, add, MASTER master_released

own: a release counts although a lower router was heard since
    startup                             -> BACKUP startup
    hear 150 from 120                   -> watch
    wait 2s
    seen
    wait 20ms
    hear 50 from 110
    hear 0 from 120 sent 10ms ago       -> unwatch
    wait skew - 10ms - 1ns
    wait 1ns                            -> advert 100, add, MASTER master_released

own: an older release shortens nothing
    startup                             -> BACKUP startup
    hear 150 from 120                   -> watch
    wait 2s
    seen
    hear 0 from 130 sent 500ms ago
    wait down - 1ns
    wait 1ns                            -> advert 100, add, unwatch, MASTER master_silent

own: master_down_interval counts from the kernel's stamp of the advert, not from its handling
    startup                             -> BACKUP startup
    hear 150 from 120 sent 500ms ago    -> watch
    wait down - 500ms - 1ns
    wait 1ns                            -> advert 100, add, unwatch, MASTER master_silent

own: after a release a sighting does not count, only an advert
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    hear 0 from 120     -> unwatch
    wait 100ms
    seen
    wait skew - 100ms   -> advert 100, add, MASTER master_released";
