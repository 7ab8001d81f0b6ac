//! The fence: ARP requests and neighbour solicitations for our addresses are dropped when the lease has expired.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::map::{BUDGET_OTHERS, Counter, InstanceRules, LeaseKey};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::ethernet::Mac;
use vrrp_ebpf::wire::{Family, Reject, ethernet};
use vrrp_tests::clock::elapse;
use vrrp_tests::packet::{V3_IPV4, VRID, address_request, advert};
use vrrp_tests::{FIRST, SECOND, needs};
use vrrp_user::driver::clock;
use vrrp_user::driver::xdp::Entry;
use vrrp_user::protocol::InstanceId;

use crate::signed::TRAILER;
use crate::stand::{self, LOOPBACK, Outcome, Stand, next_window, slot};

const EVENT: Outcome = Outcome::Passed(Counter::Event);
const FENCED: Outcome = Outcome::Dropped(Counter::Fenced);
const ADDRESSES: [&str; 2] = ["192.0.2.100", "fe80::100"];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn key(address: IpAddr) -> LeaseKey {
    LeaseKey { ifindex: LOOPBACK, family: Family::of(address) as u32, address: widen(address) }
}

/// Runs `check` for each entry, with slot 1 for each of the addresses.
fn on_each_entry(check: impl Fn(&mut Stand)) {
    for entry in Entry::ALL {
        let mut stand = Stand::new(entry, 2);
        ADDRESSES.map(address).map(key).into_iter().for_each(|key| stand.program.fence(key, SECOND).unwrap());
        check(&mut stand);
    }
}

fn lease(stand: &Stand, span: Option<Duration>) {
    lease_of(stand, SECOND, span);
}

fn lease_of(stand: &Stand, slot: InstanceId, span: Option<Duration>) {
    stand.program.maps().set_lease(slot, span.map(|span| clock::now() + span));
}

/// Asks during a lease, which is longer if a slow machine was late. Returns its end.
fn ask_in_time(stand: &Stand, ask: &impl Fn(&Stand) -> Outcome, target: IpAddr) -> Timestamp {
    for span in [200, 1000, 5000].map(Duration::from_millis) {
        let until = clock::now() + span;
        stand.program.maps().set_lease(SECOND, Some(until));
        let outcome = ask(stand);
        if clock::now() < until {
            assert_eq!(outcome, Outcome::Other, "{:?}, {target}: it runs", stand.entry);
            return until;
        }
    }
    panic!("a request took five seconds");
}

#[test]
#[needs("root")]
fn a_lease_ends_by_itself() {
    on_each_entry(|stand| {
        for target in ADDRESSES.map(address) {
            let ask = |stand: &Stand| stand.run_bytes(&address_request(target, &[]));
            assert_eq!(ask(stand), FENCED, "{:?}, {target}: none yet", stand.entry);
            let until = ask_in_time(stand, &ask, target);
            elapse(until.since(clock::now()) + Duration::from_millis(20));
            assert_eq!(ask(stand), FENCED, "{:?}, {target}: it has run out", stand.entry);
            lease(stand, Some(Duration::from_secs(60)));
            assert_eq!(ask(stand), Outcome::Other, "{:?}, {target}: it is renewed", stand.entry);
            lease(stand, None);
            assert_eq!(ask(stand), FENCED, "{:?}, {target}: it is given up", stand.entry);
            stand.program.unfence(key(target));
            assert_eq!(ask(stand), Outcome::Other, "{:?}, {target}: it is not ours", stand.entry);
        }
    });
}

#[test]
#[needs("root")]
fn requests_of_both_hardware_types_of_ethernet_are_fenced() {
    // Linux answers both (`arp_process`), and no others.
    const IEEE_802: u8 = 6;
    const HARDWARE: usize = ethernet::HEADER_LEN + 1;
    on_each_entry(|stand| {
        let mut request = address_request(address(ADDRESSES[0]), &[]);
        for (hardware, outcome) in [(1, FENCED), (IEEE_802, FENCED), (7, Outcome::Other)] {
            request[HARDWARE] = hardware;
            assert_eq!(stand.run_bytes(&request), outcome, "{:?}, {hardware}", stand.entry);
        }
    });
}

/// Runs `check` for each entry, with an instance of priority 100 that has a lease, and a request for its address.
fn on_each_owner(slot: &InstanceRules, check: impl Fn(&mut Stand, &[u8])) {
    stand::on_each_entry(slot, Family::V4, 0, |stand| {
        let target = address(ADDRESSES[0]);
        stand.program.fence(key(target), FIRST).unwrap();
        stand.program.maps().set_lease(FIRST, Some(clock::now() + Duration::from_secs(60)));
        check(stand, &address_request(target, &[]));
    });
}

