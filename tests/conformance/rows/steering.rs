//! Orders of an operator: maintenance, failover, another base priority, announcements.

pub(super) const ROWS: &str = "
own: a master in maintenance serves until its heir does, and stays out whoever falls silent
    given handover overlap
    master
    steer maintenance       -> advert 0, FAULT maintenance
    wait 20ms
    hear 90 from 90         -> stop answering
    wait 50ms               -> remove
    wait 60s
    hear 0 from 90
    wait 60s
    steer nothing           -> BACKUP recovered
    wait down               -> advert 100, add, MASTER master_silent

own: a backup in maintenance does not take over, and preempts as before when it is over
    startup                 -> BACKUP startup
    hear 150 from 90        -> watch
    steer maintenance       -> unwatch, FAULT maintenance
    hear 0 from 90
    wait 60s
    steer nothing           -> BACKUP recovered
    hear 90 from 90
    wait down               -> advert 100, add, MASTER preempted

own: an instance that starts in maintenance stays out
    given priority 255
    steer maintenance
    startup                 -> FAULT maintenance
    wait 60s
    steer nothing           -> advert 255, add, MASTER recovered

own: another cause of FAULT outlives maintenance
    startup                 -> BACKUP startup
    steer maintenance       -> FAULT maintenance
    link down
    steer nothing
    is FAULT
    link up                 -> BACKUP recovered

own: a failover hands over to a lower heir, which is obeyed, and whose death is seen
    given handover overlap
    master
    steer away              -> advert 0, BACKUP handed_over, priority 1
    wait 20ms
    hear 90 from 90         -> stop answering, watch
    wait 50ms               -> remove
    effective 1
    wait down - 50ms - 1ns
    is BACKUP
    wait 1ns                -> advert 1, add, unwatch, MASTER master_silent

own: after a failover it preempts again when the order ends
    given handover overlap
    master
    steer away              -> advert 0, BACKUP handed_over, priority 1
    hear 90 from 90         -> stop answering, watch
    wait 50ms               -> remove
    steer nothing           -> unwatch, priority 100
    wait down - 50ms        -> advert 100, add, MASTER preempted

own: a failover that is over leaves the heir alone with nopreempt
    given handover overlap
    given preempt off
    master
    steer away              -> advert 0, BACKUP handed_over, priority 1
    hear 90 from 90         -> stop answering, watch
    wait 50ms               -> remove
    steer nothing           -> priority 100
    hear 90 from 90         -> watch
    wait 2s
    is BACKUP

own: without an heir a failover never removes the addresses, and it is master again
    given handover overlap
    master
    steer away              -> advert 0, BACKUP handed_over, priority 1
    wait 100ms              -> advert 0, advert 0
    wait 4s                 -> advert 1, add, MASTER master_silent, advert 1
    steer nothing           -> priority 100
    wait 20ms
    is MASTER

own: another base priority counts at once, with what tracked objects add
    given track 1 weight -20
    startup                 -> BACKUP startup
    hear 150 from 90        -> watch
    steer priority 171      -> unwatch, priority 171
    track 1 down            -> priority 151
    effective 151
    steer priority 60       -> priority 40
    steer nothing           -> priority 80
    effective 80

own: a master sends a lower base priority at once
    given handover overlap
    master
    steer priority 50       -> advert 50, priority 50
    hear 90 from 90         -> advert 50, stop answering, watch, BACKUP higher_priority
    wait 50ms               -> remove

own: the priority of an owner is 255, whatever the orders
    given priority 255
    startup                 -> advert 255, add, MASTER owner
    steer priority 7
    effective 255

own: only a master announces again
    startup                 -> BACKUP startup
    announce
    wait down               -> advert 100, add, MASTER master_silent
    announce                -> announce 1
    steer nothing";
