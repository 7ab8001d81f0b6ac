//! Adverts that the program accepts as valid, and frames that it leaves alone.

use vrrp_ebpf::map::{
    BUDGET_WATCHED, Counter, InstanceKey, InstanceRules, UNKNOWN_ROUTERS_MAX, UnknownRouter,
};
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::{ChecksumForm, Family, Reject, ethernet};
use vrrp_tests::packet::{Frame, V2, V2_PASS, V3_IPV4, V3_IPV6, VRID, advert};
use vrrp_tests::{FIRST, needs};
use vrrp_user::driver::xdp::Entry;

use crate::stand::{LOOPBACK, Outcome, Stand, on_each_entry, slot};

const EVENT: Outcome = Outcome::Passed(Counter::Event);
const TCP: u8 = 6;

/// Each makes an event with the message, and a record of its sender.
#[test]
#[needs("root")]
fn valid_adverts_wake_the_daemon() {
    let cases = [
        (V2, 1, ChecksumForm::Plain),
        (V2, 255, ChecksumForm::Plain),
        (V2_PASS, 20, ChecksumForm::Plain),
        (V3_IPV4, 1, ChecksumForm::Pseudo),
        (V3_IPV4, 1, ChecksumForm::Plain),
        (V3_IPV4, 255, ChecksumForm::Pseudo),
        (V3_IPV6, 1, ChecksumForm::Pseudo),
        (V3_IPV6, 92, ChecksumForm::Pseudo),
    ];
    for (dialect, count, form) in cases {
        let frame = advert(dialect, count).checksum(form);
        on_each_entry(&slot(dialect), dialect.family(), 0, |stand| {
            assert_eq!(stand.run(&frame), EVENT, "{dialect:?}, {count} addresses, {form:?}");
            let bytes = frame.build();
            let at = if dialect.family() == Family::V4 { 34 } else { 54 };
            assert_eq!(stand.woken(), [bytes[at..].to_vec()]);
            let peer = stand.program.maps().peer(FIRST, 0).unwrap();
            assert_eq!((peer.priority, peer.address_count, peer.adverts), (100, count, 1));
            assert_eq!(peer.checksum, form as u8, "{dialect:?}, {form:?}");
        });
    }
}

/// An instance that advertises no addresses also accepts adverts with addresses.
#[test]
#[needs("root")]
fn adverts_without_addresses() {
    let none = |dialect| advert(dialect, 0).checksum(ChecksumForm::Plain);
    for dialect in [V2, V2_PASS, V3_IPV4] {
        for (no_addresses, outcome) in [(1, EVENT), (0, Outcome::Rejected(Reject::CountZero))] {
            on_each_entry(&InstanceRules { no_addresses, ..slot(dialect) }, dialect.family(), 0, |stand| {
                assert_eq!(stand.run(&none(dialect)), outcome, "{dialect:?}");
                assert_eq!(stand.run(&advert(dialect, 1)), EVENT, "{dialect:?}");
            });
        }
    }
}

/// Every number of addresses, so that each length is checked.
#[test]
#[needs("root")]
fn every_length() {
    for (dialect, most) in [(V2, 255), (V3_IPV4, 255), (V3_IPV6, 92)] {
        on_each_entry(&slot(dialect), dialect.family(), 0, |stand| {
            // The budget is not under test: a watched source has the larger one.
            stand.program.maps().reserve_budget_for(FIRST, widen(advert(dialect, 1).source_address()));
            for count in 1..=most {
                let frame = advert(dialect, count);
                if u32::from(count).is_multiple_of(BUDGET_WATCHED) {
                    crate::stand::next_window();
                }
                assert_eq!(stand.run(&frame), EVENT, "{dialect:?}, {count} addresses");
                assert_eq!(stand.run(&frame.wrong_checksum()), Outcome::Rejected(Reject::Checksum));
                let _read = stand.woken();
            }
        });
    }
}

