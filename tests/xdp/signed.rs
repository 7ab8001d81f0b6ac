//! Signed adverts: the program checks their form and passes them to the daemon, and records no peer.

use vrrp_ebpf::map::{BUDGET_OTHERS, BUDGET_WATCHED, Counter, InstanceKey, InstanceRules, NO_PEER};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::advert::{Auth, Dialect};
use vrrp_ebpf::wire::ah::AhRepr;
use vrrp_ebpf::wire::{ChecksumForm, Family, Reject, Trailer};
use vrrp_tests::packet::{Frame, V2, V3_IPV4, V3_IPV6, VRID, advert};
use vrrp_tests::{FIRST, SECOND, needs};
use vrrp_user::driver::xdp::Entry;

use crate::stand::{LOOPBACK, Outcome, Stand, next_window, on_each_entry, slot};

const EVENT: Outcome = Outcome::Passed(Counter::Event);
pub(crate) const TRAILER: Trailer =
    Trailer { key_id: 1, sequence: 0x6800_0000_8000_0000, hmac: *b"not looked at..." };

fn signing(dialect: Dialect, trailer: u8) -> InstanceRules {
    InstanceRules { trailer, ..slot(dialect) }
}

/// With the trailer, whatever its content: only the daemon can verify the signature.
#[test]
#[needs("root")]
fn the_daemon_gets_them_whole() {
    for (dialect, count) in [(V2, 1), (V2, 255), (V3_IPV4, 1), (V3_IPV4, 20), (V3_IPV6, 1), (V3_IPV6, 90)] {
        for form in [ChecksumForm::Pseudo, ChecksumForm::Plain] {
            let frame = advert(dialect, count).signed(&TRAILER).checksum(form);
            on_each_entry(&signing(dialect, InstanceRules::SIGNED), dialect.family(), 0, |stand| {
                assert_eq!(stand.run(&frame), EVENT, "{dialect:?}, {count} addresses");
                let mut events = Vec::new();
                stand.ring.drain(1, |event| events.push((event.message().to_vec(), event.peer)));
                let at = if dialect.family() == Family::V4 { 34 } else { 54 };
                assert_eq!(events, [(frame.build()[at..].to_vec(), NO_PEER)]);
                assert_eq!(stand.program.maps().peers(FIRST).count(), 0, "no peer is recorded");
            });
        }
    }
}

#[test]
#[needs("root")]
fn adverts_without_a_trailer_pass_only_if_allowed() {
    for dialect in [V2, V3_IPV4, V3_IPV6] {
        let missing = Outcome::Rejected(Reject::AuthMissing);
        for (trailer, outcome) in [(InstanceRules::SIGNED, missing), (InstanceRules::MAYBE_SIGNED, EVENT)] {
            on_each_entry(&signing(dialect, trailer), dialect.family(), 0, |stand| {
                assert_eq!(stand.run(&advert(dialect, 2)), outcome, "{dialect:?}");
                assert_eq!(stand.program.maps().peers(FIRST).count(), 0);
                for length in [1, 4, 27, 29, 32, 56] {
                    let frame = advert(dialect, 2).trailer(&vec![0; length]);
                    assert_eq!(stand.run(&frame), Outcome::Rejected(Reject::Length), "{length}");
                }
                let summed = advert(dialect, 2).trailer(&TRAILER.emit()).wrong_checksum();
                assert_eq!(stand.run(&summed), Outcome::Rejected(Reject::Checksum));
            });
        }
    }
}

#[test]
#[needs("root")]
fn unsigned_instances_expect_no_trailer() {
    for dialect in [V2, V3_IPV4, V3_IPV6] {
        on_each_entry(&slot(dialect), dialect.family(), 0, |stand| {
            let outcome = stand.run(&advert(dialect, 2).signed(&TRAILER));
            assert_eq!(outcome, Outcome::Rejected(Reject::Length), "{dialect:?}");
        });
    }
}

/// A signed advert of the master in the tests below, or of another router.
fn from(host: u8) -> Frame {
    advert(V3_IPV4, 1).signed(&TRAILER).source([10, 0, 0, host].into())
}

fn favour_the_master(stand: &Stand) {
    let mut master = [0; 16];
    master[..4].copy_from_slice(&[10, 0, 0, 1]);
    stand.program.maps().reserve_budget_for(FIRST, master);
}

fn missed(stand: &Stand) -> [Option<Timestamp>; 2] {
    [false, true].map(|of_watched| stand.program.maps().missed(FIRST, of_watched))
}

/// A flood from another source takes nothing from the budget of the master.
#[test]
#[needs("root")]
fn the_master_has_a_budget_of_its_own() {
    on_each_entry(&signing(V3_IPV4, InstanceRules::SIGNED), Family::V4, 0, |stand| {
        favour_the_master(stand);
        next_window();
        let (events, dropped) = flood(stand, 2);
        assert!(events >= BUDGET_OTHERS && dropped > 0, "{events} events, {dropped} dropped");
        assert_eq!(stand.run(&from(1)), EVENT);
        let [others, of_master] = missed(stand);
        assert!(others.is_some() && of_master.is_none(), "missed adverts: {others:?}, {of_master:?}");
    });
}

