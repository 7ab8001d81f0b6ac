//! Agreement of the program and the library on the host: nearly valid frames, changed at random.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use vrrp_ebpf::map::{Counter, InstanceKey, InstanceRules};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::advert::{Dialect, header_sum, judge, judge_header};
use vrrp_ebpf::wire::ethernet::Mac;
use vrrp_ebpf::wire::frame::{NoMessage, dissect, is_to_mac};
use vrrp_ebpf::wire::{Family, Reject, TRAILER_LEN, checksum};
use vrrp_tests::clock::slowness;
use vrrp_tests::packet::{Frame, OWN_MAC, V2, V2_PASS, V3_IPV4, V3_IPV6, VRID, advert};
use vrrp_tests::{FIRST, needs};
use vrrp_user::driver::maps::Maps;
use vrrp_user::driver::socket::classify;
use vrrp_user::driver::xdp::Entry;

use crate::signed::TRAILER;
use crate::stand::{FURTHER, FURTHER_MAC, LOOPBACK, OWN_IPV4, OWN_IPV6, Outcome, Stand, locals, slot};

/// Number of cases per dialect and entry; a slow machine takes fewer.
const CASES: u32 = 1500;

/// MAC addresses that frames from our own address come from: of this host, and of another one.
const SENDERS: [Mac; 3] = [OWN_MAC, FURTHER_MAC, Mac([2, 0, 0, 0, 0, 0x55])];

const MACS: [Mac; 3] = [OWN_MAC, Mac([2, 0, 0, 0, 0, 0x55]), Mac::BROADCAST];

/// Source address of this host, another address of it, and another host's.
fn hosts(dialect: Dialect) -> [std::net::IpAddr; 3] {
    let hosts = match dialect.family() {
        Family::V4 => [OWN_IPV4, FURTHER[0], "192.0.2.8"],
        Family::V6 => [OWN_IPV6, FURTHER[1], "fe80::8"],
    };
    hosts.map(|address| address.parse().unwrap())
}

/// Outcome of the frame by the library.
fn expected(bytes: &[u8], slot: &InstanceRules, dialect: Dialect) -> Outcome {
    let frame = match dissect(bytes, 0) {
        Ok(frame) => frame,
        Err(NoMessage::Nested) => return Outcome::Dropped(Counter::NestedTags),
        Err(_) => return Outcome::Other,
    };
    let further = FURTHER.map(|address| widen(address.parse().unwrap()));
    let is_unknown = (frame.family, frame.vrid, frame.vlan) != (dialect.family(), VRID, 0);
    let own = if is_unknown { [0; 16] } else { slot.source };
    let is_to_us = frame.is_to_us(&own, || further.contains(&frame.destination));
    if !is_to_us || !is_to_mac(bytes, |mac| mac == OWN_MAC.0) {
        return Outcome::Other;
    }
    if is_unknown {
        return match judge_header(&frame, |at, length| header_sum(bytes, at, length)) {
            Ok(()) => Outcome::Passed(Counter::UnknownVrid),
            Err(_) => Outcome::Other,
        };
    }
    let sum = |length| bytes.get(frame.at..frame.at + length).map(checksum::sum);
    match judge(bytes, &frame, slot, sum) {
        Ok(_) => Outcome::Passed(Counter::Event),
        Err(reject) => Outcome::Rejected(reject),
    }
}

/// The latest sender that has our address, as it is on record.
fn latest_of_own(maps: &Maps) -> Option<[u8; 16]> {
    let rejections = maps.rejections();
    let of_own = rejections.of(FIRST).find(|(reject, _)| *reject == Reject::OwnSource);
    of_own.map(|(_, record)| record.source)
}

/// The same after this frame alone, on the socket path.
fn on_socket(bytes: &[u8], slot: &InstanceRules, dialect: Dialect) -> Option<[u8; 16]> {
    let maps = Maps::anonymous(1).unwrap();
    maps.reach(1).unwrap();
    maps.set_slot(FIRST, slot);
    maps.locals().set(locals().into_iter().collect());
    let key = InstanceKey::new(LOOPBACK, 0, dialect.family(), VRID);
    let lookup = |found| (found == key).then_some(FIRST);
    assert!(classify(bytes, LOOPBACK, Timestamp::from_nanos(1), &maps, lookup).is_none());
    latest_of_own(&maps)
}

