//! Adverts as written, judged and read; by rows of the checklist, and at random.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::map::{PAYLOAD_MAX, Slot};
use crate::wire::address::widen;
use crate::wire::frame::{Frame, dissect};
use crate::wire::vectors::{V2_PASS, V3_IPV4, V3_IPV6};
use crate::wire::{ChecksumForm, Family, Reject, Sighting, checksum};

const PASSWORD: [u8; 8] = *b"s3cret\0\0";
const V2: Dialect = Dialect::V2 { seconds: 1, auth: Auth::Pass(PASSWORD) };
const V3_CS: Dialect = Dialect::V3 { family: Family::V4, centiseconds: 100 };
const V3_V6: Dialect = Dialect::V3 { family: Family::V6, centiseconds: 100 };

/// An advert on its way in.
#[derive(Clone, Debug)]
struct Case {
    message: Vec<u8>,
    frame: Frame,
    slot: Slot,
}

impl Case {
    /// A valid one.
    fn new(dialect: Dialect, address_count: u8, form: ChecksumForm) -> Self {
        let addresses = addresses(dialect.family(), address_count);
        Self::of(&AdvertRepr::new(51, 100, dialect, &addresses).unwrap(), form)
    }

    fn of(repr: &AdvertRepr<'_>, form: ChecksumForm) -> Self {
        let dialect = repr.dialect();
        let (source, destination) = ends(dialect.family());
        let mut buffer = vec![0xa5; repr.buffer_len()];
        let message = repr.emit(&mut buffer).unwrap();
        fill_checksum(message, form, source, destination);
        let (auth_type, auth_data) = match dialect {
            Dialect::V2 { auth, .. } => auth.encode(),
            Dialect::V3 { .. } => (0, [0; 8]),
        };
        let advert_int = match dialect {
            Dialect::V2 { seconds, .. } => seconds,
            Dialect::V3 { .. } => 0,
        };
        Self {
            frame: Frame {
                family: dialect.family(),
                ttl: 255,
                vlan: 0,
                source: widen(source),
                destination: widen(destination),
                at: 0,
                length: buffer.len(),
                vrid: repr.vrid(),
            },
            slot: Slot { version: dialect.version(), auth_type, auth_data, advert_int, ..Slot::UNUSED },
            message: buffer,
        }
    }

    fn judge(&self) -> Result<(Sighting, ChecksumForm), Reject> {
        judge(self.message.as_slice(), &self.frame, &self.slot, || {
            self.message.get(..self.frame.length).map(checksum::sum)
        })
    }

    /// Puts the checksum right after a change.
    fn sealed(mut self, form: ChecksumForm) -> Self {
        let (source, destination) = ends(self.frame.family);
        fill_checksum(&mut self.message, form, source, destination);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

fn ends(family: Family) -> (IpAddr, IpAddr) {
    match family {
        Family::V4 => (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::new(224, 0, 0, 18).into()),
        Family::V6 => (
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(),
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12).into(),
        ),
    }
}

fn addresses(family: Family, count: u8) -> Vec<IpAddr> {
    let one = |last| match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, last.into())),
    };
    (0..count).map(one).collect()
}

/// P09, P16, P17, P26, V02: what is written, byte by byte; a byte left out would still be 0xa5.
#[test]
fn emit() {
    let v2: [IpAddr; 2] = ["10.0.9.100".parse().unwrap(), "10.0.9.101".parse().unwrap()];
    let v3: [IpAddr; 1] = ["10.0.9.102".parse().unwrap()];
    let v6: [IpAddr; 2] = ["fe80::100".parse().unwrap(), "2001:db8::100".parse().unwrap()];
    let ten = |family| Dialect::V3 { family, centiseconds: 10 };
    for (frame, repr) in [
        (V2_PASS.as_slice(), AdvertRepr::new(51, 100, V2, &v2)),
        (V3_IPV4.as_slice(), AdvertRepr::new(52, 200, ten(Family::V4), &v3)),
        (V3_IPV6.as_slice(), AdvertRepr::new(53, 250, ten(Family::V6), &v6)),
    ] {
        let repr = repr.unwrap();
        let ends = dissect(frame, 0).unwrap();
        let address = |bytes| crate::wire::address::narrow(ends.family, bytes);
        let mut buffer = vec![0xa5; repr.buffer_len() + 1];
        let message = repr.emit(&mut buffer).unwrap();
        fill_checksum(message, ChecksumForm::Pseudo, address(ends.source), address(ends.destination));
        assert_eq!(message, &frame[ends.at..]);
        assert_eq!(buffer.last(), Some(&0xa5));
        for short in 0..repr.buffer_len() {
            assert_eq!(repr.emit(&mut buffer[..short]), None);
        }
    }
}

