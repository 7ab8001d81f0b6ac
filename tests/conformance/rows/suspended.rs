//! Suspension: timers handled early or late, and adverts that a master could not send.

pub(super) const ROWS: &str = "
own: a timeout called too early does nothing
    startup             -> BACKUP startup
    call
    wait 700ms
    call
    call
    wait down - 700ms   -> advert 100, add, MASTER master_silent
    call
    wait 300ms
    call
    wait 700ms          -> advert 100
    call

own: a suspended backup listens for two intervals and skew, as its master may be listening too
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    freeze 10s
    suspensions 1
    wait A + A + skew - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

own: a backup without reception does not take over, and listens again
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait down - 10ms
    deaf
    suspensions 1
    wait 20ms
    deaf
    wait A + A + skew - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

own: lost reception has no effect on a master
    master
    deaf
    is MASTER

own: a suspended backup without a known master listens for one interval and skew
    startup             -> BACKUP startup
    freeze 10s
    suspensions 1
    wait A + skew - 1ns
    wait 1ns            -> advert 100, add, MASTER master_silent

own: a backup suspended again listens again, until the master is heard
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    freeze 10s
    wait 1s
    freeze 1s
    suspensions 2
    wait 1s
    hear 150 from 120   -> watch
    wait down - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

own: the first input after a suspension detects it, even an old sighting
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait 2s
    sleep 2s
    seen 3s ago
    suspensions 1
    wait A + A + skew - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

own: a changed priority detects a suspension
    given track 1 weight -64
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    sleep 4s
    track 1 down        -> priority 36
    suspensions 1
    wait A + A + skew - 1ns
    wait 1ns            -> advert 36, add, unwatch, MASTER master_silent

own: a suspension that ends just after the deadline is detected by an earlier timer
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait down - 760ms
    freeze 860ms
    suspensions 1
    wait 425ms - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

own: a suspended backup listens for half as long again, and master_down_interval in all
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait A + A + 800ms
    freeze 250ms
    suspensions 1
    wait down - A - A - A - 50ms - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

own: suspensions in one silence count together
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait down - 760ms
    freeze 610ms
    freeze 280ms
    suspensions 2
    wait 415ms - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

own: a suspension before the first check has an unknown length; the master's lease has not expired
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    sleep A + A + 250ms
    call
    suspensions 1
    wait down - A - A - 250ms - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

own: a suspension after a release is detected too
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    hear 0 from 120     -> unwatch
    freeze 2s
    suspensions 1
    wait A + skew - 1ns
    wait 1ns            -> advert 100, add, MASTER master_released

own: a short delay is no suspension
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait down - 1ns
    freeze 90ms         -> advert 100, add, unwatch, MASTER master_silent
    suspensions 0

own: a master late by less than its peers' master_down_interval continues
    master
    freeze 2996ms       -> advert 100
    suspensions 0
    wait A              -> advert 100

own: a master suspended for longer listens, and returns if no other has taken over
    master
    freeze 3s
    suspensions 1
    wait A + skew - 1ns
    is MASTER
    wait 1ns            -> advert 100, add, MASTER resumed
    wait A              -> advert 100

own: a master suspended again listens again
    master
    freeze 10s
    freeze 10s
    suspensions 2
    wait A + skew       -> advert 100, add, MASTER resumed

own: a returning master obeys a higher one, without an advert before
    given higher_prio_send_advert on
    master
    sleep 10s
    hear 150 from 120   -> remove, watch, BACKUP higher_priority
    suspensions 1

own: a returning master obeys one of equal priority and higher address
    master
    freeze 10s
    hear 100 from 120   -> remove, watch, BACKUP higher_address

own: a lower master, and its release, change nothing for a returning one
    master
    freeze 10s
    hear 50 from 120
    hear 0 from 120
    wait A + skew       -> advert 100, add, MASTER resumed

own: without preemption a returning master obeys a lower one
    given preempt off
    master
    freeze 10s
    hear 50 from 120    -> remove, watch, BACKUP superseded

own: a returning owner obeys no lower master
    given preempt off
    given priority 255
    startup             -> advert 255, add, MASTER owner
    freeze 10s
    hear 50 from 120
    wait A + skew       -> advert 255, add, MASTER resumed

own: a returning master sends nothing while it listens
    given track 1 weight -64
    master
    sleep 10s
    track 1 down        -> priority 36
    lost address
    configure patience 5
    wait A + A          -> advert 36, add, MASTER resumed

own: a returning master releases on shutdown
    master
    freeze 10s
    shutdown            -> advert 0, remove, INIT shutdown

own: a lapsed lease counts as a suspension
    startup             -> BACKUP startup
    lapsed
    wait down           -> advert 100, add, MASTER master_silent
    lapsed
    suspensions 1
    wait A + skew - 1ns
    wait 1ns            -> advert 100, add, MASTER resumed";
