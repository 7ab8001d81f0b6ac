//! Who asks for an address of ours is heard while its lease runs, and no longer.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::map::{Counter, LeaseKey};
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::{Family, ethernet};
use vrrp_tests::packet::{V3_IPV4, advert, question};
use vrrp_user::driver::clock;
use vrrp_user::driver::xdp::Entry;

use crate::stand::{LOOPBACK, Outcome, Stand};

const FENCED: Outcome = Outcome::Dropped(Counter::Fenced);
const ADDRESSES: [&str; 2] = ["192.0.2.100", "fe80::100"];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn key(address: IpAddr) -> LeaseKey {
    LeaseKey { ifindex: LOOPBACK, family: Family::of(address) as u32, address: widen(address) }
}

/// Each entry, with slot 1 for each of the addresses.
fn on_each_entry(check: impl Fn(&mut Stand)) {
    for entry in Entry::ALL {
        let Some(mut stand) = Stand::new(entry, 2) else { return };
        ADDRESSES.map(address).map(key).into_iter().for_each(|key| stand.program.fence(key, 1).unwrap());
        check(&mut stand);
    }
}

fn lease(stand: &Stand, span: Option<Duration>) {
    stand.program.maps().set_lease(1, span.map(|span| clock::now() + span));
}

#[test]
fn a_lease_ends_by_itself() {
    on_each_entry(|stand| {
        for target in ADDRESSES.map(address) {
            let ask = |stand: &Stand| stand.run_bytes(&question(target, &[]));
            assert_eq!(ask(stand), FENCED, "{:?}, {target}: none yet", stand.entry);
            lease(stand, Some(Duration::from_millis(200)));
            assert_eq!(ask(stand), Outcome::Other, "{:?}, {target}: it runs", stand.entry);
            std::thread::sleep(Duration::from_millis(220));
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

/// A tag that names a VLAN leads to another interface; one of priority only does not.
#[test]
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
                let found = stand.run_bytes(&question(target, &tags));
                assert_eq!(found, outcome, "{:?}, {target}, {tags:x?}", stand.entry);
            }
        }
    });
}

/// Nothing but questions for these addresses is dropped.
#[test]
fn others_pass() {
    on_each_entry(|stand| {
        let [arp, solicitation] = ADDRESSES.map(address).map(|target| question(target, &[]));
        let changed = |frame: &[u8], changes: &[(usize, u8)]| {
            let mut frame = frame.to_vec();
            changes.iter().for_each(|&(at, value)| frame[at] = value);
            frame
        };
        let mut frames = vec![
            question(address("192.0.2.101"), &[]),
            question(address("fe80::101"), &[]),
            changed(&arp, &[(21, 2)]),
            // From the address that it asks for: an announcement of the heir.
            changed(&arp, &[(31, 100)]),
            changed(&arp, &[(15, 6)]),
            changed(&solicitation, &[(54, 136)]),
            changed(&solicitation, &[(54, 128)]),
            // No neighbour's.
            changed(&solicitation, &[(21, 254)]),
            // Behind an extension header.
            changed(&solicitation, &[(20, 0)]),
            advert(V3_IPV4, 1).protocol(6).build(),
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

/// On another interface, or as a number of another family, an address is not ours.
#[test]
fn keys_are_exact() {
    on_each_entry(|stand| {
        let target = address("192.0.2.100");
        stand.program.unfence(key(target));
        for other in [
            LeaseKey { ifindex: LOOPBACK + 1, ..key(target) },
            LeaseKey { family: Family::V6 as u32, ..key(target) },
        ] {
            stand.program.fence(other, 1).unwrap();
        }
        assert_eq!(stand.run_bytes(&question(target, &[])), Outcome::Other);
        stand.program.fence(key(target), 1).unwrap();
        assert_eq!(stand.run_bytes(&question(target, &[])), FENCED);
    });
}
