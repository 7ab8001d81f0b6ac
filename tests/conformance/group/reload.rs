//! Reloads that change sync groups: unchanged instances do not notice.

use vrrp_user::protocol::{Event, InstanceId, State};

use super::bench::{Bench, run_all};
use crate::setup::Variant;

const ROWS: &str = "
a new member joins a mastership, and the others do not notice
    masters
    reload add c, group G a b c
    wait 500ms
    c joins             -> c advert 100, c add, c MASTER group_joined
    epochs 2 2 3
    wait 500ms - 1ns
    wait 1ns            -> a advert 100, b advert 100
    wait 500ms          -> c advert 100
    c hear 150 from 120 -> c advert 100, c remove, c watch, c BACKUP higher_priority, a advert 0, a remove, a BACKUP group_yielded, b advert 0, b remove, b BACKUP group_yielded, GROUP BACKUP higher_priority

a new member waits with those that obey another master
    backups
    reload add c, group G a b c
    wait 100ms
    c joins             -> c BACKUP startup
    epochs 1 1 2
    wait a.down - 100ms -> a unwatch, b unwatch
    wait 100ms          -> a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, c advert 100, c add, c MASTER master_silent, GROUP MASTER master_silent

a new member with unknown inputs delays no takeover
    backups
    reload add c, group G a b c
    wait a.down         -> a unwatch, b unwatch, a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
    c joins             -> c advert 100, c add, c MASTER group_joined

a new member waits in Fault with the others
    faults
    reload add c, group G a b c
    c joins             -> c FAULT group_fault
    b link up           -> a BACKUP recovered, b BACKUP recovered, c BACKUP recovered, GROUP BACKUP recovered

a new member in Fault joins a mastership when it recovers, and is a member like others from then on
    masters
    reload add c, group G a b c
    c source 100
    startup             -> c FAULT link_down
    epochs 2 2 3
    wait 1s             -> a advert 100, b advert 100
    c link up           -> c advert 100, c add, c MASTER group_joined
    epochs 2 2 4
    c link down         -> a advert 0, a remove, a FAULT group_fault, b advert 0, b remove, b FAULT group_fault, c advert 0, c remove, c FAULT link_down, GROUP FAULT link_down
    c link up           -> a BACKUP recovered, b BACKUP recovered, c BACKUP recovered, GROUP BACKUP recovered

a new member in Fault with another cause after the first one joins no sooner
    masters
    reload add c, group G a b c
    startup             -> c FAULT link_down
    c link up
    reasons master_silent master_silent no_source
    c source 100        -> c advert 100, c add, c MASTER group_joined

a new member in Fault keeps no backups from taking over, and waits with them when it recovers
    backups
    reload add c, group G a b c
    c source 100
    startup             -> c FAULT link_down
    wait a.down         -> a unwatch, b unwatch, a advert 100, a add, a MASTER master_silent, b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
    b hear 150 from 120 -> b advert 100, b remove, b watch, b BACKUP higher_priority, a advert 0, a remove, a BACKUP group_yielded, GROUP BACKUP higher_priority
    c link up           -> c BACKUP recovered

a new member that recovers while its group is in Fault waits for the others
    faults
    reload add c, group G a b c
    startup             -> c FAULT link_down
    c link up
    c source 100
    reasons group_fault link_down group_fault
    b link up           -> a BACKUP recovered, b BACKUP recovered, c BACKUP recovered, GROUP BACKUP recovered

a group leaves Fault without its new member that is in Fault
    faults
    reload add c, group G a b c
    startup             -> c FAULT link_down
    b link up           -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered

another reload leaves a new member in Fault where it is, and the others masters
    masters
    reload add c, group G a b c
    startup             -> c FAULT link_down
    reload add d, group G a b c d
    d joins             -> d advert 100, d add, d MASTER group_joined
    epochs 2 2 3 4
    c link up
    c source 100        -> c advert 100, c add, c MASTER group_joined