fn stamps(stand: &mut Stand) -> Vec<Timestamp> {
    let mut stamps = Vec::new();
    stand.ring.drain(usize::MAX, |event| stamps.push(Timestamp::from_nanos(event.stamp)));
    stamps
}

#[test]
#[needs("root")]
fn a_higher_advert_suspends_a_lease_until_it_is_judged() {
    let form = InstanceRules { priority: 100, ..slot(V3_IPV4) };
    on_each_owner(&form, |stand, ask| {
        let of = |priority: u8| advert(V3_IPV4, 1).byte(2, priority);
        // A lower priority has to yield, and priority 0 claims nothing.
        for lower in [0, 1, 99] {
            assert_eq!(stand.run(&of(lower)), EVENT);
            assert_eq!(stand.run_bytes(ask), Outcome::Other, "{:?}: priority {lower}", stand.entry);
        }
        assert_eq!(stamps(stand).len(), 3);
        for better in [100, 101, 255] {
            next_window();
            assert_eq!(stand.run(&of(better)), EVENT);
            assert_eq!(stand.run(&of(better)), EVENT);
            assert_eq!(stand.run_bytes(ask), FENCED, "{:?}: priority {better}", stand.entry);
            let stamps = stamps(stand);
            let [first, second] = stamps[..] else { panic!("{stamps:?}") };
            // The daemon's renewal of the lease does not settle an advert that it has not received yet.
            lease_of(stand, FIRST, Some(Duration::from_secs(60)));
            stand.program.maps().settle_challenge(FIRST, first);
            assert_eq!(stand.run_bytes(ask), FENCED, "{:?}: priority {better}", stand.entry);
            stand.program.maps().settle_challenge(FIRST, second);
            assert_eq!(stand.run_bytes(ask), Outcome::Other, "{:?}: priority {better}", stand.entry);
        }
        stand.program.maps().open_fence();
        assert_eq!(stand.run(&of(255)), EVENT);
        assert_eq!(stand.run_bytes(ask), Outcome::Other, "{:?}: another daemon is asked", stand.entry);
    });
}

/// The daemon does not receive the advert, so it could not judge it.
#[test]
#[needs("root")]
fn an_advert_beyond_the_budget_suspends_no_lease() {
    let form = InstanceRules { priority: 100, ..slot(V3_IPV4) };
    on_each_owner(&form, |stand, ask| {
        next_window();
        let better = advert(V3_IPV4, 1).byte(2, 200);
        // On a slow machine the window may end between the flood and the advert.
        let is_beyond = |stand: &mut Stand| {
            let outcome = stand.flood_and_run(FIRST, &better, 4 * BUDGET_OTHERS);
            if let Some(last) = stamps(stand).pop() {
                stand.program.maps().settle_challenge(FIRST, last);
            }
            outcome == Outcome::Dropped(Counter::OverBudget)
        };
        assert!((0..20).any(|_| is_beyond(stand)), "no advert was beyond the budget");
        assert_eq!(stand.run_bytes(ask), Outcome::Other, "{:?}", stand.entry);
    });
}

/// Neither does a signed advert before its signature is checked, nor a rejected one.
#[test]
#[needs("root")]
fn unverified_adverts_suspend_no_lease() {
    for trailer in [InstanceRules::SIGNED, InstanceRules::MAYBE_SIGNED] {
        let form = InstanceRules { priority: 100, trailer, ..slot(V3_IPV4) };
        on_each_owner(&form, |stand, ask| {
            let signed = advert(V3_IPV4, 1).byte(2, 200).signed(&TRAILER);
            assert_eq!(stand.run(&signed), EVENT);
            assert_eq!(stand.run_bytes(ask), Outcome::Other, "{:?}", stand.entry);
        });
    }
    on_each_owner(&InstanceRules { priority: 100, ..slot(V3_IPV4) }, |stand, ask| {
        let wrong = advert(V3_IPV4, 1).byte(2, 200).wrong_checksum();
        assert_eq!(stand.run(&wrong), Outcome::Rejected(Reject::Checksum));
        assert_eq!(stand.run_bytes(ask), Outcome::Other, "{:?}", stand.entry);
    });
}

