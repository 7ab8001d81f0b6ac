//! Addresses and paths that another process removes from a master.

pub(super) const ROWS: &str = "
own: a loss has no effect on a backup
    lost address
    startup             -> BACKUP startup
    lost address
    lost path

own: a master sets its addresses again, and asks for an heir after repeated loss
    master
    lost address        -> put back
    wait 99ms
    lost address        -> put back
    wait 1ms
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> advert 0, remove, FAULT taken_away
    lost address
    wait down - 1ns
    wait 1ns            -> BACKUP recovered
    wait down           -> advert 100, add, MASTER master_silent
    lost address        -> put back

own: losses of different addresses are no contest, and the sixth of one of them is
    master
    lost address 201        -> put back
    wait 100ms
    lost address 202        -> put back
    wait 100ms
    lost address 203 204    -> put back
    wait 100ms
    lost address 205        -> put back
    wait 100ms
    lost address 206        -> put back
    wait 100ms
    lost address 207        -> put back
    wait 100ms
    lost address 203        -> put back
    wait 100ms
    lost address 203        -> put back
    wait 100ms
    lost address 203        -> put back
    wait 100ms
    lost address 203        -> put back
    wait 100ms              -> advert 100
    lost address 203 208    -> advert 0, remove, FAULT taken_away

own: after repeated loss an heir has the addresses for a minute
    for version 3
    master
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> advert 0, remove, FAULT taken_away
    wait 800ms
    hear 90 from 90 every 4095cs
    wait 59200ms - 1ns
    wait 1ns            -> BACKUP recovered

own: after repeated loss the silence of the heir ends the minute
    master
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> advert 0, remove, FAULT taken_away
    wait 800ms
    hear 90 from 90
    wait down - skew + 996093750ns + A - 1ns
    wait 1ns            -> BACKUP recovered

own: routes and rules lost repeatedly are abandoned until the next mastership
    master
    lost path           -> put back
    wait 100ms
    lost flushed        -> put back
    lost path           -> put back
    wait 100ms
    lost path           -> put back
    wait 100ms
    lost path           -> put back
    wait 100ms
    lost path           -> put back
    wait 100ms
    lost path           -> abandoned
    wait 100ms
    lost path
    lost flushed        -> put back addresses
    lost address        -> put back addresses
    renew               -> put back
    lost path           -> put back
    is MASTER
    link down           -> advert 0, remove, FAULT link_down
    link up             -> BACKUP recovered
    wait down           -> advert 100, add, MASTER master_silent
    lost path           -> put back

own: addresses flushed by the kernel are set again each time
    startup             -> BACKUP startup
    lost flushed
    wait down           -> advert 100, add, MASTER master_silent
    lost flushed        -> put back
    lost flushed        -> put back
    lost flushed        -> put back
    lost flushed        -> put back
    lost flushed        -> put back
    lost flushed        -> put back
    lost flushed        -> put back
    lost address        -> put back
    is MASTER

own: what another daemon of this program removes is set again each time
    master
    lost shared         -> put back
    lost shared         -> put back
    lost shared         -> put back
    lost shared         -> put back
    lost shared         -> put back
    lost shared         -> put back
    lost shared         -> put back
    lost path           -> put back
    is MASTER

own: a reload makes only a master set what is missing
    startup             -> BACKUP startup
    renew
    wait down           -> advert 100, add, MASTER master_silent
    renew               -> put back
    link down           -> advert 0, remove, FAULT link_down
    renew

own: a master whose sends are refused yields to another master, which does not hear it, until a trial leaves
    for version 3
    master
    wait 10ms
    hear 90 from 90     -> advert 100, contest
    wait 10ms
    hear 90 from 90
    wait 10ms
    refused
    hear 90 from 90     -> remove, FAULT refused
    wait 3s
    hear 90 from 90
    wait 1999ms
    wait 1ms            -> try sending 1
    wait 2s
    hear 90 from 90
    wait 2999ms
    wait 1ms            -> try sending 1
    sends               -> BACKUP recovered
    wait down           -> advert 100, add, MASTER master_silent

own: sends that are refused again soon after a trial must leave five times in a row
    startup             -> BACKUP startup
    sends
    wait down           -> advert 100, add, MASTER master_silent
    hear 90 from 90     -> advert 100, contest
    refused
    hear 90 from 90     -> remove, FAULT refused
    wait 4s
    hear 90 from 90
    wait 1s             -> try sending 1
    sends               -> BACKUP recovered
    wait down           -> advert 100, add, MASTER master_silent
    hear 90 from 90     -> advert 100, contest
    refused
    hear 90 from 90     -> remove, FAULT refused
    wait 1s             -> try sending 1
    sends
    wait 1s             -> try sending 1
    sends
    hear 90 from 90
    wait 1s             -> try sending 1
    wait 1s             -> try sending 1
    sends
    wait 1s             -> try sending 1
    sends
    hear 90 from 90
    wait 1s             -> try sending 1
    sends
    wait 1s             -> try sending 1
    sends
    wait 1s             -> try sending 1
    sends               -> BACKUP recovered

own: a master whose sends are refused serves without adverts once no other master is heard, nor an heir of it
    master
    hear 90 from 90     -> advert 100, contest
    refused
    hear 90 from 90     -> remove, FAULT refused
    wait 1s
    hear 90 from 90
    wait 4s             -> try sending 1
    wait 5s             -> BACKUP recovered
    wait down           -> advert 100, add, MASTER master_silent

own: no trial comes while the other master hands over, and the one for a master of priority 1 is a release
    master
    hear 90 from 90     -> advert 100, contest
    refused
    hear 90 from 90     -> remove, FAULT refused
    wait 3s
    hear 90 from 90
    hear 0 from 90
    wait 2s
    hear 1 from 80
    wait 1s             -> try sending 0
    hear 90 from 90
    wait 5s             -> BACKUP recovered

own: another master counts when it is heard again, and a higher one is obeyed
    for version 3
    master
    wait 10ms
    refused
    hear 90 from 90     -> advert 100, contest
    wait 10ms
    refused
    hear 150 from 150   -> advert 100, remove, watch, BACKUP higher_priority

own: a link failure in the minute after repeated loss does not end the Fault
    master
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> put back
    wait 100ms
    lost address        -> advert 0, remove, FAULT taken_away
    link down
    link up
    is FAULT
    wait down           -> BACKUP recovered";
