//! Receive checks. Their numbers are explained in `docs/requirements.md`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;
use crate::wire::advert::Advert;
use crate::wire::frame::{NoMessage, dissect};
use crate::wire::vectors::{SIGNED_IPV4, SIGNED_IPV6, V2_PASS, V3_IPV4, V3_IPV6};
use crate::wire::{PROTOCOL, TRAILER_LEN};

/// keepalived's adverts, with both forms of the IPv4 checksum. RFC 9568 §5.2.8: over IPv4 without pseudo-header (P19),
/// with it as well (P21), over IPv6 always with it (P20); version 2 without (RFC 3768 §5.3.8; V06).
#[test]
fn captured() {
    let cases = [
        (V2_PASS.as_slice(), 2, ChecksumForm::Plain),
        (V3_IPV4.as_slice(), 3, ChecksumForm::Pseudo),
        (V3_IPV6.as_slice(), 3, ChecksumForm::Pseudo),
    ];
    for (bytes, version, form) in cases {
        let frame = dissect(bytes, 0).unwrap();
        let slot = InstanceRules { version, ..InstanceRules::UNUSED };
        let slot = match version {
            2 => InstanceRules { auth_type: 1, auth_data: PASSWORD, ..slot },
            _ => slot,
        };
        let judged = judge(bytes, &frame, &slot, |_| bytes.get(frame.at..).map(checksum::sum));
        let (info, found) = judged.unwrap();
        assert_eq!((found, info.vrid, info.source), (form, frame.vrid, frame.source));
    }
}

/// test/auth_hmac_test.c of keepalived 2.4.3, without the trailer: the checksum does not cover the pseudo-header.
#[test]
fn known_answer() {
    let message = [0x31, 0x33, 0xc8, 0x01, 0x00, 0x64, 0x44, 0x02, 0xc0, 0x00, 0x02, 0x64];
    let mut case = Case::new(V3_CS, 1, ChecksumForm::Plain);
    case.message = message.to_vec();
    case.frame.source = widen(Ipv4Addr::new(198, 51, 100, 10).into());
    let (info, form) = case.judge().unwrap();
    assert_eq!((info.priority, form), (200, ChecksumForm::Plain));
    let address = [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100))];
    let repr = AdvertRepr::new(51, 200, V3_CS, &address).unwrap();
    let mut buffer = [0xa5; 12];
    let (source, destination) = (Ipv4Addr::new(198, 51, 100, 10).into(), ends(Family::V4).1);
    fill_checksum(repr.emit(&mut buffer).unwrap(), ChecksumForm::Plain, source, destination);
    assert_eq!(buffer, message);
}

/// test/auth_hmac_test.c of keepalived 2.4.3: over IPv4 the checksum ends before the trailer, over IPv6 behind it.
#[test]
fn trailers() {
    let v4 = |case: &mut Case| {
        case.frame.source = widen(Ipv4Addr::new(198, 51, 100, 10).into());
        case.message = SIGNED_IPV4.to_vec();
    };
    let v6 = |case: &mut Case| {
        case.frame.source = widen(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x10).into());
        case.frame.destination = widen(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x20).into());
        case.slot.unicast = 1;
        case.message = SIGNED_IPV6.to_vec();
    };
    for mut case in [
        Case::new(V3_CS, 1, ChecksumForm::Plain).with(v4),
        Case::new(V3_V6, 1, ChecksumForm::Pseudo).with(v6),
    ] {
        case.frame.length = case.message.len();
        for trailer in [InstanceRules::SIGNED, InstanceRules::MAYBE_SIGNED] {
            case.slot.trailer = trailer;
            assert_eq!(case.judge().unwrap().0.priority, 200);
        }
        case.slot.trailer = InstanceRules::UNSIGNED;
        assert_eq!(case.judge(), Err(Reject::Length));
    }
}