/// P28.
#[test]
#[needs("root")]
fn tags_name_the_instance() {
    let service = |frame: Frame, id| frame.tag(ethernet::SERVICE_VLAN, id);
    for dialect in [V2, V3_IPV4, V3_IPV6] {
        let plain = || advert(dialect, 2);
        for (vlan, frame, outcome) in [
            (5, plain().vlan(5), EVENT),
            (5, plain().vlan(7).vlan(5), EVENT),
            (5, service(plain(), 7).vlan(5), EVENT),
            // A tag that carries only a priority.
            (0, plain().vlan(0), EVENT),
            (7, service(plain(), 7).vlan(0), EVENT),
            (0, plain().vlan(5), Outcome::Passed(Counter::UnknownVrid)),
            (5, plain(), Outcome::Passed(Counter::UnknownVrid)),
            (7, plain().vlan(7).vlan(5), Outcome::Passed(Counter::UnknownVrid)),
            (5, plain().vlan(1).vlan(2).vlan(5), Outcome::Other),
            // The stack removes any number of tags.
            (0, plain().vlan(0).vlan(0), EVENT),
            (0, plain().vlan(0).vlan(0).vlan(0).vlan(0), Outcome::Dropped(Counter::NestedTags)),
        ] {
            on_each_entry(&slot(dialect), dialect.family(), vlan, |stand| {
                assert_eq!(stand.run(&frame), outcome, "{:?}, VLAN {vlan}: {frame:?}", stand.entry);
            });
        }
    }
}

/// P28.
#[test]
#[needs("root")]
fn options_and_padding_do_not_matter() {
    for words in 0..=10 {
        for dialect in [V2, V3_IPV4] {
            on_each_entry(&slot(dialect), Family::V4, 0, |stand| {
                assert_eq!(stand.run(&advert(dialect, 1).options(words).padded()), EVENT, "{words} words");
            });
        }
    }
}

#[test]
#[needs("root")]
fn unicast_may_have_come_through_routers() {
    for (dialect, own) in [(V2, "192.0.2.7"), (V3_IPV4, "192.0.2.7"), (V3_IPV6, "fe80::7")] {
        let form = InstanceRules { unicast: 1, ..slot(dialect) };
        on_each_entry(&form, dialect.family(), 0, |stand| {
            for ttl in [255, 64, 1] {
                let frame = advert(dialect, 2).destination(own.parse().unwrap()).ttl(ttl);
                assert_eq!(stand.run(&frame), EVENT, "{dialect:?}, TTL {ttl}");
            }
        });
    }
}

/// I01.
#[test]
#[needs("root")]
fn two_versions_may_be_spoken() {
    let both = InstanceRules { other_version: 2, ..slot(V3_IPV4) };
    on_each_entry(&both, Family::V4, 0, |stand| {
        assert_eq!([V2, V3_IPV4].map(|dialect| stand.run(&advert(dialect, 2))), [EVENT, EVENT]);
    });
}

#[test]
#[needs("root")]
fn another_group_is_an_instance_s_choice() {
    for (dialect, group) in [(V2, "239.1.2.3"), (V3_IPV4, "224.0.0.99"), (V3_IPV6, "ff02::99")] {
        let address = group.parse().unwrap();
        let form = InstanceRules { group: widen(address), ..slot(dialect) };
        on_each_entry(&form, dialect.family(), 0, |stand| {
            assert_eq!(stand.run(&advert(dialect, 2).destination(address)), EVENT, "{dialect:?}");
        });
    }
}

/// P08, P27: not VRRP, or not recognisable as VRRP: it belongs to no instance, and is not counted.
#[test]
#[needs("root")]
fn other_traffic_passes() {
    for dialect in [V3_IPV4, V3_IPV6] {
        let plain = || advert(dialect, 2);
        let mut frames = vec![plain().protocol(TCP), plain().protocol(1)];
        match dialect.family() {
            Family::V4 => {
                frames.extend([plain().fragment(0x2000), plain().fragment(1), plain().fragment(0x1fff)]);
            }
            Family::V6 => frames.extend([0, 43, 44, 51, 60].map(|kind| plain().extension(kind))),
        }
        let headers = if dialect.family() == Family::V4 { 34 } else { 54 };
        frames.extend((14..headers + 2).map(|length| plain().cut(length)));
        on_each_entry(&slot(dialect), dialect.family(), 0, |stand| {
            for frame in frames.iter().filter(|frame| stand.takes(&frame.build())) {
                assert_eq!(stand.run(frame), Outcome::Other, "{:?}: {frame:?}", stand.entry);
            }
            assert!(stand.woken().is_empty());
        });
    }
}

