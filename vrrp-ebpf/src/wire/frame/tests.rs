//! Frames with tags, options, fragments, extension headers and padding; truncated frames; random frames.

use core::cell::Cell;

use proptest::prelude::*;

use super::{ADDRESS_REQUEST_LEN, Frame, NoMessage, asked_for, dissect, is_host, is_to_mac};
use crate::wire::address::widen_ipv4;
use crate::wire::vectors::{GRATUITOUS_ARP, NEIGHBOR_ADVERTISEMENT, V2_PASS, V3_IPV4, V3_IPV6};
use crate::wire::{ByteAccess, Family};

const TAG_5: [u8; 4] = [0x81, 0x00, 0xe0, 0x05];
const SERVICE_TAG_7: [u8; 4] = [0x88, 0xa8, 0x00, 0x07];
const PRIORITY_TAG: [u8; 4] = [0x81, 0x00, 0xe0, 0x00];

fn tagged(frame: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
    [&frame[..12], tags.concat().as_slice(), &frame[12..]].concat()
}

/// With `words` words of no-operation options.
fn with_options(frame: &[u8], words: u8) -> Vec<u8> {
    let mut bytes = [&frame[..34], vec![1; usize::from(words) * 4].as_slice(), &frame[34..]].concat();
    bytes[14] += words;
    bytes[17] += words * 4;
    bytes
}

#[test]
fn ipv4() {
    let frame = dissect(V2_PASS.as_slice(), 0).unwrap();
    assert_eq!(
        frame,
        Frame {
            family: Family::V4,
            ttl: 255,
            vlan: 0,
            version_ihl: 0x45,
            source: widen_ipv4([10, 0, 9, 1]),
            destination: widen_ipv4([224, 0, 0, 18]),
            ip: 14,
            at: 34,
            length: 24,
            prefix: 0,
            vrid: 51,
        }
    );
    assert!(frame.is_to_group() && !frame.is_to_host() && frame.is_from_host());
}

#[test]
fn ipv6() {
    let frame = dissect(V3_IPV6.as_slice(), 0).unwrap();
    assert_eq!((frame.family, frame.ttl, frame.at, frame.length), (Family::V6, 255, 54, 40));
    assert_eq!((frame.vrid, frame.vlan), (53, 0));
    assert_eq!(frame.source, [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 1]);
    assert!(frame.is_to_group() && !frame.is_to_host() && frame.is_from_host());
}

/// VLAN tags are not part of the message (P28).
#[test]
fn tags() {
    for (tags, stripped, vlan) in [
        (vec![TAG_5], 0, 5),
        (vec![SERVICE_TAG_7], 0, 7),
        (vec![SERVICE_TAG_7, TAG_5], 0, 5),
        (vec![TAG_5, TAG_5], 0, 5),
        (vec![PRIORITY_TAG], 0, 0),
        (vec![SERVICE_TAG_7, PRIORITY_TAG], 0, 7),
        (vec![PRIORITY_TAG, TAG_5], 0, 5),
        (vec![], 7, 7),
        (vec![TAG_5], 7, 5),
        (vec![PRIORITY_TAG], 7, 7),
    ] {
        for bytes in [V2_PASS.as_slice(), V3_IPV6.as_slice()] {
            let plain = dissect(bytes, 0).unwrap();
            let frame = dissect(tagged(bytes, &tags).as_slice(), stripped).unwrap();
            let (ip, at) = (plain.ip + 4 * tags.len(), plain.at + 4 * tags.len());
            assert_eq!(frame, Frame { vlan, ip, at, ..plain }, "{tags:x?} after {stripped}");
        }
    }
}

#[test]
fn too_many_tags() {
    let bytes = tagged(&V2_PASS, &[SERVICE_TAG_7, TAG_5, TAG_5]);
    assert_eq!(dissect(bytes.as_slice(), 0), Err(NoMessage::Other));
    assert_eq!(dissect(&tagged(&V2_PASS, &[TAG_5, TAG_5])[..], 7), Err(NoMessage::Other));
    for count in 3..6 {
        for bytes in [V2_PASS.as_slice(), V3_IPV6.as_slice(), GRATUITOUS_ARP.as_slice()] {
            let nested = tagged(bytes, &vec![PRIORITY_TAG; count]);
            assert_eq!(dissect(nested.as_slice(), 0), Err(NoMessage::Nested), "{count} tags");
        }
    }
}

/// IP options are not part of the message (P28).
#[test]
fn options() {
    for words in 0..=10 {
        let frame = dissect(with_options(&V2_PASS, words).as_slice(), 0).unwrap();
        assert_eq!((frame.at, frame.length), (34 + usize::from(words) * 4, 24), "IHL {}", 5 + words);
        assert_eq!((frame.vrid, frame.ip_len()), (51, frame.at - frame.ip));
    }
}

