//! Master (RFC 9568 §6.4.3): adverts, contests, announcements.

pub(super) const ROWS: &str = "
A07: a master sends a release, then removes its addresses
    given priority 255
    startup     -> advert 255, add, MASTER owner
    shutdown    -> advert 0, remove, INIT shutdown
    wait 20s

A09: a release is answered at once, and the interval starts again
    given priority 255
    startup         -> advert 255, add, MASTER owner
    wait 400ms
    hear 0 from 120 -> advert 255
    wait A - 1ns
    wait 1ns        -> advert 255

A09: each of several releases is answered, the later ones after the pause between them
    given priority 255
    startup         -> advert 255, add, MASTER owner
    wait 400ms
    hear 0 from 120 -> advert 255
    wait 20ms
    hear 0 from 120
    wait 20ms
    hear 0 from 120
    wait 10ms - 1ns
    wait 1ns        -> advert 255
    wait 10ms
    hear 0 from 120
    wait 40ms - 1ns
    wait 1ns        -> advert 255
    wait A - 1ns
    wait 1ns        -> advert 255

A10: a higher master is obeyed, after an advert that shows it that there were two
    master
    wait 300ms
    hear 101 from 90    -> advert 100, remove, watch, BACKUP higher_priority
    wait down - 1ns
    wait 1ns            -> advert 100, add, unwatch, MASTER master_silent

A17: the higher master's interval applies until we are master again, then ours
    for version 3
    master
    hear 200 from 90 every 1cs  -> advert 100, remove, watch, BACKUP higher_priority
    wait 36093750ns - 1ns
    wait 1ns                    -> advert 100, add, unwatch, MASTER master_silent
    wait A - 1ns
    wait 1ns                    -> advert 100

A11: of two equal masters the lower address yields
    master
    hear 100 from 200   -> advert 100, remove, watch, BACKUP higher_address

own: the time of two masters is counted between adverts of the lower one, without its gaps
    for version 3
    master
    wait 300ms
    hear 90 from 90 every 10cs  -> advert 100, contest
    wait 50ms
    hear 90 from 90 every 10cs
    rivalled 50ms
    wait 200ms
    hear 90 from 90 every 10cs  -> advert 100
    rivalled 250ms
    wait 201ms
    hear 90 from 90 every 10cs  -> advert 100
    rivalled 250ms

A12: of two equal masters the higher address stays, and sends an advert
    master
    wait 300ms
    hear 100 from 90    -> advert 100, contest
    wait A - 1ns
    wait 1ns            -> advert 100

A13: a lower master is answered at once, but not every time
    master
    wait 300ms
    hear 99 from 120    -> advert 100, contest
    wait 50ms
    hear 99 from 120
    wait 50ms - 1ns
    hear 99 from 120
    wait 1ns
    hear 99 from 120    -> advert 100
    wait A - 1ns
    wait 1ns            -> advert 100

A14: without preemption a master still yields to a higher one
    given preempt off
    master
    hear 99 from 120    -> advert 100, contest
    hear 101 from 90    -> advert 100, remove, watch, BACKUP higher_priority

A15: our own looped advert changes nothing
    startup             -> BACKUP startup
    hear 200 from 100
    wait down           -> advert 100, add, MASTER master_silent
    wait 300ms
    hear 200 from 100
    hear 0 from 100
    hear 1 from 100
    wait 700ms - 1ns
    wait 1ns            -> advert 100

A16: of two owners the higher address stays
    given priority 255
    startup             -> advert 255, add, MASTER owner
    hear 255 from 90    -> advert 255, contest
    hear 255 from 120   -> advert 255, remove, watch, BACKUP higher_address
    wait down - 1ns
    wait 1ns            -> advert 255, add, unwatch, MASTER master_silent

V12: a lower master gets no answer with lower_prio_no_advert
    given lower_prio_no_advert
    master
    wait 300ms
    hear 99 from 120    -> contest
    wait 700ms - 1ns
    wait 1ns            -> advert 100

own: a master yields without an advert if configured
    given higher_prio_send_advert off
    master
    hear 101 from 90    -> remove, watch, BACKUP higher_priority

own: announcements: first set, its repeats, the delayed set, the refresh
    given priority 255
    given interval 40s
    given announce repeat 5
    given announce delay 5s
    given announce refresh 10s
    given announce refresh_repeat 2
    startup         -> advert 255, add, announce 4, MASTER owner
    wait 5s - 1ns
    wait 1ns        -> announce 5
    wait 5s - 1ns
    wait 1ns        -> announce 2
    wait 10s        -> announce 2
    shutdown        -> advert 0, remove, INIT shutdown
    wait 100s

own: announcements again, as after a link has come up: a set at once and the delayed one
    given priority 255
    given interval 40s
    given announce repeat 5
    given announce delay 5s
    startup         -> advert 255, add, announce 4, MASTER owner
    wait 5s         -> announce 5
    wait 1s
    announce        -> announce 5
    wait 5s - 1ns
    wait 1ns        -> announce 5
    wait 20s

own: a contest is announced now and later, and reported once a second
    given priority 255
    given announce lower_prio_repeat 3
    given announce lower_prio_delay 1500ms
    startup             -> advert 255, add, MASTER owner
    hear 99 from 120    -> advert 255, announce 3, contest
    wait 500ms
    hear 99 from 120    -> advert 255
    wait 500ms          -> announce 3
    hear 99 from 120    -> advert 255, announce 3, contest
    wait 500ms          -> announce 3
    wait 500ms          -> advert 255

own: an owner can be configured to ignore all other masters
    given priority 255
    given owner_ignores
    startup             -> advert 255, add, MASTER owner
    wait 400ms
    hear 99 from 120
    hear 255 from 200
    hear 0 from 120
    wait A - 400ms - 1ns
    wait 1ns            -> advert 255

A08: adverts keep their phase when sent late, and start again when a whole interval was lost
    given priority 255
    startup             -> advert 255, add, MASTER owner
    wait 900ms
    freeze 300ms        -> advert 255
    wait 800ms - 1ns
    wait 1ns            -> advert 255
    freeze 2500ms       -> advert 255
    wait A - 1ns
    wait 1ns            -> advert 255";
