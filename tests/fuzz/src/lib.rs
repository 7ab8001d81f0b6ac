//! Invariants of any bytes. Each function panics if one is broken.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vrrp_ebpf::map::{InstanceRules, PAYLOAD_MAX};
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::advert::{
    Advert, AdvertRepr, Auth, Dialect, Illegal, fill_checksum, judge, judge_envelope, judge_length,
    judge_message,
};
use vrrp_ebpf::wire::arp::{self, ArpRepr};
use vrrp_ebpf::wire::ethernet::{self, EthernetRepr};
use vrrp_ebpf::wire::frame::{self, Frame};
use vrrp_ebpf::wire::ipv4::{self, Ipv4Repr};
use vrrp_ebpf::wire::ipv6::{self, Ipv6Repr};
use vrrp_ebpf::wire::ndisc::{self, AnnouncementRepr};
use vrrp_ebpf::wire::vrrp::Header;
use vrrp_ebpf::wire::{ChecksumForm, Family, PROTOCOL, Reject, TRAILER_LEN, checksum};

const PASSWORD: [u8; 8] = *b"s3cret\0\0";

/// A frame, received by instances of every kind.
pub fn dissect(bytes: &[u8]) {
    for stripped in [0, 5] {
        if let Ok(frame) = frame::dissect(bytes, stripped) {
            assert!((34..=102).contains(&frame.at) && frame.length >= 2 && frame.vlan < 4096);
            assert_eq!(bytes[frame.at + 1], frame.vrid);
            for slot in slots() {
                judge_one(bytes, &frame, &slot);
            }
        }
    }
}

fn slots() -> impl Iterator<Item = InstanceRules> {
    let v3 = InstanceRules { version: 3, ..InstanceRules::UNUSED };
    let v2 = InstanceRules { version: 2, ..InstanceRules::UNUSED };
    let pass = InstanceRules { auth_type: 1, auth_data: PASSWORD, ..v2 };
    let signed = [v3, v2].into_iter().flat_map(|slot| {
        [InstanceRules::SIGNED, InstanceRules::MAYBE_SIGNED].map(|trailer| InstanceRules { trailer, ..slot })
    });
    [v3, v2, pass].into_iter().chain(signed).flat_map(|slot| [slot, InstanceRules { unicast: 1, ..slot }])
}

fn judge_one(bytes: &[u8], frame: &Frame, slot: &InstanceRules) {
    let message = bytes.get(frame.at..).and_then(|rest| rest.get(..frame.length));
    let mut asked = 0;
    let judged = judge(bytes, frame, slot, |length| {
        asked += 1;
        message.and_then(|message| message.get(..length)).map(checksum::sum)
    });
    assert!(asked <= 1);
    match (judged, message) {
        (Err(reject), None) => {
            assert!(matches!(reject, Reject::IpHeader | Reject::IpChecksum | Reject::Truncated));
        }
        (Err(_), Some(_)) => {}
        (Ok(_), None) => panic!("valid, but not there"),
        (Ok((info, form)), Some(message)) => {
            assert!(message.len() <= PAYLOAD_MAX && message.len().is_multiple_of(4));
            assert!(frame.has_ip_header() && frame.at >= frame.ip + frame.ip_len());
            assert!(slot.unicast == 1 || frame.ttl == 255);
            assert!(frame.source != slot.source && frame.is_from_host());
            let header = Header(*message.first_chunk().expect("a header"));
            let body = message.get(..header.message_len(frame.family)).expect("as long as it says");
            let extra = message.len() - body.len();
            assert!(
                extra == 0 && slot.trailer != InstanceRules::SIGNED
                    || extra == TRAILER_LEN && slot.trailer != InstanceRules::UNSIGNED
            );
            let summed = if frame.family == Family::V4 { body } else { message };
            let pseudo = match form {
                ChecksumForm::Plain => 0,
                ChecksumForm::Pseudo => {
                    let length = u16::try_from(summed.len()).expect("an IP length");
                    checksum::pseudo(PROTOCOL, &frame.source, &frame.destination, length)
                }
            };
            assert!(checksum::is_right(checksum::sum(summed) + pseudo));
            let advert = Advert::parse(body, frame.family).expect("what is valid can be read");
            assert_eq!(advert.vrid(), frame.vrid);
            assert_eq!((advert.version(), advert.priority()), (slot.version, info.priority));
            assert_eq!(advert.addresses().count(), usize::from(info.address_count));
            assert!(advert.interval() == info.interval && info.interval != 0);
        }
    }
}