/// The dissector passes wrong IP headers: the receive checks refuse them later, and count them for the instance.
#[test]
fn headers_of_no_kind() {
    for (bytes, first, is_header) in [
        (V2_PASS.as_slice(), 0x45, true),
        (V2_PASS.as_slice(), 0x44, false),
        (V2_PASS.as_slice(), 0x40, false),
        (V2_PASS.as_slice(), 0x65, false),
        (V3_IPV6.as_slice(), 0x60, true),
        (V3_IPV6.as_slice(), 0x45, false),
        (V3_IPV6.as_slice(), 0x50, false),
    ] {
        let mut changed = bytes.to_vec();
        changed[14] = first;
        let (frame, right) = (dissect(changed.as_slice(), 0).unwrap(), dissect(bytes, 0).unwrap());
        assert_eq!((frame.has_ip_header(), frame.at, frame.vrid), (is_header, right.at, right.vrid));
    }
}

#[test]
fn what_the_link_layer_addresses_to_us() {
    let own = [2, 0, 0, 0, 0, 7];
    for (mac, is_ours) in [
        (own, true),
        ([2, 0, 0, 0, 0, 8], false),
        ([0, 0, 0x5e, 0, 1, 51], false),
        ([1, 0, 0x5e, 0, 0, 18], true),
        ([0x33, 0x33, 0, 0, 0, 0x12], true),
        ([0xff; 6], true),
        ([0; 6], false),
    ] {
        let mut bytes = V2_PASS;
        bytes[..6].copy_from_slice(&mac);
        assert_eq!(is_to_mac(bytes.as_slice(), |mac| mac == own), is_ours, "{mac:02x?}");
    }
    assert!(!is_to_mac(&V2_PASS[..5], |_| true));
}

/// Every group address is accepted, and of host addresses only those of this host.
#[test]
fn what_ip_addresses_to_us() {
    let own = widen_ipv4([192, 0, 2, 7]);
    let other = widen_ipv4([10, 0, 0, 7]);
    for (destination, is_ours) in [
        ([224, 0, 0, 18], true),
        ([239, 1, 2, 3], true),
        ([255, 255, 255, 255], true),
        ([192, 0, 2, 7], true),
        ([10, 0, 0, 7], true),
        ([10, 0, 0, 8], false),
        ([192, 0, 2, 255], false),
    ] {
        let destination = widen_ipv4(destination);
        let frame = Frame { destination, ..dissect(V2_PASS.as_slice(), 0).unwrap() };
        assert_eq!(frame.is_to_us(&own, || destination == other), is_ours, "{destination:?}");
    }
}

/// A fragment is not an advert (P27).
#[test]
fn fragments() {
    for (high, low) in [(0x20, 0x00), (0x00, 0x01), (0x1f, 0xff), (0x20, 0xb9)] {
        let mut bytes = V2_PASS;
        [bytes[20], bytes[21]] = [high, low];
        assert_eq!(dissect(bytes.as_slice(), 0), Err(NoMessage::Other), "{high:02x}{low:02x}");
    }
    let mut unfragmented = V2_PASS;
    unfragmented[20] = 0x40;
    assert!(dissect(unfragmented.as_slice(), 0).is_ok(), "don't fragment");
}

/// RFC 9568 §5.1.2.4: the next header is 112 (P08), with no fragment (P27) or other extension header before it:
/// hop-by-hop, routing, fragment, authentication, destination options.
#[test]
fn extension_headers() {
    for next_header in [0, 43, 44, 51, 60] {
        let mut bytes = V3_IPV6;
        bytes[20] = next_header;
        assert_eq!(dissect(bytes.as_slice(), 0), Err(NoMessage::Other), "{next_header}");
    }
}

/// Padding is not part of the message: the IP length decides (P28).
#[test]
fn padding() {
    let mut bytes = V3_IPV4.to_vec();
    bytes.resize(60, 0xa5);
    assert_eq!(dissect(bytes.as_slice(), 0), dissect(V3_IPV4.as_slice(), 0));
    // No message at all: the padding has no VRID.
    bytes[17] = 20;
    assert_eq!(dissect(bytes.as_slice(), 0), Err(NoMessage::Truncated));
    bytes[17] = 21;
    assert_eq!(dissect(bytes.as_slice(), 0), Err(NoMessage::Truncated));
    bytes[17] = 22;
    assert_eq!(dissect(bytes.as_slice(), 0).unwrap().length, 2);
    bytes[17] = 3;
    assert_eq!(dissect(bytes.as_slice(), 0), Err(NoMessage::Truncated));
}