#[test]
fn parse() {
    let advert = Advert::parse(&V2_PASS[34..], Family::V4).unwrap();
    assert_eq!((advert.version(), advert.vrid(), advert.priority(), advert.interval()), (2, 51, 100, 1));
    assert_eq!((advert.auth_type(), advert.auth_data()), (1, PASSWORD));
    assert_eq!(
        advert.to_string(),
        "VRRPv2 vrid 51 priority 100 interval 1 s, addresses 10.0.9.100, 10.0.9.101"
    );
    let advert = Advert::parse(&V3_IPV6[54..], Family::V6).unwrap();
    assert_eq!((advert.version(), advert.interval(), advert.address_count()), (3, 10, 2));
    assert_eq!((advert.auth_type(), advert.auth_data()), (0, [0; 8]));
    assert_eq!(
        advert.to_string(),
        "VRRPv3 vrid 53 priority 250 interval 10 cs, addresses fe80::100, 2001:db8::100"
    );
    // The same bytes in a packet of the other family are another length.
    assert_eq!(Advert::parse(&V3_IPV6[54..], Family::V4), Err(Reject::Length));
}

/// What the first six rejects are made of cannot be seen in a message alone.
#[test]
fn parse_refuses() {
    for length in 0..V3_IPV4[34..].len() {
        let reject = if length < 8 { Reject::Truncated } else { Reject::Length };
        assert_eq!(Advert::parse(&V3_IPV4[34..34 + length], Family::V4), Err(reject));
    }
    for (at, value, reject) in [
        (0, 0x11, Reject::Version),
        (0, 0x41, Reject::Version),
        (0, 0x32, Reject::Type),
        (3, 0, Reject::CountZero),
        (3, 2, Reject::Length),
        (5, 0, Reject::IntervalZero),
    ] {
        let mut message = V3_IPV4[34..].to_vec();
        message[at] = value;
        assert_eq!(Advert::parse(&message, Family::V4), Err(reject), "byte {at}: {value:#x}");
    }
}

/// keepalived's, with both checksums of its IPv4 (P19–P21, V06).
#[test]
fn captured() {
    let cases = [
        (V2_PASS.as_slice(), 2, ChecksumForm::Plain),
        (V3_IPV4.as_slice(), 3, ChecksumForm::Pseudo),
        (V3_IPV6.as_slice(), 3, ChecksumForm::Pseudo),
    ];
    for (bytes, version, form) in cases {
        let frame = dissect(bytes, 0).unwrap();
        let slot = Slot { version, ..Slot::UNUSED };
        let slot = match version {
            2 => Slot { auth_type: 1, auth_data: PASSWORD, advert_int: 1, ..slot },
            _ => slot,
        };
        let judged = judge(bytes, &frame, &slot, || bytes.get(frame.at..).map(checksum::sum));
        let (sighting, found) = judged.unwrap();
        assert_eq!((found, sighting.vrid, sighting.source), (form, frame.vrid, frame.source));
    }
}

/// test/auth_hmac_test.c of keepalived 2.4.3, without the trailer: the sum does without the pseudo-header.
#[test]
fn known_answer() {
    let message = [0x31, 0x33, 0xc8, 0x01, 0x00, 0x64, 0x44, 0x02, 0xc0, 0x00, 0x02, 0x64];
    let mut case = Case::new(V3_CS, 1, ChecksumForm::Plain);
    case.message = message.to_vec();
    case.frame.source = widen(Ipv4Addr::new(198, 51, 100, 10).into());
    let (sighting, form) = case.judge().unwrap();
    assert_eq!((sighting.priority, form), (200, ChecksumForm::Plain));
    let address = [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100))];
    let repr = AdvertRepr::new(51, 200, V3_CS, &address).unwrap();
    let mut buffer = [0xa5; 12];
    let (source, destination) = (Ipv4Addr::new(198, 51, 100, 10).into(), ends(Family::V4).1);
    fill_checksum(repr.emit(&mut buffer).unwrap(), ChecksumForm::Plain, source, destination);
    assert_eq!(buffer, message);
}

