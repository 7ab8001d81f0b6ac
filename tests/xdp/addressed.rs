//! The addressee of a frame: frames for other hosts pass, and are neither counted nor recorded.

use std::net::IpAddr;

use vrrp_ebpf::map::{AllowedPeer, AllowedPeerKey, Counter, InstanceRules, LocalKey};
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::advert::Dialect;
use vrrp_ebpf::wire::ethernet::Mac;
use vrrp_ebpf::wire::{Family, Reject};
use vrrp_tests::packet::{Frame, OWN_MAC, V2, V3_IPV4, V3_IPV6, VRID, advert};
use vrrp_tests::{FIRST, needs};

use crate::stand::{FURTHER, LOOPBACK, OWN_IPV4, OWN_IPV6, Outcome, Stand, on_each_entry, slot};

const EVENT: Outcome = Outcome::Passed(Counter::Event);
/// A MAC address whose frames a switch floods.
const OTHER_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x55]);
/// Virtual router MAC address, whose frames a macvlan takes.
const VIRTUAL_MAC: Mac = Mac([0, 0, 0x5e, 0, 1, VRID]);

/// Source address of this host, another address of it, and two addresses of other hosts.
fn addresses(dialect: Dialect) -> [IpAddr; 4] {
    let texts = match dialect.family() {
        Family::V4 => [OWN_IPV4, FURTHER[0], "192.0.2.8", "192.0.2.255"],
        Family::V6 => [OWN_IPV6, FURTHER[1], "fe80::8", "2001:db8::"],
    };
    texts.map(|text| text.parse().unwrap())
}

fn instances(dialect: Dialect) -> [InstanceRules; 3] {
    [0, 1, InstanceRules::ALLOWED_PEERS_ONLY].map(|unicast| InstanceRules { unicast, ..slot(dialect) })
}

/// The frame and variants that would be rejected pass, uncounted.
fn untouched(stand: &mut Stand, frame: &Frame) {
    for frame in [
        frame.clone(),
        frame.clone().ttl(1),
        frame.clone().wrong_checksum(),
        frame.clone().wrong_header_checksum(),
        frame.clone().byte(1, VRID + 1),
    ] {
        assert_eq!(stand.run(&frame), Outcome::Other, "{:?}: {frame:?}", stand.entry);
    }
    assert!(stand.woken().is_empty());
    let maps = stand.program.maps();
    assert!(maps.peers(FIRST).next().is_none() && maps.unknown_routers().is_empty());
}

/// R20: as seen by a router that has an instance with the same VRID.
#[test]
#[needs("root")]
fn adverts_between_two_other_hosts_pass() {
    for dialect in [V2, V3_IPV4, V3_IPV6] {
        for form in instances(dialect) {
            on_each_entry(&form, dialect.family(), 0, |stand| {
                let [.., other, another] = addresses(dialect);
                for address in [other, another] {
                    untouched(stand, &advert(dialect, 2).destination(address));
                }
            });
        }
    }
}

/// R20.
#[test]
#[needs("root")]
fn frames_for_another_mac_address_pass() {
    for dialect in [V2, V3_IPV4, V3_IPV6] {
        for form in instances(dialect) {
            on_each_entry(&form, dialect.family(), 0, |stand| {
                let [own, further, ..] = addresses(dialect);
                for mac in [OTHER_MAC, VIRTUAL_MAC] {
                    untouched(stand, &advert(dialect, 2).destination_mac(mac));
                    untouched(stand, &advert(dialect, 2).destination(own).destination_mac(mac));
                    untouched(stand, &advert(dialect, 2).destination(further).destination_mac(mac));
                }
            });
        }
    }
}