a new member whose settings are at fault joins with the reload that corrects them
    masters
    reload add c, set c peers none, group G a b c
    c joins             -> c FAULT no_peer
    reload set c peers one, group G a b c -> c advert 100, c add, c MASTER group_joined

a new member in Fault is alone in its group when the others leave
    masters
    reload add c, group G a b c
    startup             -> c FAULT link_down
    reload remove a, remove b, group G c -> a advert 0, a remove, a INIT removed, b advert 0, b remove, b INIT removed, GROUP INIT removed, GROUP FAULT link_down
    c link up
    c source 100        -> c BACKUP recovered, GROUP BACKUP recovered

a member that is replaced by one in Fault costs the other no mastership
    masters
    reload remove a, add c, group G c b -> a advert 0, a remove, a INIT removed
    startup             -> c FAULT link_down
    wait 1s             -> b advert 100
    c link up
    c source 100        -> c advert 100, c add, c MASTER group_joined
    epochs 3 2 5

a master that forms a group with an instance in Fault stays master
    masters
    reload no groups
    b link down         -> b advert 0, b remove, b FAULT link_down
    reload group H a b  -> GROUP MASTER master_silent
    wait 1s             -> a advert 100
    b link up           -> b advert 100, b add, b MASTER group_joined
    shutdown            -> a advert 0, a remove, a INIT shutdown, b advert 0, b remove, b INIT shutdown, GROUP INIT shutdown

a member that leaves its group stays master
    masters
    reload group G a
    epochs 2 2
    wait 1s - 1ns
    wait 1ns            -> a advert 100, b advert 100
    b hear 150 from 120 -> b advert 100, b remove, b watch, b BACKUP higher_priority
    wait 1s             -> a advert 100

a removed member releases alone, and returns with a later epoch
    masters
    reload remove b, group G a -> b advert 0, b remove, b INIT removed
    wait 1s             -> a advert 100
    epochs 2 3
    reload add b, group G a b
    b joins             -> b advert 100, b add, b MASTER group_joined
    epochs 2 4

a member takes the place of another one
    masters
    reload remove a, add c, group G c b -> a advert 0, a remove, a INIT removed
    wait 1s             -> b advert 100
    c joins             -> c advert 100, c add, c MASTER group_joined
    epochs 3 2 4

all members leave with their group
    masters
    reload remove a, remove b -> a advert 0, a remove, a INIT removed, b advert 0, b remove, b INIT removed, GROUP INIT removed

a ready member that leaves its group takes over
    backups
    wait 2s
    a seen
    wait b.down - 2s    -> b unwatch
    reload group G a    -> b advert 100, b add, b MASTER master_silent
    a seen
    wait a.down - 1ns   -> b advert 100, b advert 100, b advert 100
    wait 1ns            -> a unwatch, a advert 100, a add, a MASTER master_silent, GROUP MASTER master_silent

ready members take over when the unready one leaves their group
    backups
    wait 2s
    a seen
    wait b.down - 2s    -> b unwatch
    reload group G b    -> b advert 100, b add, b MASTER master_silent, GROUP MASTER master_silent
    a seen

a failed member that leaves lets the others recover, and leaves them when it returns until it recovers
    faults
    reload group G a    -> a BACKUP recovered, GROUP BACKUP recovered
    reload group G a b
    b link up           -> b BACKUP recovered

members of a deleted group continue separately
    masters
    reload no groups
    wait 1s             -> a advert 100, b advert 100
    a hear 150 from 120 -> a advert 100, a remove, a watch, a BACKUP higher_priority
    epochs 3 2

without its group, a member has only its own causes of Fault
    faults
    reload no groups    -> a BACKUP recovered
    b link up           -> b BACKUP recovered

a renamed group continues
    masters
    reload group H b a
    epochs 2 2
    wait 1s             -> a advert 100, b advert 100