/// One trailer or none, and none only if the instance accepts that.
#[test]
fn trailer_lengths() {
    for dialect in [V2_PLAIN, V3_CS, V3_V6] {
        let unsigned = Case::new(dialect, 3, ChecksumForm::Pseudo);
        for (trailer, outcome) in
            [(InstanceRules::SIGNED, Err(Reject::AuthMissing)), (InstanceRules::MAYBE_SIGNED, Ok(100))]
        {
            let case = unsigned.clone().with(|case| case.slot.trailer = trailer);
            assert_eq!(case.judge().map(|(info, _)| info.priority), outcome);
            for extra in [1, 4, 27, 29, 32, 56] {
                let longer = case.clone().with(|case| {
                    case.message.resize(case.message.len() + extra, 0);
                    case.frame.length += extra;
                });
                assert_eq!(longer.judge(), Err(Reject::Length), "{extra}");
            }
        }
    }
}

/// The message fits, its trailer does not.
#[test]
fn trailer_too_long() {
    let case = Case::new(V3_V6, 91, ChecksumForm::Pseudo).with(|case| {
        case.message.resize(case.message.len() + TRAILER_LEN, 0);
        case.frame.length = case.message.len();
        case.slot.trailer = InstanceRules::SIGNED;
    });
    assert_eq!(case.judge(), Err(Reject::TooLong));
}

/// The form written is the form found: P19 and P21 over IPv4, P20 over IPv6 (RFC 9568 §5.2.8), V06 in version 2
/// (RFC 3768 §5.3.8).
#[test]
fn checksum_forms() {
    use ChecksumForm::{Plain, Pseudo};
    for (dialect, written, found) in [
        (V3_CS, Pseudo, Pseudo),
        (V3_CS, Plain, Plain),
        (V2, Pseudo, Plain),
        (V2, Plain, Plain),
        (V3_V6, Pseudo, Pseudo),
        (V3_V6, Plain, Pseudo),
    ] {
        let (_, form) = Case::new(dialect, 3, written).judge().unwrap();
        assert_eq!(form, found, "{dialect:?} written as {written:?}");
    }
}

/// A checksum of the other form is wrong if only one form is legal.
#[test]
fn foreign_forms() {
    let mut v2 = Case::new(V2, 3, ChecksumForm::Plain);
    checksum::fill(&mut v2.message, 6, pseudo(&v2.frame)).unwrap();
    assert_eq!(v2.judge(), Err(Reject::Checksum));
    let mut v6 = Case::new(V3_V6, 3, ChecksumForm::Pseudo);
    checksum::fill(&mut v6.message, 6, 0).unwrap();
    assert_eq!(v6.judge(), Err(Reject::Checksum));
}

/// A message whose checksum is correct in both forms counts as one of the common form.
#[test]
fn both_forms() {
    let mut case = Case::new(V3_CS, 1, ChecksumForm::Plain);
    // 192.0.2.1 becomes a source that makes the pseudo-header sum up to 0: 0xe000 + 0x0012 + 112 + 12 + source.
    let rest = !checksum::fold(pseudo(&Frame { source: [0; 16], ..case.frame }));
    case.frame.source[..4].copy_from_slice(&[1, 1, 0, 0]);
    let rest = u16::from_be(rest) - 0x0101;
    case.frame.source[2..4].copy_from_slice(&rest.to_be_bytes());
    assert_eq!(checksum::fold(pseudo(&case.frame)), 0xffff);
    assert_eq!(case.judge().map(|(_, form)| form), Ok(ChecksumForm::Pseudo));
}

/// RFC 9568 §5.2.6, §5.2.7: reserved bits are ignored (P17), and the interval has 12 bits (P18).
#[test]
fn reserved_and_longest_interval() {
    let longest = Dialect::V3 { family: Family::V4, centiseconds: 4095 };
    let case = Case::new(longest, 1, ChecksumForm::Pseudo);
    assert_eq!(case.message[4..6], [0x0f, 0xff]);
    assert_eq!(case.judge().unwrap().0.interval, 4095);
    let reserved = case.with(|case| case.message[4] |= 0xf0).sealed(ChecksumForm::Pseudo);
    assert_eq!(reserved.judge().unwrap().0.interval, 4095);
}

