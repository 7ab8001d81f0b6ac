//! Messages byte by byte.

use core::net::IpAddr;

use super::*;
use crate::wire::address::narrow;
use crate::wire::advert::{Advert, Illegal};
use crate::wire::frame::dissect;
use crate::wire::vectors::{V2_PASS, V3_IPV4, V3_IPV6};

/// RFC 9568 §5.2: the version (P09), the address count (P16), reserved bits 0 (P17), the length (P26); RFC 3768 §5.3:
/// the authentication data (V02). A byte that is not written would still be 0xa5.
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
        let address = |bytes| narrow(ends.family, bytes);
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
    // In a packet of the other family the count means another length.
    assert_eq!(Advert::parse(&V3_IPV6[54..], Family::V4), Err(Reject::Length));
}

/// The faults that a message alone shows, without the headers before it.
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
        (3, 0, Reject::Length),
        (3, 2, Reject::Length),
        (5, 0, Reject::IntervalZero),
    ] {
        let mut message = V3_IPV4[34..].to_vec();
        message[at] = value;
        assert_eq!(Advert::parse(&message, Family::V4), Err(reject), "byte {at}: {value:#x}");
    }
}

/// RFC 9568: VRID 0 (§5.2.3; P11), more than 255 addresses (§5.2.5; P16), interval 0 or above 12 bits (§5.2.7; P18), an
/// address of the other family (§5.2.9; P23).
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
    assert_eq!(new(1, V3_CS, &[]), None);
    assert_eq!(new(1, V3_CS, &[v4[0]; 256]), Some(Illegal::AddressCount));
    assert_eq!(new(1, V3_CS, &v6), Some(Illegal::AddressFamily));
    assert_eq!(new(1, V3_V6, &[v6[0], v4[0]]), Some(Illegal::AddressFamily));
}