/// P11, P16, P18, P23.
#[test]
fn illegal() {
    let (v4, v6) = (addresses(Family::V4, 1), addresses(Family::V6, 1));
    let interval = |centiseconds| Dialect::V3 { family: Family::V4, centiseconds };
    let new = |vrid, dialect, addresses: &[IpAddr]| AdvertRepr::new(vrid, 100, dialect, addresses).err();
    assert_eq!(new(0, V3_CS, &v4), Some(Illegal::Vrid));
    assert_eq!(new(1, V3_CS, &v4), None);
    assert_eq!(new(255, V3_CS, &v4), None);
    assert_eq!(new(1, interval(0), &v4), Some(Illegal::Interval));
    assert_eq!(new(1, interval(4096), &v4), Some(Illegal::Interval));
    assert_eq!(new(1, interval(4095), &v4), None);
    assert_eq!(new(1, V3_CS, &[]), Some(Illegal::AddressCount));
    assert_eq!(new(1, V3_CS, &[v4[0]; 256]), Some(Illegal::AddressCount));
    assert_eq!(new(1, V3_CS, &v6), Some(Illegal::AddressFamily));
    assert_eq!(new(1, V3_V6, &[v6[0], v4[0]]), Some(Illegal::AddressFamily));
}

/// P19, P20, P21, V06: which form is written and which is found.
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

/// A valid sum of the other form is wrong where only one form is.
#[test]
fn foreign_forms() {
    let mut v2 = Case::new(V2, 3, ChecksumForm::Plain);
    checksum::fill(&mut v2.message, 6, pseudo(&v2.frame)).unwrap();
    assert_eq!(v2.judge(), Err(Reject::Checksum));
    let mut v6 = Case::new(V3_V6, 3, ChecksumForm::Pseudo);
    checksum::fill(&mut v6.message, 6, 0).unwrap();
    assert_eq!(v6.judge(), Err(Reject::Checksum));
}

/// A message whose two sums are both right counts as of the common form.
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

/// P17, P18, N11.
#[test]
fn reserved_and_longest_interval() {
    let longest = Dialect::V3 { family: Family::V4, centiseconds: 4095 };
    let case = Case::new(longest, 1, ChecksumForm::Pseudo);
    assert_eq!(case.message[4..6], [0x0f, 0xff]);
    assert_eq!(case.judge().unwrap().0.interval, 4095);
    let reserved = case.with(|case| case.message[4] |= 0xf0).sealed(ChecksumForm::Pseudo);
    assert_eq!(reserved.judge().unwrap().0.interval, 4095);
}

/// P14, R11, R15: none of these is a reason to refuse.
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

/// R16 and the limits of unicast.
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

/// One way to fail each check; where it comes after the checksum, the sum is right again.
const FAULTS: [Fault; 17] = [
    (Reject::Truncated, "R05", |case| case.frame.length += 4),
    (Reject::Ttl, "P07, R01, N5", |case| case.frame.ttl = 64),
    (Reject::Destination, "R16", |case| case.frame.destination[3] = 5),
    (Reject::Source, "R17", |case| case.frame.source = [0; 16]),
    (Reject::OwnSource, "A15, R17", |case| case.slot.source = case.frame.source),
    (Reject::Carp, "N12", |case| {
        case.message = vec![0; 36];
        case.message[0] = 0x21;
        case.message[3] = 7;
        case.frame.length = 36;
    }),
    (Reject::Version, "R02", |case| case.message[0] = 0x41),
    (Reject::VersionMismatch, "I09, N10", |case| case.slot.version ^= 1),
    (Reject::Type, "P10, R03", |case| case.message[0] = case.message[0] & 0xf0 | 2),
    (Reject::CountZero, "P15, R07, N6", |case| case.message[3] = 0),
    (Reject::Length, "R05, R14, N3", |case| {
        case.message.extend([0; 8]);
        case.frame.length = case.message.len();
    }),
    (Reject::TooLong, "P26", |case| {
        *case = Case::new(V3_V6, 255, ChecksumForm::Pseudo);
    }),
    (Reject::Checksum, "R04, N2", |case| case.message[7] ^= 1),
    (Reject::AuthType, "V03, N9", |case| {
        case.message[4] = 2;
        reseal(case);
    }),
    (Reject::AuthData, "W02", |case| {
        case.slot.auth_data[0] ^= 1;
    }),
    (Reject::IntervalZero, "R08, N7", |case| {
        case.message[5] = 0;
        reseal(case);
    }),
    (Reject::IntervalMismatch, "V09", |case| case.slot.advert_int = 2),
];

