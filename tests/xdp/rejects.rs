//! Receive checks: a row for each, in each version and family that can fail it.

use std::time::Duration;

use vrrp_ebpf::map::{AllowedPeer, AllowedPeerKey, Counter, InstanceRules, Rejected};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::advert::Dialect;
use vrrp_ebpf::wire::ethernet::Mac;
use vrrp_ebpf::wire::{Family, Reject};
use vrrp_tests::packet::{Frame, OWN_MAC, V2, V2_PASS, V3_IPV4, V3_IPV6, VRID, advert};
use vrrp_tests::{FIRST, needs};
use vrrp_user::driver::clock;

use crate::stand::{FURTHER_MAC, OWN_IPV4, OWN_IPV6, Outcome, Stand, on_each_entry, slot};

const CUT: &str = "the last byte is missing";

struct Row {
    reject: Reject,
    what: &'static str,
    dialect: Dialect,
    slot: InstanceRules,
    frame: Frame,
}

fn row(reject: Reject, what: &'static str, dialect: Dialect, change: impl FnOnce(Frame) -> Frame) -> Row {
    Row { reject, what, dialect, slot: slot(dialect), frame: change(advert(dialect, 2)) }
}

/// Rows for every dialect.
fn common(dialect: Dialect) -> Vec<Row> {
    let (own, host, nobody) = match dialect.family() {
        Family::V4 => (OWN_IPV4, "192.0.2.9", ["127.0.0.1", "0.0.0.0", "224.0.0.18", "255.255.255.255"]),
        Family::V6 => (OWN_IPV6, "fe80::9", ["::1", "::", "ff02::12", "ff02::1"]),
    };
    let whole = advert(dialect, 2).build().len();
    let row = |reject, what, change: &dyn Fn(Frame) -> Frame| row(reject, what, dialect, change);
    let mut rows = vec![
        row(Reject::IpHeader, "IP of another version", &|frame| frame.version_ihl(0x75)),
        row(Reject::Truncated, CUT, &|frame| frame.cut(whole - 1)),
        row(Reject::Truncated, "IP length below that of a header", &|frame| frame.announced(7)),
        row(Reject::Ttl, "TTL 254", &|frame| frame.ttl(254)),
        row(Reject::Ttl, "TTL 0", &|frame| frame.ttl(0)),
        row(Reject::Destination, "to a host", &|frame| frame.destination(host.parse().unwrap())),
        row(Reject::OwnSource, "from ourselves", &|frame| {
            frame.source(own.parse().unwrap()).source_mac(OWN_MAC)
        }),
        row(Reject::Version, "version 1", &|frame| frame.byte(0, 0x11)),
        row(Reject::Version, "version 4", &|frame| frame.byte(0, 0x41)),
        row(Reject::CountZero, "no address", &|frame| frame.byte(3, 0)),
        row(Reject::Length, "an address more than counted", &|frame| frame.byte(3, 1)),
        row(Reject::Length, "an address less than counted", &|frame| frame.byte(3, 3)),
        row(Reject::Length, "a trailer", &|frame| frame.trailer(&[0; 4])),
        row(Reject::Checksum, "wrong checksum", &|frame| frame.wrong_checksum()),
    ];
    rows.extend(nobody.map(|source| {
        row(Reject::Source, "from no host", &|frame: Frame| frame.source(source.parse().unwrap()))
    }));
    if dialect.family() == Family::V4 {
        rows.extend(ipv4(dialect));
    }
    rows
}

fn ipv4(dialect: Dialect) -> Vec<Row> {
    let mut rows: Vec<_> = (0..=10)
        .map(|words| {
            let what = "wrong checksum of the IP header";
            row(Reject::IpChecksum, what, dialect, |frame| frame.options(words).wrong_header_checksum())
        })
        .collect();
    rows.push(row(Reject::IpHeader, "a header of 16 bytes", dialect, |frame| frame.version_ihl(0x44)));
    rows
}

fn version_2() -> Vec<Row> {
    let carp = [&[0x21, VRID, 0, 7][..], &[0; 32]].concat();
    vec![
        row(Reject::Carp, "CARP", V2, |frame| frame.payload(carp)),
        row(Reject::VersionMismatch, "version 3", V2, |_| advert(V3_IPV4, 2)),
        row(Reject::Type, "type 2", V2, |frame| frame.byte(0, 0x22)),
        row(Reject::AuthType, "an unexpected password", V2, |_| advert(V2_PASS, 2)),
        row(Reject::AuthType, "no password", V2_PASS, |_| advert(V2, 2)),
        row(Reject::AuthData, "another password", V2_PASS, |frame| frame.byte(16, b'S')),
        row(Reject::AuthData, "a longer password", V2_PASS, |frame| frame.byte(23, b'!')),
        row(Reject::IntervalZero, "interval 0", V2, |frame| frame.byte(5, 0)),
    ]
}