/// Accepted: priority 0 (RFC 9568 §5.2.4; P14), and a first IPv6 address that is not link-local (§5.2.9; R15).
#[test]
fn accepted() {
    for dialect in [V2, V3_CS, V3_V6] {
        for count in [1, 2, 90] {
            let case = Case::new(dialect, count, ChecksumForm::Pseudo);
            assert_eq!(case.judge().unwrap().0.address_count, count);
            let released = case.with(|case| case.message[2] = 0).sealed(ChecksumForm::Pseudo);
            assert_eq!(released.judge().unwrap().0.priority, 0);
        }
    }
    for dialect in [V2, V3_CS] {
        assert!(Case::new(dialect, 255, ChecksumForm::Pseudo).judge().is_ok());
    }
    let global = Case::new(V3_V6, 1, ChecksumForm::Pseudo)
        .with(|case| case.message[8..10].copy_from_slice(&[0x20, 0x01]))
        .sealed(ChecksumForm::Pseudo);
    assert!(global.judge().is_ok(), "first address not link-local");
}

/// RFC 9568 §5.1.1.3, §5.1.2.3: one hop less than 255 is refused (R01).
#[test]
fn hops() {
    for dialect in [V2, V3_CS, V3_V6] {
        for ttl in 0..=255 {
            let case = Case::new(dialect, 1, ChecksumForm::Pseudo).with(|case| case.frame.ttl = ttl);
            assert_eq!(case.judge().err(), (ttl != 255).then_some(Reject::Ttl), "{dialect:?}, ttl {ttl}");
        }
    }
}

/// As keepalived: no unicast to a multicast instance, and the reverse (R16); and the checks of unicast.
#[test]
fn unicast() {
    for (family, dialect, host) in [(Family::V4, V3_CS, "192.0.2.9"), (Family::V6, V3_V6, "fe80::9")] {
        let host: IpAddr = host.parse().unwrap();
        let source = ends(family).0;
        let mut case = Case::new(dialect, 1, ChecksumForm::Pseudo);
        case.slot.unicast = 1;
        assert_eq!(case.judge(), Err(Reject::Destination), "the group, at a unicast instance");
        case.frame.destination = widen(host);
        fill_checksum(&mut case.message, ChecksumForm::Pseudo, source, host);
        for ttl in [255, 64, 1, 0] {
            case.frame.ttl = ttl;
            assert!(case.judge().is_ok(), "ttl {ttl}");
        }
        case.slot.unicast = 0;
        case.frame.ttl = 255;
        assert_eq!(case.judge(), Err(Reject::Destination), "unicast, at an instance of the group");
    }
}