#[test]
#[needs("root")]
fn any_change_is_judged_as_by_the_library() {
    let unsigned = [V2, V2_PASS, V3_IPV4, V3_IPV6].map(|dialect| (dialect, InstanceRules::UNSIGNED));
    let signed = [V2, V3_IPV4, V3_IPV6].into_iter().flat_map(|dialect| {
        [InstanceRules::SIGNED, InstanceRules::MAYBE_SIGNED].map(|trailer| (dialect, trailer))
    });
    let multicast = unsigned.into_iter().chain(signed).map(|(dialect, trailer)| (dialect, trailer, 0));
    let unicast = [V2, V3_IPV4, V3_IPV6].map(|dialect| (dialect, InstanceRules::UNSIGNED, 1));
    for (dialect, trailer, unicast) in multicast.chain(unicast) {
        for entry in Entry::ALL {
            let slot = InstanceRules { trailer, unicast, ..slot(dialect) };
            let stand = Stand::of(entry, &slot, dialect.family(), 0);
            let stand = std::cell::RefCell::new(stand);
            let change = (0usize..200, any::<u8>(), prop::bool::weighted(0.3));
            let changes = (
                1u8..24,
                prop::collection::vec(change, 0..3),
                prop::option::weighted(0.2, 14usize..400),
                any::<bool>(),
                (prop::option::weighted(0.5, 0usize..3), prop::option::weighted(0.3, 0usize..3)),
                prop::option::weighted(0.2, 0..SENDERS.len()),
            );
            let mut runner = TestRunner::new(Config {
                cases: CASES / slowness(),
                failure_persistence: None,
                ..Config::default()
            });
            let outcome = runner.run(&changes, |(count, changes, cut, has_checksums, (to, mac), from)| {
                let frame = advert(dialect, count);
                let frame = to.map_or(frame.clone(), |to| frame.destination(hosts(dialect)[to]));
                let frame = mac.map_or(frame.clone(), |mac| frame.destination_mac(MACS[mac]));
                let from_us =
                    |frame: Frame, from: usize| frame.source(hosts(dialect)[0]).source_mac(SENDERS[from]);
                let frame = from.map_or(frame.clone(), |from| from_us(frame, from));
                let is_signed = trailer != InstanceRules::UNSIGNED && changes.len() != 1;
                let frame = if is_signed { frame.signed(&TRAILER) } else { frame };
                let mut bytes = frame.build();
                for (at, value, is_header) in changes {
                    let at = if is_header { at % 12 + 34 } else { at };
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = value;
                    }
                }
                bytes.truncate(cut.unwrap_or(usize::MAX));
                if has_checksums
                    && let Ok(frame) = dissect(bytes.as_slice(), 0)
                    && frame.family == Family::V4
                {
                    // Otherwise almost no frame would pass the checksums.
                    let header = frame.ip..frame.ip + frame.ip_len();
                    if let Some(header) = bytes.get_mut(header) {
                        checksum::fill(header, 10, 0);
                    }
                    let end = bytes.len().saturating_sub(if is_signed { TRAILER_LEN } else { 0 });
                    if let Some(message) = bytes.get_mut(frame.at..end)
                        && message.len() > 8
                    {
                        checksum::fill(message, 6, 0);
                    }
                }
                let mut stand = stand.borrow_mut();
                prop_assume!(stand.takes(&bytes));
                let expected = expected(&bytes, &slot, dialect);
                match stand.run_bytes(&bytes) {
                    // The budget and the table of peers may be full.
                    Outcome::Dropped(Counter::OverBudget) => {
                        prop_assert_eq!(expected, Outcome::Passed(Counter::Event));
                    }
                    found => prop_assert_eq!(found, expected, "{:?} {:02x?}", stand.entry, bytes),
                }
                if expected == Outcome::Rejected(Reject::OwnSource) {
                    let maps = stand.program.maps();
                    prop_assert_eq!(
                        latest_of_own(&maps),
                        on_socket(&bytes, &slot, dialect),
                        "{:02x?}",
                        bytes
                    );
                }
                let _read = stand.woken();
                Ok(())
            });
            outcome.unwrap();
        }
    }
}