fn version_3(dialect: Dialect) -> Vec<Row> {
    vec![
        row(Reject::Type, "type 2", dialect, |frame| frame.byte(0, 0x32)),
        row(Reject::IntervalZero, "interval 0", dialect, |frame| frame.byte(4, 0xf0).byte(5, 0)),
    ]
}

#[test]
#[needs("root")]
fn each_is_counted_and_dropped() {
    let mut rows: Vec<_> = [V2, V2_PASS, V3_IPV4, V3_IPV6].into_iter().flat_map(common).collect();
    rows.extend(version_2());
    rows.extend([V3_IPV4, V3_IPV6].into_iter().flat_map(version_3));
    rows.push(row(Reject::VersionMismatch, "version 2", V3_IPV4, |_| advert(V2, 2)));
    rows.push(row(Reject::Version, "version 2 over IPv6", V3_IPV6, |frame| frame.byte(0, 0x21)));
    rows.push(row(Reject::TooLong, "93 addresses", V3_IPV6, |_| advert(V3_IPV6, 93)));
    for dialect in [V2, V3_IPV4, V3_IPV6] {
        let unicast = InstanceRules { unicast: 1, ..slot(dialect) };
        rows.push(Row {
            slot: unicast,
            ..row(Reject::Destination, "to the group of a unicast instance", dialect, |frame| frame)
        });
        let listed = InstanceRules { unicast: InstanceRules::ALLOWED_PEERS_ONLY, ..slot(dialect) };
        let to_us = |frame: Frame| frame.destination(own(dialect).parse().unwrap());
        rows.push(Row {
            slot: listed,
            ..row(Reject::Peer, "from a sender that is not listed", dialect, to_us)
        });
    }
    for dialect in [V2, V3_IPV4, V3_IPV6] {
        rows.push(Row {
            slot: InstanceRules { trailer: InstanceRules::SIGNED, ..slot(dialect) },
            ..row(Reject::AuthMissing, "unsigned", dialect, |frame| frame)
        });
    }
    let other = [239, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    rows.push(Row {
        slot: InstanceRules { group: other, ..slot(V3_IPV4) },
        ..row(Reject::Destination, "to the common group instead of another", V3_IPV4, |frame| frame)
    });
    rows.push(row(Reject::Destination, "to another group", V3_IPV4, |frame| {
        frame.destination("239.1.2.3".parse().unwrap())
    }));
    let mut forms: Vec<_> = rows.iter().map(|row| (row.slot, row.dialect.family())).collect();
    forms.dedup();
    for (form, family) in forms {
        for (vlan, tags) in [(0, &[][..]), (5, &[5][..]), (5, &[7, 5][..])] {
            on_each_entry(&form, family, vlan, |stand| {
                let mine = |row: &&Row| row.slot == form && row.dialect.family() == family;
                rows.iter().filter(mine).for_each(|row| check(stand, row, tags));
            });
        }
    }
    // Checked by the daemon, as the program has no keys.
    let elsewhere =
        [Reject::AuthMalformed, Reject::AuthKey, Reject::AuthHmac, Reject::AuthStale, Reject::AuthReplay];
    let covered =
        |reject: &Reject| rows.iter().map(|row| row.reject).chain(elsewhere).any(|it| it == *reject);
    let missing: Vec<_> = Reject::ALL.into_iter().filter(|reject| !covered(reject)).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}

fn own(dialect: Dialect) -> &'static str {
    match dialect.family() {
        Family::V4 => OWN_IPV4,
        Family::V6 => OWN_IPV6,
    }
}

/// A reload gives the slot of an instance to another one.
#[test]
#[needs("root")]
fn another_instance_in_its_place_begins_at_zero() {
    on_each_entry(&slot(V3_IPV4), Family::V4, 0, |stand| {
        assert_eq!(stand.run(&advert(V3_IPV4, 2).ttl(64)), Outcome::Rejected(Reject::Ttl));
        assert_eq!(stand.run(&advert(V3_IPV4, 2)), Outcome::Passed(Counter::Event));
        let maps = stand.program.maps();
        assert_eq!((maps.rejections().of(FIRST).count(), maps.peers(FIRST).count()), (1, 1));
        maps.forget(FIRST);
        assert_eq!((maps.rejections().of(FIRST).count(), maps.peers(FIRST).count()), (0, 0));
        assert!(maps.counters(Some(FIRST)).counts.iter().all(|count| *count == 0));
        assert_eq!(stand.run(&advert(V3_IPV4, 2).ttl(64)), Outcome::Rejected(Reject::Ttl));
    });
}