/// Number of adverts: more than half of the ring, and few enough to fit into a window.
const FLOOD: u32 = 500;

/// Sends a flood while the ring is not read; returns the number of events, and of adverts over the budget.
fn flood(stand: &Stand, host: u8) -> (u32, u32) {
    stand.flood(FIRST, &from(host), FLOOD, [Counter::Event, Counter::OverBudget]).into()
}

/// While the daemon keeps up, each advert is judged, as only the signature identifies the master's.
#[test]
#[needs("root")]
fn a_flood_from_the_master_s_address_is_judged_while_the_daemon_reads() {
    on_each_entry(&signing(V3_IPV4, InstanceRules::SIGNED), Family::V4, 0, |stand| {
        favour_the_master(stand);
        for host in [1, 2] {
            next_window();
            for _ in 0..100 {
                let outcomes: Vec<_> = (0..5).map(|_| stand.run(&from(host))).collect();
                assert_eq!(outcomes, [EVENT; 5], "from host {host}");
                assert_eq!(stand.woken().len(), 5);
            }
        }
        assert_eq!(missed(stand), [None, None]);
    });
}

/// Half of the ring is left for the others, and the program records that adverts of the master were missed.
#[test]
#[needs("root")]
fn a_flood_that_is_not_read_leaves_room_and_is_remembered() {
    for entry in Entry::ALL {
        let mut stand = Stand::new(entry, 2);
        let other = InstanceKey::new(LOOPBACK, 0, Family::V4, VRID + 1);
        stand.insert(
            FIRST,
            &signing(V3_IPV4, InstanceRules::SIGNED),
            InstanceKey::new(LOOPBACK, 0, Family::V4, VRID),
        );
        stand.insert(SECOND, &signing(V3_IPV4, InstanceRules::SIGNED), other);
        favour_the_master(&stand);
        next_window();
        let (events, dropped) = flood(&stand, 1);
        assert!(events > BUDGET_WATCHED && dropped > 0, "{events} events, {dropped} dropped");
        let [others, of_master] = missed(&stand);
        assert!(others.is_none() && of_master.is_some(), "missed adverts: {others:?}, {of_master:?}");
        assert_eq!(stand.run(&from(1).byte(1, VRID + 1)), EVENT, "the signed advert of another instance");
        assert_eq!(u32::try_from(stand.woken().len()).unwrap(), events + 1);
        next_window();
        assert_eq!(stand.run(&from(1)), EVENT);
    }
}

const V2_AH: Dialect = Dialect::V2 { seconds: 1, auth: Auth::Ah };
const HEADER: AhRepr = AhRepr { spi: [192, 0, 2, 1], sequence: 7, icv: *b"not lookedat" };

/// From the IP header on, which the IPsec header covers.
#[test]
#[needs("root")]
fn behind_ipsec_the_daemon_gets_the_whole_packet() {
    for (count, words) in [(1, 0), (1, 10), (20, 0), (255, 3)] {
        let frame = advert(V2_AH, count).authentication(HEADER).options(words);
        on_each_entry(&slot(V2_AH), Family::V4, 0, |stand| {
            assert_eq!(stand.run(&frame), EVENT, "{count} addresses, {words} words of options");
            let mut events = Vec::new();
            stand.ring.drain(1, |event| events.push((event.message().to_vec(), event.peer)));
            assert_eq!(events, [(frame.build()[14..].to_vec(), NO_PEER)]);
            assert_eq!(stand.program.maps().peers(FIRST).count(), 0, "no peer is recorded");
        });
    }
}

/// W03.
#[test]
#[needs("root")]
fn a_header_of_ipsec_is_there_or_not_as_configured() {
    let refused = Outcome::Rejected(Reject::AuthType);
    on_each_entry(&slot(V2_AH), Family::V4, 0, |stand| {
        assert_eq!(stand.run(&advert(V2_AH, 2)), refused, "no header");
        assert_eq!(stand.run(&advert(V2, 2).authentication(HEADER)), refused, "another type in the message");
        let padded = advert(V2_AH, 1).authentication(HEADER).padded();
        assert_eq!(stand.run(&padded), EVENT);
        for cut in [35, 36, 50, 58, 59] {
            let frame = advert(V2_AH, 1).authentication(HEADER).cut(cut);
            let outcome = stand.run(&frame);
            assert!(matches!(outcome, Outcome::Other), "cut after {cut}: {outcome:?}");
        }
    });
    for dialect in [V2, V3_IPV4] {
        on_each_entry(&slot(dialect), Family::V4, 0, |stand| {
            assert_eq!(stand.run(&advert(dialect, 2).authentication(HEADER)), refused, "{dialect:?}");
        });
    }
}
