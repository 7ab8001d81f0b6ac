//! Watched adverts: they refresh a time stamp and do not wake the daemon; all others do.

use vrrp_ebpf::map::Counter;
use vrrp_ebpf::wire::advert::Dialect;
use vrrp_ebpf::wire::{Family, InstanceRules, Reject};
use vrrp_tests::packet::{V2, V2_PASS, V3_IPV4, V3_IPV6, advert};
use vrrp_tests::{FIRST, needs};

use crate::stand::{Outcome, on_each_entry, slot};

const STEADY: Outcome = Outcome::Passed(Counter::Steady);
const EVENT: Outcome = Outcome::Passed(Counter::Event);

fn at(dialect: Dialect) -> usize {
    if dialect.family() == Family::V4 { 34 } else { 54 }
}

#[test]
#[needs("root")]
fn watched_adverts_wake_no_daemon() {
    for (dialect, count) in [(V2, 1), (V2_PASS, 3), (V3_IPV4, 1), (V3_IPV4, 20), (V3_IPV6, 1), (V3_IPV6, 92)]
    {
        on_each_entry(&slot(dialect), dialect.family(), 0, |stand| {
            let frame = advert(dialect, count);
            stand.watch(&frame, at(dialect));
            let maps = stand.program.maps();
            let armed = maps.last_seen(FIRST).unwrap();
            for heard in 1..=3 {
                let before = maps.last_seen(FIRST).unwrap();
                assert_eq!(stand.run(&frame), STEADY, "{dialect:?}, {count} addresses");
                assert!(maps.last_seen(FIRST).unwrap() > before, "the stamp is refreshed");
                assert_eq!(maps.watch_hits(FIRST), heard);
            }
            let peer = maps.peer(FIRST, 0).unwrap();
            assert_eq!(peer.adverts, 4, "the sender's record is continued");
            assert_eq!(maps.gaps(FIRST, 0).counts.iter().sum::<u32>(), 3);
            assert!(peer.last_seen > armed.as_nanos());
            assert!(stand.woken().is_empty());
        });
    }
}

#[test]
#[needs("root")]
fn a_watched_advert_from_an_own_address_is_refused() {
    for dialect in [V3_IPV4, V3_IPV6] {
        let form = slot(dialect);
        on_each_entry(&form, dialect.family(), 0, |stand| {
            let frame = advert(dialect, 1);
            stand.watch(&frame, at(dialect));
            assert_eq!(stand.run(&frame), STEADY, "{dialect:?}");
            let source = stand.program.maps().peer(FIRST, 0).unwrap().source;
            stand.program.maps().set_slot(FIRST, &InstanceRules { source, ..form });
            assert_eq!(stand.run(&frame), Outcome::Rejected(Reject::OwnSource), "{dialect:?}");
        });
    }
}

/// A difference in any byte, in length or in the sender leads to full checks.
#[test]
#[needs("root")]
fn a_difference_is_seen() {
    for (dialect, count, other) in
        [(V3_IPV4, 20, "192.0.2.2"), (V3_IPV6, 5, "fe80::2"), (V2, 20, "192.0.2.2")]
    {
        on_each_entry(&slot(dialect), dialect.family(), 0, |stand| {
            let frame = advert(dialect, count);
            stand.watch(&frame, at(dialect));
            let bytes = frame.build();
            for place in at(dialect)..bytes.len() {
                let mut changed = bytes.clone();
                changed[place] ^= 1;
                // The VRID selects another instance.
                if place == at(dialect) + 1 {
                    continue;
                }
                let outcome = stand.run_bytes(&changed);
                assert!(matches!(outcome, Outcome::Rejected(_)), "byte {place}: {outcome:?}");
            }
            assert_eq!(stand.run(&frame), STEADY);
            assert_eq!(stand.run(&frame.clone().byte(2, 99)), EVENT, "another priority");
            assert_eq!(stand.run(&frame.clone().byte(2, 0)), EVENT, "priority 0");
            assert_eq!(stand.run(&frame.clone().source(other.parse().unwrap())), EVENT, "another sender");
            assert_eq!(stand.run(&advert(dialect, count - 1)), EVENT, "an address less");
            assert_eq!(stand.run(&frame.ttl(64)), Outcome::Rejected(Reject::Ttl), "from beyond a router");
            assert_eq!(stand.woken().len(), 4);
        });
    }
}

#[test]
#[needs("root")]
fn a_disarmed_advert_is_an_event_again() {
    on_each_entry(&slot(V3_IPV4), Family::V4, 0, |stand| {
        let frame = advert(V3_IPV4, 2);
        stand.watch(&frame, at(V3_IPV4));
        stand.program.maps().disarm(FIRST);
        assert_eq!(stand.run(&frame), EVENT);
    });
}
