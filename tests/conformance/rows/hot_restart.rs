//! Hot restart: the newer process sends, announces and forgets nothing because of it.

pub(super) const ROWS: &str = "
own: a master stays master, in its epoch and in the phase of its adverts
    master
    epoch 2
    wait 400ms
    restart             -> hold
    is MASTER
    epoch 2
    wait A - 400ms - 1ns
    wait 1ns            -> advert 100
    wait A              -> advert 100
    shutdown            -> advert 0, remove, INIT shutdown

own: an advert due during the restart is sent at once
    master
    sleep A
    sleep 3ms
    restart             -> hold, advert 100
    wait A - 3ms        -> advert 100

own: a restart that takes long is no suspension: the older process sends meanwhile
    master
    restart in down + A -> hold, advert 100
    suspensions 0
    epoch 2
    wait A              -> advert 100

own: a master whose adverts do not leave during the restart listens
    master
    restart unsent in down -> hold
    suspensions 1
    wait A + skew       -> advert 100, add, MASTER resumed
    epoch 3

own: a master that was suspended before the restart listens
    master
    sleep down + A
    restart             -> hold
    suspensions 1
    wait A + skew       -> advert 100, add, MASTER resumed
    epoch 3

own: periodic announcements continue
    given announce refresh 1s
    master
    wait 500ms
    restart             -> hold
    wait 1s             -> advert 100, announce 1

own: the second set of announcements is sent at its original time
    for version 3
    given announce repeat 5
    given announce delay 900ms
    startup             -> BACKUP startup
    wait down           -> advert 100, add, announce 4, MASTER master_silent
    wait 500ms
    restart             -> hold
    wait 400ms - 1ns
    wait 1ns            -> announce 5
    wait 100ms          -> advert 100
    restart             -> hold
    wait A              -> advert 100

own: a backup still obeys its master, and listens for an interval and skew if the deadline was near
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait 100ms
    restart
    hear 150 from 120   -> watch
    epoch 1
    wait down - 1ns
    restart
    wait A + skew - 1ns
    is BACKUP
    wait 1ns            -> advert 100, add, MASTER master_silent
    epoch 2

own: another router's release leaves the master an interval and skew to be heard again
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait 100ms
    restart
    wait 100ms
    hear 0 from 130
    wait A - 100ms
    hear 150 from 120   -> watch
    wait down - 1ns
    restart
    hear 0 from 130
    wait A + skew - 1ns
    is BACKUP
    wait 1ns            -> advert 100, add, MASTER master_silent

own: preempt_delay runs on, over two restarts
    given preempt_delay 10s
    startup             -> BACKUP startup
    hear 90 from 120    -> watch
    wait 2s
    seen
    wait 2s
    restart
    hear 90 from 120    -> watch
    wait 2s
    seen
    wait 2s
    restart
    wait 500ms
    hear 90 from 120    -> watch
    wait 1500ms - 1ns
    wait 1ns            -> unwatch
    hear 90 from 120
    wait down - 1500ms - 1ns
    wait 1ns            -> advert 100, add, MASTER preempted

own: a preempt_delay that has ended does not begin again
    given preempt_delay 2s
    startup             -> BACKUP startup
    hear 90 from 120    -> watch
    wait 2s             -> unwatch
    restart
    hear 90 from 120
    wait A + skew - 1ns
    wait 1ns            -> advert 100, add, MASTER preempted

own: a fault persists until its cause ends
    given track 1 weight 0 unknown
    given track 2 weight -20 unknown
    startup
    track 1 up
    track 2 up          -> BACKUP startup
    track 1 down        -> FAULT track_down
    track 2 down        -> priority 80
    restart
    is FAULT
    effective 80
    epoch 2
    track 1 up          -> BACKUP recovered

own: a master keeps its check results until new ones are known
    given track 1 weight 0 unknown
    given track 2 weight -20 unknown
    startup
    track 1 up
    track 2 down        -> BACKUP startup, priority 80
    wait down           -> advert 80, add, MASTER master_silent
    restart             -> hold
    effective 80
    wait A              -> advert 80";
