//! Budgets: limits on the cost of a flood of valid adverts.

use vrrp_ebpf::map::{BUDGET_OTHERS, Counter, InstanceKey, InstanceRules, NO_PEER, PEERS_PER_SLOT};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::{AdvertInfo, ChecksumForm, Family};
use vrrp_tests::packet::{Frame, V3_IPV4, VRID, advert};
use vrrp_tests::{FIRST, needs};
use vrrp_user::driver::xdp::Entry;
use vrrp_user::protocol::InstanceId;

use crate::stand::{LOOPBACK, Outcome, Stand, next_window, on_each_entry, slot};

const EVENT: Outcome = Outcome::Passed(Counter::Event);

fn from(host: u32) -> Frame {
    advert(V3_IPV4, 1).source(std::net::Ipv4Addr::from(0x0a00_0000 + host).into())
}

/// The limit holds within a window; the watched master is heard in any flood.
#[test]
#[needs("root")]
fn events_are_limited() {
    on_each_entry(&slot(V3_IPV4), Family::V4, 0, |stand| {
        let master = advert(V3_IPV4, 1);
        stand.watch(&master, 34);
        next_window();
        let [events, over] =
            stand.flood(FIRST, &from(1), 10 * BUDGET_OTHERS, [Counter::Event, Counter::OverBudget]);
        assert!(events >= BUDGET_OTHERS && over > 0, "{events} events, {over} over budget");
        assert_eq!(stand.run(&master), Outcome::Passed(Counter::Steady));
        assert_eq!(stand.woken().len(), events as usize);
        next_window();
        assert_eq!(stand.run(&from(1)), EVENT);
    });
}

/// A flood of lower priorities hides no higher one, and the reverse.
#[test]
#[needs("root")]
fn a_higher_priority_is_heard_in_a_flood_of_lower_ones() {
    for flooding in [99, 100] {
        on_each_entry(&InstanceRules { priority: 100, ..slot(V3_IPV4) }, Family::V4, 0, |stand| {
            let of = |priority: u8| from(1).byte(2, priority);
            next_window();
            let counters = [Counter::Event, Counter::OverBudget];
            let [_, over] = stand.flood(FIRST, &of(flooding), 4 * BUDGET_OTHERS, counters);
            assert!(over > 0);
            assert_eq!(stand.run(&of(199 - flooding)), EVENT, "in a flood of priority {flooding}");
        });
    }
}

/// The first senders keep their records; another one makes an event and is counted.
#[test]
#[needs("root")]
fn new_senders_displace_no_record() {
    on_each_entry(&slot(V3_IPV4), Family::V4, 0, |stand| {
        for host in 0..PEERS_PER_SLOT {
            assert_eq!(stand.run(&from(host)), EVENT);
        }
        let maps = stand.program.maps();
        let known: Vec<_> = maps.peers(FIRST).map(|(_, peer)| peer.source).collect();
        let before = maps.counters(Some(FIRST));
        let _verdict = stand.program.run(stand.entry, &from(PEERS_PER_SLOT).build(), 1).unwrap();
        let after = maps.counters(Some(FIRST));
        for counter in [Counter::PeersFull, Counter::Event] {
            assert_eq!(after.counter(counter), before.counter(counter) + 1, "{counter:?}");
        }
        assert_eq!(maps.peers(FIRST).map(|(_, peer)| peer.source).collect::<Vec<_>>(), known);
    });
}

/// The program finds no room. The daemon makes room in the record of a sender that has gone, and then the program finds
/// it.
#[test]
#[needs("root")]
fn a_departed_sender_makes_room_for_a_new_one() {
    on_each_entry(&slot(V3_IPV4), Family::V4, 0, |stand| {
        for host in 0..PEERS_PER_SLOT {
            assert_eq!(stand.run(&from(host)), EVENT);
        }
        let next = from(PEERS_PER_SLOT);
        let reported = |stand: &mut Stand| {
            assert_eq!(stand.run(&next), EVENT);
            let mut reported = None;
            stand.ring.drain(usize::MAX, |event| reported = Some((event.source, event.peer, event.stamp)));
            reported.unwrap()
        };
        let (source, peer, stamp) = reported(stand);
        assert_eq!(peer, NO_PEER);
        let info =
            AdvertInfo { source, interval: 100, version: 3, vrid: VRID, priority: 100, address_count: 1 };
        let make_room = |stand: &Stand, seconds: u64| {
            let now = Timestamp::from_nanos(stamp + seconds * 1_000_000_000);
            stand.program.maps().make_room(FIRST, &info, ChecksumForm::Pseudo, now, false)
        };
        // At an interval of one second, a sender counts as alive for less than four.
        assert_eq!(make_room(stand, 1), NO_PEER, "all other senders are alive");
        let place = make_room(stand, 5);
        assert_ne!(place, NO_PEER);
        assert_eq!(reported(stand).1, place);
        stand.watch(&next, 34);
        assert_eq!(stand.run(&next), Outcome::Passed(Counter::Steady));
    });
}

/// Number of instances; together their budgets exceed the ring.
const SLOTS: u8 = 32;

/// The records count what the ring has lost.
#[test]
#[needs("root")]
fn a_full_ring_is_counted() {
    for entry in Entry::ALL {
        let mut stand = Stand::new(entry, SLOTS.into());
        let slots = || InstanceId::all().zip(VRID..).take(SLOTS.into());
        for (id, vrid) in slots() {
            let key = InstanceKey::new(LOOPBACK, 0, Family::V4, vrid);
            stand.insert(id, &slot(V3_IPV4), key);
        }
        let (mut events, mut full) = (0, 0);
        for (id, vrid) in slots() {
            let frame = advert(V3_IPV4, 20).byte(1, vrid);
            let counters = [Counter::Event, Counter::RingFull];
            let [queued, lost] = stand.flood(id, &frame, BUDGET_OTHERS, counters);
            events += queued;
            full += lost;
        }
        assert!(full > 0, "{events} events found room");
        let records = |(id, _)| stand.program.maps().peer(id, 0).unwrap().adverts;
        assert_eq!(slots().map(records).sum::<u64>(), u64::from(SLOTS) * u64::from(BUDGET_OTHERS));
        assert_eq!(stand.woken().len(), events as usize);
    }
}