#[test]
#[needs("root")]
fn another_vrid_or_family_belongs_to_no_instance() {
    for entry in Entry::ALL {
        let mut stand = Stand::new(entry, 1);
        stand.insert(FIRST, &slot(V3_IPV4), InstanceKey::new(LOOPBACK, 0, Family::V4, VRID));
        let unknown = Outcome::Passed(Counter::UnknownVrid);
        assert_eq!(stand.run(&advert(V3_IPV4, 1).byte(1, VRID + 1)), unknown);
        assert_eq!(stand.run(&advert(V3_IPV6, 1)), unknown);
        assert_eq!(stand.run(&advert(V3_IPV4, 1)), EVENT);
    }
}

#[test]
#[needs("root")]
fn unknown_routers_are_recorded_while_there_is_room() {
    for entry in Entry::ALL {
        let mut stand = Stand::new(entry, 1);
        stand.insert(FIRST, &slot(V2), InstanceKey::new(LOOPBACK, 0, Family::V4, VRID));
        let maps = stand.program.maps();
        let carp = [&[0x21, VRID, 0, 7][..], &[0; 32]].concat();
        stand.run(&advert(V2, 1).payload(carp));
        stand.run(&advert(V2, 1).payload([0; 100]));
        stand.run(&advert(V3_IPV6, 1));
        let other = advert(V3_IPV4, 1).byte(1, VRID + 1);
        stand.run(&other);
        stand.run(&other);
        let found = maps.unknown_routers();
        assert_eq!(found.len(), 4, "{found:?}");
        let heard = |family, vrid| found[&InstanceKey::new(LOOPBACK, 0, family, vrid)];
        assert_eq!((heard(Family::V4, VRID).version, heard(Family::V4, 0).version), (UnknownRouter::CARP, 0));
        assert_eq!((heard(Family::V6, VRID).version, heard(Family::V6, VRID).adverts), (3, 1));
        let twice = heard(Family::V4, VRID + 1);
        assert_eq!((twice.version, twice.adverts, twice.source[..4].to_vec()), (3, 2, vec![192, 0, 2, 1]));
        let claims = |family, vrid, length| -> Vec<Vec<u8>> {
            heard(family, vrid).claimed(length).map(<[u8]>::to_vec).collect()
        };
        assert_eq!(claims(Family::V4, VRID + 1, 4), [other.build()[42..46].to_vec()]);
        assert_eq!(claims(Family::V6, VRID, 16), [advert(V3_IPV6, 1).build()[62..78].to_vec()]);
        assert!(claims(Family::V4, VRID, 4).is_empty() && claims(Family::V4, 0, 4).is_empty(), "no VRRP");
        for count in [2, 3, 8, 20] {
            let longer = advert(V3_IPV4, count).byte(1, VRID + 1);
            stand.run(&longer);
            let unknown_router = maps.unknown_routers()[&InstanceKey::new(LOOPBACK, 0, Family::V4, VRID + 1)];
            let known: Vec<&[u8]> = unknown_router.claimed(4).collect();
            let count = usize::from(count).min(8);
            assert_eq!(known.concat(), longer.build()[42..42 + 4 * count], "{:?}", stand.entry);
        }
        for tag in 1..400 {
            stand.run(&advert(V3_IPV4, 1).vlan(tag));
        }
        assert_eq!(maps.unknown_routers().len(), UNKNOWN_ROUTERS_MAX as usize);
    }
}