/// Routers with different faults are on record side by side, each by its source.
#[test]
#[needs("root")]
fn the_sender_of_each_fault_is_on_record() {
    on_each_entry(&slot(V2_PASS), Family::V4, 0, |stand| {
        let from = |frame: Frame, host: &str| frame.source(host.parse().unwrap());
        let wrong = [
            (Reject::AuthData, from(advert(V2_PASS, 1).byte(12, b'S'), "192.0.2.2")),
            (Reject::VersionMismatch, from(advert(V3_IPV4, 1), "192.0.2.3")),
            (Reject::AuthType, from(advert(V2, 1), "192.0.2.4")),
        ];
        for _ in 0..3 {
            for (reject, frame) in &wrong {
                assert_eq!(stand.run(frame), Outcome::Rejected(*reject));
            }
        }
        let maps = stand.program.maps();
        let mut found: Vec<_> = maps
            .rejections()
            .of(FIRST)
            .map(|(reject, latest)| (reject, latest.source[3], latest.adverts))
            .collect();
        found.sort_unstable_by_key(|(_, host, _)| *host);
        assert_eq!(
            found,
            [(Reject::AuthData, 2, 3), (Reject::VersionMismatch, 3, 3), (Reject::AuthType, 4, 3)]
        );
    });
}

/// Our own adverts come back from a MAC address of any interface of this host. Those of another host with our address
/// are refused too, and its MAC address is on record.
#[test]
#[needs("root")]
fn another_host_with_our_address_is_on_record_by_its_mac_address() {
    const OTHERS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 0x67])];
    for dialect in [V2, V3_IPV4, V3_IPV6] {
        on_each_entry(&slot(dialect), dialect.family(), 0, |stand| {
            let address = own(dialect).parse().unwrap();
            let source = widen(address);
            let duplicate = |mac: Mac| (mac, Rejected::duplicate(source, mac.0));
            for (adverts, (mac, sender)) in (1..).zip([
                (OWN_MAC, source),
                (FURTHER_MAC, source),
                duplicate(OTHERS[0]),
                duplicate(OTHERS[1]),
            ]) {
                let frame = advert(dialect, 1).source(address).source_mac(mac);
                assert_eq!(stand.run(&frame), Outcome::Rejected(Reject::OwnSource), "{mac}");
                let [(Reject::OwnSource, noted)] =
                    stand.program.maps().rejections().of(FIRST).collect::<Vec<_>>()[..]
                else {
                    panic!("another record, {mac}")
                };
                assert_eq!(
                    (noted.source, noted.adverts),
                    (sender, adverts),
                    "{:?} {dialect:?}, {mac}",
                    stand.entry
                );
            }
            assert!(stand.woken().is_empty(), "the daemon is not woken");
        });
    }
}

#[test]
#[needs("root")]
fn listed_senders_are_accepted_within_their_ttl_range() {
    for dialect in [V2, V3_IPV4, V3_IPV6] {
        let listed = InstanceRules { unicast: InstanceRules::ALLOWED_PEERS_ONLY, ..slot(dialect) };
        on_each_entry(&listed, dialect.family(), 0, |stand| {
            let frame = |ttl| advert(dialect, 1).destination(own(dialect).parse().unwrap()).ttl(ttl);
            let sender = if dialect.family() == Family::V4 { "192.0.2.1" } else { "fe80::1" };
            let peer = AllowedPeerKey { slot: 0, source: widen(sender.parse().unwrap()) };
            let far = AllowedPeer { min_ttl: 60, max_ttl: 64 };
            stand.program.allow_peers(&[(peer, far)]).unwrap();
            for ttl in [60, 64] {
                assert_eq!(stand.run(&frame(ttl)), Outcome::Passed(Counter::Event), "TTL {ttl}");
            }
            for ttl in [0, 59, 65, 255] {
                assert_eq!(stand.run(&frame(ttl)), Outcome::Rejected(Reject::Ttl), "TTL {ttl}");
            }
            stand.program.remove_peers(&[peer]);
            assert_eq!(stand.run(&frame(64)), Outcome::Rejected(Reject::Peer));
        });
    }
}

fn check(stand: &mut Stand, row: &Row, tags: &[u16]) {
    // The length counts from the start of the frame.
    if row.what == CUT && !tags.is_empty() {
        return;
    }
    let frame = tags.iter().fold(row.frame.clone(), |frame, &id| frame.vlan(id));
    let reported = format!("{:?}, {:?}, tags {tags:?}: {}", stand.entry, row.dialect, row.what);
    assert_eq!(stand.run(&frame), Outcome::Rejected(row.reject), "{reported}");
    assert!(stand.woken().is_empty(), "{reported}: the daemon is not woken");
    let maps = stand.program.maps();
    let noted =
        maps.rejections().of(FIRST).find(|(reject, _)| *reject == row.reject).map(|(_, it)| it).unwrap();
    assert_eq!(noted.source, widen(frame.source_address()), "{reported}: its sender is noted");
    assert_eq!(noted.adverts, maps.counters(Some(FIRST)).reject(row.reject), "{reported}");
    assert!(clock::now() - Duration::from_secs(5) < Timestamp::from_nanos(noted.last_seen), "{reported}");
    assert!(maps.peers(FIRST).all(|(_, peer)| peer.is_free()), "{reported}: no peer is recorded");
}
