//! An heir, and a former master that may return without having heard it.

pub(super) const ROWS: &str = "
own: a master after silence answers a request with an advert, at most each 20 ms
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    wait down           -> advert 100, add, unwatch, MASTER master_silent
    wait 20ms - 1ns
    ask
    wait 1ns
    ask                 -> advert 100
    ask
    wait 20ms - 1ns
    ask
    wait 1ns
    ask                 -> advert 100
    wait A - 1ns
    wait 1ns            -> advert 100
    ask
    wait 20ms
    ask                 -> advert 100

own: a master that has never heard another one does so too
    master
    wait 20ms
    ask                 -> advert 100

own: adverts on request end after five minutes
    given interval 40s
    master
    wait 280s           -> advert 100, advert 100, advert 100, advert 100, advert 100, advert 100, advert 100
    wait 20s - 1ns
    ask                 -> advert 100
    wait 30ms
    ask

own: adverts on request end when another master is heard, which then knows of it
    master
    wait 500ms
    hear 90 from 120    -> advert 100, contest
    wait 100ms
    ask

own: no adverts on request after a release
    startup             -> BACKUP startup
    hear 150 from 120   -> watch
    hear 0 from 120     -> unwatch
    wait skew           -> advert 100, add, MASTER master_released
    wait 500ms
    ask
    shutdown            -> advert 0, remove, INIT shutdown

own: an owner that was master at once sends no adverts on request
    given priority 255
    startup             -> advert 255, add, MASTER owner
    wait 500ms
    ask

own: no adverts on request at intervals of 20 ms
    for version 3
    given interval 20ms
    master
    wait 19ms
    ask

own: no adverts on request after its own suspension
    master
    sleep 10s
    ask
    suspensions 1
    wait A + skew       -> advert 100, add, MASTER resumed
    ask

own: the last advert of a preempted master is no contest, a later one is
    startup             -> BACKUP startup
    hear 90 from 90
    wait down           -> advert 100, add, MASTER preempted
    wait 100ms
    hear 90 from 90
    wait 1ns
    hear 90 from 90     -> advert 100, contest

own: an advert of another master is a contest at once
    startup             -> BACKUP startup
    hear 90 from 90
    wait down           -> advert 100, add, MASTER preempted
    hear 80 from 80     -> advert 100, contest

own: a higher master without preemption announces again when a paused lower master yields
    given preempt off
    given announce lower_prio_repeat 3
    startup             -> BACKUP startup
    hear 90 from 90     -> watch
    wait down           -> advert 100, add, unwatch, MASTER master_silent
    wait 50ms
    hear 90 from 90     -> advert 100, announce 3, contest

own: a lower master heard again just after our announcement causes another one, and a third after a second
    given priority 255
    given interval 40s
    given announce lower_prio_repeat 3
    given announce lower_prio_delay 0s
    startup             -> advert 255, add, MASTER owner
    hear 99 from 120    -> advert 255, announce 3, contest
    wait 10ms
    hear 99 from 120
    wait 50ms
    hear 99 from 120
    wait 50ms - 1ns
    wait 1ns            -> announce 3
    wait 100ms
    hear 99 from 120    -> advert 255
    wait 700ms
    hear 99 from 120    -> advert 255
    wait 90ms
    hear 99 from 120    -> announce 3, contest
    wait 110ms - 1ns
    wait 1ns            -> announce 3
    wait 10s";
