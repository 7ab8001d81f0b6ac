//! A node with two members, `a` and `b`, in the form of [`super::bench`].

use vrrp_user::protocol::{Event, InstanceId, State};

use super::bench::{Bench, run_all};
use crate::setup::Variant;

const ROWS: &str = "
maintenance takes all members out by the same reason, and all take part again together
    given handover overlap
    masters
    steer maintenance   -> a advert 0, a FAULT maintenance, b advert 0, b FAULT maintenance, GROUP FAULT maintenance
    a hear 90 from 90   -> a stop answering
    b hear 90 from 90   -> b stop answering
    wait 50ms           -> a remove, b remove
    wait 60s
    steer nothing       -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered

a failover hands all members over, and without an heir all are masters again without a gap
    given handover overlap
    masters
    steer away          -> a advert 0, a BACKUP handed_over, a priority 1, b advert 0, b BACKUP handed_over, b lease, GROUP BACKUP handed_over, b priority 1
    reasons handed_over handed_over
    wait 100ms          -> a advert 0, b advert 0, a advert 0, b advert 0
    wait 3s             -> a advert 1, a add, a MASTER master_silent, b advert 1, b add, b MASTER master_silent, GROUP MASTER master_silent

members take over together, when the last one is ready
    given b priority 50
    startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
    wait a.down
    is BACKUP
    wait b.down - a.down - 1ns
    wait 1ns            -> a advert 100, a add, a MASTER master_silent, b advert 50, b add, b MASTER master_silent, GROUP MASTER master_silent

late adverts of one member's master cause no takeover
    backups
    wait 3s
    b seen
    wait 1s             -> a unwatch
    a hear 150 from 120 -> a watch
    wait 2s
    a seen
    wait 2s             -> b unwatch
    b hear 150 from 120 -> b watch
    is BACKUP

a ready member that hears its master is no longer ready
    startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
    wait 1s
    b hear 150 from 120 -> b watch
    wait 3s
    a hear 150 from 120 -> a watch
    wait 1s             -> b unwatch
    is BACKUP
    wait 2500ms
    b hear 0 from 120
    wait b.skew - 1ns   -> a unwatch
    wait 1ns            -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_released, GROUP MASTER master_released

a lowered priority ends readiness, an advert of a lower master does not
    given a track 1 weight -60
    startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
    wait 1s
    b hear 150 from 120 -> b watch
    wait 3s
    a hear 50 from 120
    track 1 down        -> a priority 40
    b hear 0 from 120   -> b unwatch
    wait b.skew
    is BACKUP
    wait a.down - b.skew - 1ns
    wait 1ns            -> a advert 40, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_released, GROUP MASTER master_silent

a member that yields takes the others along, which release their addresses
    masters
    b hear 150 from 120 -> b advert 100, b remove, b watch, b BACKUP higher_priority, a advert 0, a remove, a BACKUP group_yielded, GROUP BACKUP higher_priority
    a hear 150 from 120 -> a watch

Fault of one member is Fault of all, until no cause is left
    masters
    b link down         -> a advert 0, a remove, a FAULT group_fault, b advert 0, b remove, b FAULT link_down, GROUP FAULT link_down
    a hear 50 from 120
    wait 20s
    a source none
    b link up
    is FAULT
    reasons no_source group_fault
    a source 100        -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered
    wait a.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent

a member whose addresses are removed repeatedly takes the others along
    masters
    b lost address      -> b put back
    wait 100ms
    b lost address      -> b put back
    wait 100ms
    b lost address      -> b put back
    wait 100ms
    b lost address      -> b put back
    wait 100ms
    b lost address      -> b put back
    wait 100ms
    b lost address      -> a advert 0, a remove, a FAULT group_fault, b advert 0, b remove, b FAULT taken_away, GROUP FAULT taken_away
    wait b.down - 1ns
    wait 1ns            -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered

a failed track of all members is each one's own reason
    given track 1 weight 0
    startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
    track 1 down        -> a FAULT track_down, b FAULT track_down, GROUP FAULT track_down
    track 1 up          -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered

a group starts when all inputs are known, and in Fault if a member is
    given b track 1 weight 0 unknown
    a link down
    startup
    wait 20s
    is INIT
    track 1 up          -> a FAULT link_down, b FAULT group_fault, GROUP FAULT link_down
    a link up           -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered

a group of owners is master at once
    given priority 255
    startup             -> a advert 255, a add, a MASTER owner, b advert 255, b add, b MASTER owner, GROUP MASTER owner
    b link down         -> a advert 0, a remove, a FAULT group_fault, b advert 0, b remove, b FAULT link_down, GROUP FAULT link_down
    b link up           -> a advert 255, a add, a MASTER recovered, b advert 255, b add, b MASTER recovered, GROUP MASTER recovered

an owner in a group with others waits
    given a priority 255
    startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
    wait b.down         -> a advert 255, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent

the shutdown is reported by each member, then by the group
    masters
    shutdown            -> a advert 0, a remove, a INIT shutdown, b advert 0, b remove, b INIT shutdown, GROUP INIT shutdown
    b link down
    wait 20s
    is INIT

a lower master of one member makes all members announce
    given announce lower_prio_repeat 2
    masters
    b hear 50 from 120  -> b advert 100, b announce 2, b contest, a announce 2
    wait 200ms
    a hear 50 from 120  -> a advert 100

one member without preemption holds back all
    given b preempt off
    startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
    wait 3s
    a hear 50 from 120
    b hear 50 from 120  -> b watch
    wait 3s
    b seen
    is BACKUP
    a hear 0 from 120
    b hear 0 from 120   -> b unwatch
    wait a.skew         -> a advert 100, a add, a MASTER master_released, b advert 100, b add, b MASTER master_released, GROUP MASTER master_released

after a suspension, ready members listen again
    startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
    wait 1s
    b hear 150 from 120 -> b watch
    wait 3s
    freeze 2s
    is BACKUP
    wait b.A + b.A + b.skew - 1ns
    wait 1ns            -> b unwatch, a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent

a suspended group returns with the last of its members
    given b priority 50
    startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
    wait b.down         -> a advert 100, a add, a MASTER master_silent, b advert 50, b add, b MASTER master_silent, GROUP MASTER master_silent
    freeze 10s
    wait a.A + a.skew   -> a advert 100, a add, a MASTER resumed
    wait b.skew - a.skew - 1ns
    wait 1ns            -> b advert 50, b add, b MASTER resumed, GROUP MASTER resumed

a group that lost a tie by its first member listens an interval longer
    masters
    a hear 150 from 120 -> a advert 100, a remove, a watch, a BACKUP higher_priority, b advert 0, b remove, b BACKUP group_yielded, GROUP BACKUP higher_priority
    a hear 0 from 120   -> a unwatch
    wait b.down
    is BACKUP
    wait b.A - 1ns
    wait 1ns            -> a advert 100, a add, a MASTER master_released, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent

a group that lost a tie by another member does not
    masters
    b hear 150 from 120 -> b advert 100, b remove, b watch, b BACKUP higher_priority, a advert 0, a remove, a BACKUP group_yielded, GROUP BACKUP higher_priority
    b hear 0 from 120   -> b unwatch
    wait a.down - 1ns
    wait 1ns            -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_released, GROUP MASTER master_silent

a higher master heard twice is no tie
    masters
    a hear 150 from 120 -> a advert 100, a remove, a watch, a BACKUP higher_priority, b advert 0, b remove, b BACKUP group_yielded, GROUP BACKUP higher_priority
    wait 1s
    a hear 150 from 120 -> a watch
    b hear 150 from 120 -> b watch
    wait a.down         -> a unwatch, b unwatch, a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent

members in Fault with a failed one hand over, while that one cannot serve
    given handover overlap
    masters
    a link down         -> a advert 0, a remove, a FAULT link_down, b advert 0, b FAULT group_fault, b lease, GROUP FAULT link_down
    wait 600ms
    b hear 90 from 90   -> b stop answering
    wait 50ms           -> b remove

members in Fault serve until the heir of a silent member has lost patience, as heirs take over together
    given handover overlap
    masters
    a link down         -> a advert 0, a remove, a FAULT link_down, b advert 0, b FAULT group_fault, b lease, GROUP FAULT link_down
    wait a.down
    wait 999ms
    wait 1ms            -> b remove

members serve as long as the slowest at the end, and after a failed check
    given handover overlap
    given a interval 100ms
    given b track 1 weight 0
    startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
    wait b.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
    track 1 down        -> a advert 0, a FAULT group_fault, b advert 0, b FAULT track_down, a lease, GROUP FAULT track_down
    wait 1s
    wait 1s
    a hear 90 from 90   -> a stop answering
    b hear 90 from 90   -> b stop answering
    wait 1s             -> a remove, b remove
    track 1 up          -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered
    wait b.down         -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
    shutdown            -> a advert 0, a INIT shutdown, b advert 0, b INIT shutdown, GROUP INIT shutdown, a lease
    wait 500ms          -> a advert 0, a advert 0, b advert 0, b advert 0
    wait 2s
    a hear 90 from 90   -> a stop answering
    wait 60ms           -> a remove

a Fault that comes and goes starts the wait of all members again, once
    given b priority 50
    startup             -> a BACKUP startup, b BACKUP startup, GROUP BACKUP startup
    wait 3s
    b link down         -> a FAULT group_fault, b FAULT link_down, GROUP FAULT link_down
    wait 1s
    b link up           -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered
    wait 3s
    b link down         -> a FAULT group_fault, b FAULT link_down, GROUP FAULT link_down
    b link up           -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered
    wait b.down - 1ns
    is BACKUP
    wait 1ns            -> a advert 100, a add, a MASTER master_silent, b advert 50, b add, b MASTER master_silent, GROUP MASTER master_silent

all hand over at the end, each to its own heir
    given handover overlap
    masters
    shutdown            -> a advert 0, a INIT shutdown, b advert 0, b INIT shutdown, GROUP INIT shutdown
    wait 500ms          -> a advert 0, b advert 0, a advert 0, b advert 0
    a hear 90 from 90   -> a stop answering
    b hear 90 from 90   -> b stop answering
    wait 50ms           -> a remove, b remove

a member that yields with its group serves until its own heir is heard
    given handover overlap
    masters
    a hear 150 from 120 -> a advert 100, a stop answering, a watch, a BACKUP higher_priority, b advert 0, b BACKUP group_yielded, GROUP BACKUP higher_priority
    wait 20ms
    b hear 150 from 120 -> b stop answering, b watch
    wait 50ms           -> a remove, b remove";

#[test]
fn all_rows_hold() {
    run_all(ROWS);
}

#[test]
fn transitions_of_a_group_are_numbered_and_name_the_member_that_moved_it() {
    let mut bench = Bench::new([Variant::V3Ipv4.settings(), Variant::V3Ipv4.settings()]);
    bench.handle(&Event::Startup);
    bench.handle(&Event::Link(InstanceId(1), false));
    bench.handle(&Event::Link(InstanceId(0), false));
    bench.handle(&Event::Link(InstanceId(1), true));
    bench.handle(&Event::Link(InstanceId(0), true));
    let reported: Vec<_> = bench
        .groups
        .iter()
        .map(|reported| (reported.epoch.0, reported.member.0, reported.from, reported.to))
        .collect();
    assert_eq!(
        reported,
        [
            (1, 1, State::Init, State::Backup),
            (2, 1, State::Backup, State::Fault),
            (3, 0, State::Fault, State::Backup)
        ]
    );
}