fn reseal(case: &mut Case) {
    *case = case.clone().sealed(ChecksumForm::Pseudo);
}

/// §2.13: each check alone.
#[test]
fn every_reject() {
    assert_eq!(FAULTS.map(|(reject, ..)| reject), Reject::ALL);
    for (reject, row, fault) in FAULTS {
        let case = Case::new(V2, 3, ChecksumForm::Plain).with(fault);
        assert_eq!(case.judge(), Err(reject), "{row}");
    }
}

/// §2.13: of two faults the earlier one is named. The later is made first, for CARP and the longest message replace
/// what was there.
#[test]
fn order() {
    for (index, (later, _, late_fault)) in FAULTS.iter().enumerate() {
        for (first, _, fault) in &FAULTS[..index] {
            let case = Case::new(V2, 3, ChecksumForm::Plain).with(late_fault).with(fault);
            assert_eq!(case.judge(), Err(*first), "{first} and {later}");
        }
    }
}

/// The expensive sum is asked for once, and not for what is refused without it.
#[test]
fn sum_is_lazy() {
    for (reject, _, fault) in FAULTS {
        let case = Case::new(V2, 3, ChecksumForm::Plain).with(fault);
        let mut asked = 0;
        let judged = judge(case.message.as_slice(), &case.frame, &case.slot, || {
            asked += 1;
            Some(checksum::sum(&case.message))
        });
        assert_eq!(judged, Err(reject));
        assert_eq!(asked, usize::from(reject as u8 >= Reject::Checksum as u8), "{reject}");
    }
    let case = Case::new(V3_CS, 1, ChecksumForm::Plain);
    let judged = judge(case.message.as_slice(), &case.frame, &case.slot, || None);
    assert_eq!(judged, Err(Reject::Truncated));
}

/// R05: cut at every length, in the packet and in what its IP header says.
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

/// N8: many addresses are promised, few are there.
#[test]
fn promised_addresses() {
    let case = Case::new(V3_V6, 1, ChecksumForm::Pseudo)
        .with(|case| case.message[3] = 255)
        .sealed(ChecksumForm::Pseudo);
    assert_eq!(case.judge(), Err(Reject::Length));
    assert_eq!(Advert::parse(&case.message, Family::V6), Err(Reject::Length));
}

/// N3, N10, V01, W04: neither version passes for the other.
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

/// §2.12: only the length tells 7 addresses from CARP.
#[test]
fn seven_addresses_are_no_carp() {
    let case = Case::new(Dialect::V2 { seconds: 1, auth: Auth::None }, 7, ChecksumForm::Plain);
    assert_eq!(case.message.len(), 44);
    assert!(case.judge().is_ok());
}

/// V03, V04, W02, W04, N9.
#[test]
fn authentication() {
    let open = Dialect::V2 { seconds: 1, auth: Auth::None };
    let (with, without) = (Case::new(V2, 1, ChecksumForm::Plain), Case::new(open, 1, ChecksumForm::Plain));
    assert!(with.judge().is_ok());
    let ours = |mut case: Case, slot: &Slot| {
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
    checksum::pseudo(crate::wire::PROTOCOL, &frame.source, &frame.destination, length)
}

/// The one's complement sum as RFC 1071 §1 describes it, word by word.
fn naive_sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u16;
    for word in parts.concat().chunks(2) {
        let (added, carry) = sum.overflowing_add(u16::from_be_bytes([word[0], word[1]]));
        sum = added + u16::from(carry);
    }
    sum
}