/// RFC 9568 §7.1: the message is complete (R05).
#[test]
fn every_length() {
    for (bytes, protocol, vrid) in [(V2_PASS.as_slice(), 22..24, 35), (V3_IPV6.as_slice(), 20..22, 55)] {
        let whole = dissect(bytes, 0).unwrap();
        for length in 0..bytes.len() {
            let frame = dissect(&bytes[..length], 0);
            if length < protocol.end {
                assert_eq!(frame, Err(NoMessage::Other), "{length}");
            } else if length <= vrid {
                assert_eq!(frame, Err(NoMessage::Truncated), "{length}");
            } else {
                assert_eq!(frame, Ok(whole), "{length}");
            }
        }
    }
}

struct Reads<'a>(&'a [u8], Cell<usize>);

impl ByteAccess for Reads<'_> {
    fn get<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.1.set(self.1.get() + 1);
        ByteAccess::get(self.0, at)
    }
}

/// The bytes read of other traffic.
#[test]
fn others_leave_early() {
    let mut tcp = V2_PASS;
    tcp[23] = 6;
    let mut tcp6 = V3_IPV6;
    tcp6[20] = 6;
    for (bytes, reads, kind) in [
        (tcp.as_slice(), 2, NoMessage::Other),
        (tcp6.as_slice(), 2, NoMessage::Other),
        (NEIGHBOR_ADVERTISEMENT.as_slice(), 2, NoMessage::Neighbour),
        (GRATUITOUS_ARP.as_slice(), 1, NoMessage::Neighbour),
    ] {
        let octets = Reads(bytes, Cell::new(0));
        assert_eq!(dissect(&octets, 0), Err(kind));
        assert_eq!(octets.1.get(), reads);
    }
}

#[test]
fn address_requests() {
    let mut request = GRATUITOUS_ARP;
    assert_eq!(asked_for(request.as_slice(), 0), None, "an announcement");
    request[31] ^= 1;
    let mut solicitation = NEIGHBOR_ADVERTISEMENT;
    assert_eq!(asked_for(solicitation.as_slice(), 0), None, "an advertisement");
    solicitation[54] = 135;
    let target = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    for (bytes, length, asked) in [
        (request.as_slice(), 42, (Family::V4, widen_ipv4([10, 0, 9, 102]))),
        (solicitation.as_slice(), 78, (Family::V6, target)),
    ] {
        for tags in [vec![], vec![PRIORITY_TAG], vec![PRIORITY_TAG, PRIORITY_TAG]] {
            let tagged = tagged(bytes, &tags);
            assert_eq!(dissect(tagged.as_slice(), 0), Err(NoMessage::Neighbour));
            let length = length + 4 * tags.len();
            assert!(length <= ADDRESS_REQUEST_LEN);
            assert_eq!(asked_for(&tagged[..length], 0), Some(asked), "{tags:x?}");
            assert_eq!(asked_for(&tagged[..length - 1], 0), None, "{tags:x?}");
            assert_eq!(asked_for(&tagged[..length], 5), None, "{tags:x?}");
        }
        assert_eq!(asked_for(tagged(bytes, &[TAG_5]).as_slice(), 0), None);
    }
    request[21] = 2;
    assert_eq!(asked_for(request.as_slice(), 0), None, "a reply");
}

/// The source is a host (R17).
#[test]
fn hosts() {
    for (address, host) in [
        ([0, 0, 0, 0], false),
        ([127, 0, 0, 1], false),
        ([224, 0, 0, 18], false),
        ([239, 255, 255, 255], false),
        ([255, 255, 255, 255], false),
        ([10, 0, 0, 255], true),
        ([1, 0, 0, 0], true),
        ([223, 255, 255, 254], true),
    ] {
        assert_eq!(is_host(Family::V4, &widen_ipv4(address)), host, "{address:?}");
    }
    for (address, host) in [
        ("::", false),
        ("::1", false),
        ("ff02::12", false),
        ("::2", true),
        ("fe80::1", true),
        ("2001:db8::1", true),
    ] {
        let octets = address.parse::<core::net::Ipv6Addr>().unwrap().octets();
        assert_eq!(is_host(Family::V6, &octets), host, "{address}");
    }
}

proptest! {
    /// Any bytes: no panic, and a message lies behind its headers.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..120), stripped in 0u16..4096) {
        if let Ok(frame) = dissect(bytes.as_slice(), stripped) {
            prop_assert!((34..=102).contains(&frame.at) && frame.length >= 2 && frame.vlan < 4096);
            prop_assert_eq!(bytes[frame.at + 1], frame.vrid);
        }
    }

    /// The same for frames that are nearly valid.
    #[test]
    fn any_change(
        at in 0usize..V3_IPV6.len(),
        value in any::<u8>(),
        which in 0usize..3,
        length in 0usize..=V3_IPV6.len(),
    ) {
        let mut bytes = [V2_PASS.as_slice(), V3_IPV4.as_slice(), V3_IPV6.as_slice()][which].to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        bytes.truncate(length);
        if let Ok(frame) = dissect(bytes.as_slice(), 0) {
            prop_assert_eq!(bytes[frame.at + 1], frame.vrid);
        }
    }
}