masters that form a group stay master
    masters
    reload no groups
    reload group H a b  -> GROUP MASTER master_silent
    epochs 2 2
    wait 1s             -> a advert 100, b advert 100

a master that joins a group with a member that obeys another master yields
    masters
    reload no groups
    b hear 150 from 120 -> b advert 100, b remove, b watch, b BACKUP higher_priority
    reload group H a b  -> a advert 0, a remove, a BACKUP group_yielded, GROUP BACKUP higher_priority
    a hear 150 from 120 -> a watch

a master that joins a group with a ready member takes it along
    masters
    reload add c, add d, group G a b, group H c d
    c link up
    c source 100
    d link up
    d source 100
    startup             -> c BACKUP startup, d BACKUP startup, GROUP BACKUP startup
    wait 1s             -> a advert 100, b advert 100
    d hear 150 from 120 -> d watch
    wait c.down - 1s    -> a advert 100, b advert 100, a advert 100, b advert 100
    reload group G a b c, group H d -> c advert 100, c add, c MASTER master_silent

a member moves from one master group to another, and then fails with that one
    masters
    reload add c, add d, group G a b, group H c d
    c link up
    c source 100
    d link up
    d source 100
    startup             -> c BACKUP startup, d BACKUP startup, GROUP BACKUP startup
    wait c.down         -> a advert 100, b advert 100, a advert 100, b advert 100, a advert 100, b advert 100, c advert 100, c add, c MASTER master_silent, d advert 100, d add, d MASTER master_silent, GROUP MASTER master_silent
    reload group G a, group H b c d
    epochs 2 2 4 4
    d link down         -> b advert 0, b remove, b FAULT group_fault, c advert 0, c remove, c FAULT group_fault, d advert 0, d remove, d FAULT link_down, GROUP FAULT link_down

a member that moves to a group that obeys another master yields
    masters
    reload add c, group G a b, group H c
    c joins             -> c BACKUP startup, GROUP BACKUP startup
    c hear 150 from 120 -> c watch
    reload group G a, group H b c -> b advert 0, b remove, b BACKUP group_yielded
    wait 1s             -> a advert 100

a member that fails by its settings takes its group along
    masters
    reload set b peers none, group G a b -> b advert 100, a advert 0, a remove, a FAULT group_fault, b advert 0, b remove, b FAULT no_peer, GROUP FAULT no_peer
    reload set b peers one, group G a b -> a BACKUP recovered, b BACKUP recovered, GROUP BACKUP recovered

a member that fails by its settings and leaves its group with them fails alone
    masters
    reload set b peers none, group G a -> b advert 0, b remove, b FAULT no_peer
    wait 1s             -> a advert 100

a visible change of a member is advertised at once
    masters
    reload set b priority 150, group G a b -> b advert 150, b priority 150
    epochs 2 2";

#[test]
fn all_rows_hold() {
    run_all(ROWS);
}

#[test]
fn a_group_goes_on_in_its_epoch_under_any_name_and_with_other_members() {
    let mut bench = Bench::new([Variant::V3Ipv4.settings(), Variant::V3Ipv4.settings()]);
    let epoch =
        |bench: &Bench| bench.groups.last().map(|reported| (reported.epoch.0, reported.from, reported.to));
    bench.handle(&Event::Startup);
    assert_eq!(epoch(&bench), Some((1, State::Init, State::Backup)));
    bench.reload("group H a b");
    bench.handle(&Event::Link(InstanceId(0), false));
    assert_eq!(epoch(&bench), Some((2, State::Backup, State::Fault)));
    bench.reload("group H b");
    assert_eq!(epoch(&bench), Some((3, State::Fault, State::Backup)));
    // A group that is added later, under the same name or another one, has a later epoch.
    bench.reload("no groups");
    bench.reload("group G a b");
    assert_eq!(epoch(&bench), Some((4, State::Init, State::Backup)));
}