fn is_naively_right(case: &Case) -> bool {
    let length = u16::try_from(case.message.len()).unwrap().to_be_bytes();
    let with = naive_sum(&[&case.message, &case.frame.source, &case.frame.destination, &length, &[0, 112]]);
    let without = naive_sum(&[&case.message]);
    match (case.message[0] >> 4, case.frame.family) {
        (2, _) => without == 0xffff,
        (_, Family::V4) => with == 0xffff || without == 0xffff,
        (_, Family::V6) => with == 0xffff,
    }
}

prop_compose! {
    fn form()(plain in any::<bool>()) -> ChecksumForm {
        if plain { ChecksumForm::Plain } else { ChecksumForm::Pseudo }
    }
}

fn dialect() -> impl Strategy<Value = Dialect> {
    let auth = prop_oneof![Just(Auth::None), any::<[u8; 8]>().prop_map(Auth::Pass)];
    let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
    prop_oneof![
        (1_u8.., auth).prop_map(|(seconds, auth)| Dialect::V2 { seconds, auth }),
        (family, 1_u16..4096).prop_map(|(family, centiseconds)| Dialect::V3 { family, centiseconds }),
    ]
}

/// A dialect with addresses of its family, as many as the maps hold.
fn content() -> impl Strategy<Value = (Dialect, Vec<IpAddr>)> {
    dialect().prop_flat_map(|dialect| {
        let (address, most) = match dialect.family() {
            Family::V4 => (any::<Ipv4Addr>().prop_map(IpAddr::V4).boxed(), 255),
            Family::V6 => (any::<Ipv6Addr>().prop_map(IpAddr::V6).boxed(), 92),
        };
        (Just(dialect), vec(address, 1..=most))
    })
}

proptest! {
    /// What is written is judged valid and read back as it was.
    #[test]
    fn round_trip(vrid in 1_u8.., priority in any::<u8>(), (dialect, addresses) in content(), form in form()) {
        let repr = AdvertRepr::new(vrid, priority, dialect, &addresses).unwrap();
        let case = Case::of(&repr, form);
        prop_assert!(case.message.len() <= PAYLOAD_MAX);
        let (sighting, _) = case.judge().unwrap();
        prop_assert_eq!((sighting.vrid, sighting.priority), (vrid, priority));
        prop_assert_eq!(sighting.version, dialect.version());
        let advert = Advert::parse(&case.message, dialect.family()).unwrap();
        prop_assert_eq!(advert.addresses().len(), usize::from(sighting.address_count));
        prop_assert_eq!(advert.interval(), sighting.interval);
        let read: Vec<_> = advert.addresses().collect();
        prop_assert_eq!(&read, &addresses);
        prop_assert_eq!(advert.to_repr(&read), Some(repr));
    }

    /// A flipped bit is noticed, unless the sum is truly right again.
    #[test]
    fn flipped_bit((dialect, addresses) in content(), form in form(), at in any::<prop::sample::Index>()) {
        let repr = AdvertRepr::new(51, 100, dialect, &addresses).unwrap();
        let mut case = Case::of(&repr, form);
        let bit = at.index(case.message.len() * 8);
        case.message[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(case.judge().is_err() || is_naively_right(&case));
    }

    /// The verdict on any checksum is that of the definition.
    #[test]
    fn any_checksum((dialect, addresses) in content(), sum in any::<[u8; 2]>()) {
        let repr = AdvertRepr::new(51, 100, dialect, &addresses).unwrap();
        let mut case = Case::of(&repr, ChecksumForm::Pseudo);
        case.message[6..8].copy_from_slice(&sum);
        prop_assert_eq!(case.judge().is_ok(), is_naively_right(&case));
    }

    /// Nothing panics on anything, and what passes says what it is.
    #[test]
    fn any_bytes(
        bytes in vec(any::<u8>(), 0..200),
        first in prop_oneof![Just(0x21_u8), Just(0x31), any::<u8>()],
        dialect in dialect(),
        length in 0_usize..300,
    ) {
        let mut case = Case::new(dialect, 1, ChecksumForm::Pseudo);
        case.message = bytes;
        if let Some(byte) = case.message.first_mut() {
            *byte = first;
        }
        case.frame.length = length;
        if let Ok((sighting, _)) = case.judge() {
            prop_assert_eq!(sighting.version, first >> 4);
        }
        if let Ok(advert) = Advert::parse(&case.message, dialect.family()) {
            prop_assert_eq!(advert.addresses().count(), usize::from(advert.address_count()));
        }
    }
}