type Fault = (Reject, &'static str, fn(&mut Case));

/// One way to fail each check; for a check after the checksum, the checksum is corrected.
const FAULTS: [Fault; 17] = [
    (Reject::Truncated, "R05", |case| case.frame.length += 4),
    (Reject::Ttl, "R01", |case| case.frame.ttl = 64),
    (Reject::Destination, "R16", |case| case.frame.destination[3] = 5),
    (Reject::Source, "R17", |case| case.frame.source = [0; 16]),
    (Reject::OwnSource, "A15, R17", |case| case.slot.source = case.frame.source),
    (Reject::Carp, "R14", |case| {
        case.message = vec![0; 36];
        case.message[0] = 0x21;
        case.message[3] = 7;
        case.frame.length = 36;
    }),
    (Reject::Version, "R02", |case| case.message[0] = 0x41),
    (Reject::VersionMismatch, "I09", |case| case.slot.version ^= 1),
    (Reject::Type, "R03", |case| case.message[0] = case.message[0] & 0xf0 | 2),
    (Reject::CountZero, "R07", |case| case.message[3] = 0),
    (Reject::Length, "R05, R14", |case| {
        case.message.extend([0; 8]);
        case.frame.length = case.message.len();
    }),
    (Reject::TooLong, "P26", |case| {
        *case = Case::new(V3_V6, 255, ChecksumForm::Pseudo);
    }),
    (Reject::Checksum, "R04", |case| case.message[7] ^= 1),
    (Reject::AuthType, "V03", |case| {
        case.message[4] = 2;
        reseal(case);
    }),
    (Reject::AuthData, "W02", |case| {
        case.slot.auth_data[0] ^= 1;
    }),
    (Reject::IntervalZero, "R08", |case| {
        case.message[5] = 0;
        reseal(case);
    }),
    (Reject::AuthMissing, "keepalived 2.4.2", |case| case.slot.trailer = InstanceRules::SIGNED),
];

fn reseal(case: &mut Case) {
    *case = case.clone().sealed(ChecksumForm::Pseudo);
}

/// Each check alone.
#[test]
fn every_reject() {
    // These take more than the message and the rules of its form.
    let elsewhere = [
        Reject::IpHeader,
        Reject::IpChecksum,
        Reject::Peer,
        Reject::AuthMalformed,
        Reject::AuthKey,
        Reject::AuthHmac,
        Reject::AuthStale,
        Reject::AuthReplay,
    ];
    let here = Reject::ALL.iter().filter(|reject| !elsewhere.contains(reject));
    assert!(FAULTS.iter().map(|(reject, ..)| reject).eq(here));
    for (reject, row, fault) in FAULTS {
        let case = Case::new(V2, 3, ChecksumForm::Plain).with(fault);
        assert_eq!(case.judge(), Err(reject), "{row}");
    }
}

/// Headers of packets that the stack drops: each bit of an IPv4 header counts, and the version in both families.
#[test]
fn ip_headers() {
    let judged = |bytes: &[u8], version| {
        let frame = dissect(bytes, 0).unwrap();
        let slot = InstanceRules {
            version,
            auth_type: u8::from(version == 2),
            auth_data: PASSWORD,
            ..InstanceRules::UNUSED
        };
        judge(bytes, &frame, &slot, |length| bytes.get(frame.at..frame.at + length).map(checksum::sum))
    };
    // Fields that do not change the frame otherwise: TOS, identification, TTL, checksum.
    for at in [15, 18, 19, 22, 24, 25] {
        for bit in 0..8 {
            let mut bytes = V2_PASS;
            bytes[at] ^= 1 << bit;
            assert_eq!(judged(&bytes, 2), Err(Reject::IpChecksum), "bit {bit} of byte {at}");
        }
    }
    for first in (0..=255).filter(|first| *first != 0x45) {
        let mut bytes = V2_PASS;
        bytes[14] = first;
        let is_header = first >> 4 == 4 && first & 0x0f >= 5;
        let expected = if is_header { Reject::IpChecksum } else { Reject::IpHeader };
        match dissect(bytes.as_slice(), 0) {
            Ok(_) => assert_eq!(judged(&bytes, 2), Err(expected), "{first:#x}"),
            // The header would end at or behind the end of the message.
            Err(error) => {
                assert!(first & 0x0f > 10 && error == NoMessage::Truncated, "{first:#x}: {error:?}");
            }
        }
    }
    for version in (0..16).filter(|version| *version != 6) {
        let mut bytes = V3_IPV6;
        bytes[14] = version << 4 | bytes[14] & 0x0f;
        assert_eq!(judged(&bytes, 3), Err(Reject::IpHeader), "version {version}");
    }
    assert!(judged(&V2_PASS, 2).is_ok() && judged(&V3_IPV6, 3).is_ok());
}

/// Of two faults the earlier one is named. The later is made first, because CARP and the longest message replace the
/// message.
#[test]
fn order() {
    for (index, (later, _, late_fault)) in FAULTS.iter().enumerate() {
        for (first, _, fault) in &FAULTS[..index] {
            let case = Case::new(V2, 3, ChecksumForm::Plain).with(late_fault).with(fault);
            assert_eq!(case.judge(), Err(*first), "{first} and {later}");
        }
    }
}

/// The expensive sum is computed once, and not for an advert that fails an earlier check.
#[test]
fn sum_is_lazy() {
    for (reject, _, fault) in FAULTS {
        let case = Case::new(V2, 3, ChecksumForm::Plain).with(fault);
        let mut asked = 0;
        let judged = case.judge_with(|_| {
            asked += 1;
            Some(checksum::sum(&case.message))
        });
        assert_eq!(judged, Err(reject));
        assert_eq!(asked, usize::from(reject as u8 >= Reject::Checksum as u8), "{reject}");
    }
    let case = Case::new(V3_CS, 1, ChecksumForm::Plain);
    assert_eq!(case.judge_with(|_| None), Err(Reject::Truncated));
}

/// RFC 9568 §7.1: the message is complete (R05); truncated at every length, in the packet and in its IP header.
#[test]
fn every_length() {
    for dialect in [V2, V3_CS, V3_V6] {
        let whole = Case::new(dialect, 3, ChecksumForm::Pseudo);
        for length in 0..whole.message.len() {
            let cut = whole.clone().with(|case| case.message.truncate(length));
            assert_eq!(cut.judge(), Err(Reject::Truncated), "{dialect:?} cut at {length}");
            let short = whole.clone().with(|case| case.frame.length = length);
            let reject = if length < 8 { Reject::Truncated } else { Reject::Length };
            assert_eq!(short.judge(), Err(reject), "{dialect:?} of {length}");
        }
    }
}

/// RFC 9568 §7.1: the message is complete (R05); the count says many addresses, few are there.
#[test]
fn promised_addresses() {
    let case = Case::new(V3_V6, 1, ChecksumForm::Pseudo)
        .with(|case| case.message[3] = 255)
        .sealed(ChecksumForm::Pseudo);
    assert_eq!(case.judge(), Err(Reject::Length));
    assert_eq!(Advert::parse(&case.message, Family::V6), Err(Reject::Length));
}

/// Neither version passes for the other (RFC 9568 §7.1; R14, I09); version 2 is IPv4 only (RFC 3768 §5; V01), and only
/// version 2 has authentication data (RFC 9568 §5.2; W04).
#[test]
fn versions() {
    let v2 = Case::new(V2, 1, ChecksumForm::Plain);
    let relabelled = v2.clone().with(|case| {
        case.message[0] = 0x31;
        case.slot.version = 3;
        reseal(case);
    });
    assert_eq!(relabelled.judge(), Err(Reject::Length));
    let v3 = Case::new(V3_CS, 1, ChecksumForm::Plain).with(|case| {
        case.message[0] = 0x21;
        case.slot.version = 2;
        reseal(case);
    });
    assert_eq!(v3.judge(), Err(Reject::Length));
    let over_ipv6 = Case::new(V3_V6, 1, ChecksumForm::Pseudo).with(|case| {
        case.message[0] = 0x21;
        case.slot.version = 2;
    });
    assert_eq!(over_ipv6.judge(), Err(Reject::Version));
    assert_eq!(v2.with(|case| case.slot.version = 3).judge(), Err(Reject::VersionMismatch));
}

/// Only the length distinguishes 7 addresses from CARP (R14).
#[test]
fn seven_addresses_are_no_carp() {
    let case = Case::new(Dialect::V2 { seconds: 1, auth: Auth::None }, 7, ChecksumForm::Plain);
    assert_eq!(case.message.len(), 44);
    assert!(case.judge().is_ok());
}

/// RFC 3768 §7.1: the type must be ours (V03), and without authentication the data is ignored (§5.3.10; V04).
/// RFC 2338 §5.3.10: type 1 needs our password (W02).
#[test]
fn authentication() {
    let open = Dialect::V2 { seconds: 1, auth: Auth::None };
    let (with, without) = (Case::new(V2, 1, ChecksumForm::Plain), Case::new(open, 1, ChecksumForm::Plain));
    assert!(with.judge().is_ok());
    let ours = |mut case: Case, slot: &InstanceRules| {
        (case.slot.auth_type, case.slot.auth_data) = (slot.auth_type, slot.auth_data);
        case.judge().err()
    };
    assert_eq!(ours(with.clone(), &without.slot), Some(Reject::AuthType));
    assert_eq!(ours(without.clone(), &with.slot), Some(Reject::AuthType));
    for at in 0..8 {
        let other = with.clone().with(|case| case.slot.auth_data[at] ^= 0x80);
        assert_eq!(other.judge(), Err(Reject::AuthData), "byte {at}");
    }
    let noise = without.with(|case| {
        case.message[12..].copy_from_slice(b"whatever");
        reseal(case);
    });
    assert!(noise.judge().is_ok(), "data without a type");
}

fn pseudo(frame: &Frame) -> u64 {
    let length = u16::try_from(frame.length).unwrap();
    checksum::pseudo(PROTOCOL, &frame.source, &frame.destination, length)
}