/// A message of any kind, or a frame with one.
pub fn parse(bytes: &[u8]) {
    for family in [Family::V4, Family::V6] {
        if let Ok(advert) = Advert::parse(bytes, family) {
            let addresses: Vec<_> = advert.addresses().collect();
            assert_eq!(addresses.len(), usize::from(advert.address_count()));
            assert!(addresses.iter().all(|address| Family::of(*address) == family));
            assert!(!advert.to_string().is_empty());
            if let Some(repr) = advert.to_repr(&addresses) {
                let mut buffer = vec![0xa5; repr.buffer_len()];
                let message = repr.emit(&mut buffer).expect("the buffer is as long as asked for");
                assert_eq!(message.len(), bytes.len());
                assert_eq!(Advert::parse(message, family).expect("ours").to_repr(&addresses), Some(repr));
            }
        }
    }
    if let Some((_, arp)) = ArpRepr::parse_frame(bytes) {
        let mut buffer = [0xa5; arp::PACKET_LEN];
        arp.emit(&mut buffer).expect("it fits");
        assert_eq!(&bytes[ethernet::HEADER_LEN..][..arp::PACKET_LEN], buffer);
    }
    if let Some(announcement) = AnnouncementRepr::parse_frame(bytes) {
        let mut buffer = [0xa5; ndisc::FRAME_LEN];
        announcement.emit_frame(&mut buffer).expect("it fits");
        assert_eq!(AnnouncementRepr::parse_frame(&buffer), Some(announcement));
    }
    if let Some(target) = ndisc::solicited(bytes, ethernet::HEADER_LEN) {
        assert_eq!(bytes[ethernet::HEADER_LEN + ipv6::HEADER_LEN + 8..][..16], target);
    }
    if let Some(repr) = EthernetRepr::parse(bytes) {
        let mut buffer = [0xa5; ethernet::HEADER_LEN];
        repr.emit(&mut buffer).expect("it fits");
        assert_eq!(bytes[..ethernet::HEADER_LEN], buffer);
    }
    if let Some(repr) = Ipv4Repr::parse(bytes) {
        let mut buffer = [0xa5; ipv4::HEADER_LEN];
        repr.emit(&mut buffer).expect("it fits");
        assert_eq!(Ipv4Repr::parse(buffer.as_slice()), Some(repr));
    }
    if let Some(repr) = Ipv6Repr::parse(bytes) {
        let mut buffer = [0xa5; ipv6::HEADER_LEN];
        repr.emit(&mut buffer).expect("it fits");
        assert_eq!(Ipv6Repr::parse(buffer.as_slice()), Some(repr));
    }
}

/// An advert from these fields: flags (1 version 2, 2 IPv6, 4 plain checksum, 8 password), VRID, priority, interval
/// (2 bytes), password (8 bytes), addresses.
pub fn roundtrip(bytes: &[u8]) {
    let Some((&[flags, vrid, priority, high, low], rest)) = bytes.split_first_chunk::<5>() else { return };
    let Some((password, rest)) = rest.split_first_chunk::<8>() else { return };
    let auth = if flags & 8 == 0 { Auth::None } else { Auth::Pass(*password) };
    let family = if flags & 2 == 0 { Family::V4 } else { Family::V6 };
    let dialect = match flags & 1 {
        1 => Dialect::V2 { seconds: low, auth },
        _ => Dialect::V3 { family, centiseconds: u16::from_be_bytes([high, low]) },
    };
    let addresses = addresses(family, rest);
    let form = if flags & 4 == 0 { ChecksumForm::Pseudo } else { ChecksumForm::Plain };
    match AdvertRepr::new(vrid, priority, dialect, &addresses) {
        Ok(repr) => roundtrip_one(&repr, form),
        Err(Illegal::Vrid) => assert_eq!(vrid, 0),
        Err(Illegal::Interval) => assert!([high, low] > [0x0f, 0xff] || low == 0),
        Err(Illegal::AddressCount) => assert!(addresses.len() > 255),
        Err(Illegal::AddressFamily) => assert_ne!(dialect.family(), family),
    }
}

fn addresses(family: Family, bytes: &[u8]) -> Vec<IpAddr> {
    match family {
        Family::V4 => bytes.as_chunks::<4>().0.iter().map(|bytes| Ipv4Addr::from(*bytes).into()).collect(),
        Family::V6 => bytes.as_chunks::<16>().0.iter().map(|bytes| Ipv6Addr::from(*bytes).into()).collect(),
    }
}

fn roundtrip_one(repr: &AdvertRepr<'_>, form: ChecksumForm) {
    let dialect = repr.dialect();
    let (source, destination): (IpAddr, IpAddr) = match dialect.family() {
        Family::V4 => (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::from(ipv4::GROUP).into()),
        Family::V6 => (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(), Ipv6Addr::from(ipv6::GROUP).into()),
    };
    let mut buffer = vec![0xa5; repr.buffer_len()];
    let message = repr.emit(&mut buffer).expect("the buffer is as long as asked for");
    fill_checksum(message, form, source, destination);
    let frame = Frame {
        family: dialect.family(),
        ttl: 255,
        vlan: 0,
        version_ihl: if matches!(dialect.family(), Family::V4) { 0x45 } else { 0x60 },
        source: widen(source),
        destination: widen(destination),
        ip: 0,
        at: 0,
        length: message.len(),
        prefix: 0,
        vrid: repr.vrid(),
    };
    let slot = match dialect {
        Dialect::V2 { auth, .. } => {
            let (auth_type, auth_data) = auth.encode();
            InstanceRules { version: 2, auth_type, auth_data, ..InstanceRules::UNUSED }
        }
        Dialect::V3 { .. } => InstanceRules { version: 3, ..InstanceRules::UNUSED },
    };
    let slot = InstanceRules { no_addresses: u8::from(repr.addresses().is_empty()), ..slot };
    // No IP header precedes it.
    let judged = judge_length(&*message, &frame)
        .and_then(|()| judge_envelope(&frame, &slot))
        .and_then(|()| judge_message(&*message, &frame, &slot, |_| Some(checksum::sum(message))));
    if message.len() > PAYLOAD_MAX {
        assert_eq!(judged, Err(Reject::TooLong));
        return;
    }
    let (info, _) = judged.expect("what we write is valid");
    assert_eq!((info.vrid, info.priority), (repr.vrid(), repr.priority()));
    let advert = Advert::parse(message, dialect.family()).expect("what is valid can be read");
    let addresses: Vec<_> = advert.addresses().collect();
    assert_eq!(addresses, repr.addresses());
    assert_eq!(advert.to_repr(&addresses), Some(*repr));
}