/// The kernel delivers to any address of the host on any interface, also in frames to a broadcast or multicast MAC
/// address.
#[test]
#[needs("root")]
fn unicast_to_any_address_of_this_host_is_judged() {
    for dialect in [V2, V3_IPV4, V3_IPV6] {
        let [own, further, ..] = addresses(dialect);
        for form in instances(dialect) {
            on_each_entry(&form, dialect.family(), 0, |stand| {
                let sender = widen(advert(dialect, 1).source_address());
                let allowed_peer =
                    (AllowedPeerKey { slot: 0, source: sender }, AllowedPeer { min_ttl: 0, max_ttl: 255 });
                stand.program.allow_peers(&[allowed_peer]).unwrap();
                let expected = if form.unicast == 0 { Outcome::Rejected(Reject::Destination) } else { EVENT };
                for address in [own, further] {
                    for mac in [OWN_MAC, Mac::BROADCAST, Mac::of_ipv4_group([224, 0, 0, 18])] {
                        let frame = advert(dialect, 2).destination(address).destination_mac(mac);
                        assert_eq!(stand.run(&frame), expected, "{:?}: {frame:?}", stand.entry);
                    }
                }
            });
        }
    }
}

#[test]
#[needs("root")]
fn an_address_belongs_to_this_host_while_it_is_set() {
    for dialect in [V3_IPV4, V3_IPV6] {
        let [.., other, _] = addresses(dialect);
        let form = InstanceRules { unicast: 1, ..slot(dialect) };
        on_each_entry(&form, dialect.family(), 0, |stand| {
            let frame = advert(dialect, 2).destination(other);
            let key = |ifindex| LocalKey::of_address(ifindex, dialect.family(), widen(other));
            assert_eq!(stand.run(&frame), Outcome::Other);
            stand.program.set_locals(&[key(LOOPBACK)], &[]).unwrap();
            assert_eq!(stand.run(&frame), EVENT);
            stand.program.set_locals(&[], &[key(LOOPBACK)]).unwrap();
            assert_eq!(stand.run(&frame), Outcome::Other);
            // A link-local address has no meaning on another link.
            stand.program.set_locals(&[key(LOOPBACK + 1)], &[]).unwrap();
            let expected = if dialect.family() == Family::V4 { EVENT } else { Outcome::Other };
            assert_eq!(stand.run(&frame), expected);
        });
    }
}

/// R21: in a damaged frame any VRID is possible.
#[test]
#[needs("root")]
fn frames_that_the_stack_drops_record_no_unknown_router() {
    for dialect in [V2, V3_IPV4, V3_IPV6] {
        on_each_entry(&slot(dialect), dialect.family(), 0, |stand| {
            let unknown = advert(dialect, 2).byte(1, VRID + 1);
            let mut damaged = vec![unknown.clone().version_ihl(0x75)];
            if dialect.family() == Family::V4 {
                damaged.push(unknown.clone().wrong_header_checksum());
            }
            for frame in &damaged {
                assert_eq!(stand.run(frame), Outcome::Other, "{:?}: {frame:?}", stand.entry);
            }
            assert!(stand.program.maps().unknown_routers().is_empty());
            assert_eq!(stand.run(&unknown), Outcome::Passed(Counter::UnknownVrid));
        });
    }
}

/// R04: each bit, also if the message is the watched one.
#[test]
#[needs("root")]
fn a_damaged_header_keeps_no_master_alive() {
    for count in [1, 20] {
        on_each_entry(&slot(V3_IPV4), Family::V4, 0, |stand| {
            let frame = advert(V3_IPV4, count);
            stand.watch(&frame, 34);
            let before = stand.program.maps().last_seen(FIRST);
            let bytes = frame.build();
            // TOS, identification, TTL, checksum: no field of the frame's type or its destination.
            for at in [15, 18, 19, 22, 24, 25] {
                for bit in 0..8 {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= 1 << bit;
                    assert_eq!(stand.run_bytes(&damaged), Outcome::Rejected(Reject::IpChecksum));
                }
            }
            assert_eq!(stand.program.maps().last_seen(FIRST), before);
            assert_eq!(stand.run(&frame), Outcome::Passed(Counter::Steady));
        });
    }
}