/// Once, from the given time on, and only for a request that is answered.
#[test]
#[needs("root")]
fn a_request_wakes_the_daemon_on_demand() {
    on_each_owner(&slot(V3_IPV4), |stand, ask| {
        let asked = |stand: &mut Stand| {
            let outcome = stand.run_bytes(ask);
            let mut requests = 0;
            stand.ring.drain(usize::MAX, |event| {
                requests += usize::from(event.is_address_request() && event.slot == 0);
            });
            (outcome, requests)
        };
        assert_eq!(asked(stand), (Outcome::Other, 0), "{:?}: it did not ask", stand.entry);
        let heed =
            |stand: &Stand, after| stand.program.maps().heed_address_requests(FIRST, clock::now() + after);
        heed(stand, Duration::from_secs(60));
        assert_eq!(asked(stand), (Outcome::Other, 0), "{:?}: not yet", stand.entry);
        heed(stand, Duration::ZERO);
        assert_eq!(asked(stand), (Outcome::Other, 1), "{:?}: the first", stand.entry);
        assert_eq!(asked(stand), (Outcome::Other, 0), "{:?}: the second", stand.entry);
        heed(stand, Duration::ZERO);
        lease_of(stand, FIRST, None);
        assert_eq!(asked(stand), (FENCED, 0), "{:?}: without a lease", stand.entry);
        lease_of(stand, FIRST, Some(Duration::from_secs(60)));
        assert_eq!(asked(stand), (Outcome::Other, 1), "{:?}: it still asks", stand.entry);
    });
}

/// A VLAN tag leads to another interface; a priority tag does not.
#[test]
#[needs("root")]
fn tags() {
    let (customer, service) = (ethernet::VLAN, ethernet::SERVICE_VLAN);
    on_each_entry(|stand| {
        for target in ADDRESSES.map(address) {
            for (tags, outcome) in [
                (vec![(customer, 0xe000)], FENCED),
                (vec![(service, 0), (customer, 0)], FENCED),
                (vec![(customer, 5)], Outcome::Other),
                (vec![(service, 5), (customer, 0)], Outcome::Other),
                (vec![(customer, 0); 4], Outcome::Dropped(Counter::NestedTags)),
            ] {
                let found = stand.run_bytes(&address_request(target, &tags));
                assert_eq!(found, outcome, "{:?}, {target}, {tags:x?}", stand.entry);
            }
        }
    });
}

/// Only requests for these addresses are dropped; B03: a frame to the virtual MAC address is not.
#[test]
#[needs("root")]
fn others_pass() {
    on_each_entry(|stand| {
        let [arp, solicitation] = ADDRESSES.map(address).map(|target| address_request(target, &[]));
        let changed = |frame: &[u8], changes: &[(usize, u8)]| {
            let mut frame = frame.to_vec();
            changes.iter().for_each(|&(at, value)| frame[at] = value);
            frame
        };
        let mut frames = vec![
            address_request(address("192.0.2.101"), &[]),
            address_request(address("fe80::101"), &[]),
            changed(&arp, &[(21, 2)]),
            // Sender and target are the same: an announcement of the heir.
            changed(&arp, &[(31, 100)]),
            // Another hardware type; 6 is read as Ethernet.
            changed(&arp, &[(15, 7)]),
            changed(&solicitation, &[(54, 136)]),
            changed(&solicitation, &[(54, 128)]),
            // Hop limit 254: not from a neighbour.
            changed(&solicitation, &[(21, 254)]),
            // Behind an extension header.
            changed(&solicitation, &[(20, 0)]),
            advert(V3_IPV4, 1).protocol(6).build(),
            advert(V3_IPV4, 1).protocol(6).destination_mac(Mac([0, 0, 0x5e, 0, 1, VRID])).build(),
        ];
        frames.extend((14..42).map(|length| arp[..length].to_vec()));
        frames.extend((14..78).map(|length| solicitation[..length].to_vec()));
        for frame in frames.iter().filter(|frame| stand.takes(frame)) {
            assert_eq!(stand.run_bytes(frame), Outcome::Other, "{:?}: {frame:02x?}", stand.entry);
        }
        for whole in [&arp[..42], &solicitation[..78]].into_iter().filter(|frame| stand.takes(frame)) {
            assert_eq!(stand.run_bytes(whole), FENCED, "{:?}: {whole:02x?}", stand.entry);
        }
    });
}

/// On another interface, or as the same number of another family, an address is not ours.
#[test]
#[needs("root")]
fn keys_are_exact() {
    on_each_entry(|stand| {
        let target = address("192.0.2.100");
        stand.program.unfence(key(target));
        for other in [
            LeaseKey { ifindex: LOOPBACK + 1, ..key(target) },
            LeaseKey { family: Family::V6 as u32, ..key(target) },
        ] {
            stand.program.fence(other, SECOND).unwrap();
        }
        assert_eq!(stand.run_bytes(&address_request(target, &[])), Outcome::Other);
        stand.program.fence(key(target), SECOND).unwrap();
        assert_eq!(stand.run_bytes(&address_request(target, &[])), FENCED);
    });
}
