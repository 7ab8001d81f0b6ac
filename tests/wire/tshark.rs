//! Our frames read by Wireshark's dissectors, an independent implementation of the same RFCs.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

use serde_json::Value;
use vrrp_ebpf::wire::advert::{AdvertRepr, Auth, Dialect};
use vrrp_ebpf::wire::arp::{self, ArpRepr};
use vrrp_ebpf::wire::ethernet::Mac;
use vrrp_ebpf::wire::ndisc::{self, AnnouncementRepr};
use vrrp_ebpf::wire::{ChecksumForm, Family};
use vrrp_tests::needs;
use vrrp_tests::packet::{Frame, V2, V2_PASS, V3_IPV4, V3_IPV6, addresses, advert};
use vrrp_tests::process::Directory;

/// Wireshark's value for a correct checksum.
const GOOD: &str = "1";
const BAD: &str = "0";

/// P03, P04, P06, P08, P17, P20, V02, V06.
#[test]
#[needs("tshark")]
fn adverts() {
    let rows = [(V2, 1), (V2, 20), (V2, 255), (V2_PASS, 1), (V2_PASS, 255)];
    let rows = rows.into_iter().chain([(V3_IPV4, 1), (V3_IPV4, 20), (V3_IPV4, 255)]);
    let rows: Vec<_> = rows.chain([(V3_IPV6, 1), (V3_IPV6, 20), (V3_IPV6, 90)]).collect();
    let frames: Vec<_> = rows.iter().map(|(dialect, count)| advert(*dialect, *count).build()).collect();
    let read = dissect(&frames, &[]);
    for ((dialect, count), packet) in rows.iter().zip(&read) {
        expect(packet, *dialect, 51, 100, &addresses(dialect.family(), *count));
    }
}

/// P11, P12, P14, P18: the ends of every range.
#[test]
#[needs("tshark")]
fn ends_of_ranges() {
    let slow = Dialect::V3 { family: Family::V4, centiseconds: 4095 };
    let fast = Dialect::V3 { family: Family::V6, centiseconds: 1 };
    let slow_v2 = Dialect::V2 { seconds: 255, auth: Auth::Pass(*b"8letters") };
    let rows = [(slow, 1, 0), (slow, 255, 255), (fast, 255, 254), (fast, 1, 1), (slow_v2, 1, 0)];
    let frames = rows.map(|(dialect, vrid, priority)| {
        let addresses = addresses(dialect.family(), 2);
        let repr = AdvertRepr::new(vrid, priority, dialect, &addresses).unwrap();
        Frame::to_group(dialect.family()).advert(&repr).build()
    });
    let read = dissect(&frames, &[]);
    for ((dialect, vrid, priority), packet) in rows.into_iter().zip(&read) {
        expect(packet, dialect, vrid, priority, &addresses(dialect.family(), 2));
    }
}

/// P19, P21: each form is correct for receivers that expect it, and wrong for the others.
#[test]
#[needs("tshark")]
fn checksum_forms() {
    let frames = [
        advert(V3_IPV4, 3).checksum(ChecksumForm::Pseudo).build(),
        advert(V3_IPV4, 3).checksum(ChecksumForm::Plain).build(),
        advert(V3_IPV4, 3).wrong_checksum().build(),
        advert(V2, 3).wrong_checksum().build(),
        advert(V3_IPV6, 3).wrong_checksum().build(),
    ];
    let status = |packets: &[Packet]| -> Vec<String> {
        packets.iter().map(|packet| packet.one("vrrp.checksum.status")).collect()
    };
    let pseudo = dissect(&frames, &["-o", "vrrp.v3_checksum_as_in_v2:FALSE"]);
    assert_eq!(status(&pseudo), [GOOD, BAD, BAD, BAD, BAD]);
    let plain = dissect(&frames, &["-o", "vrrp.v3_checksum_as_in_v2:TRUE"]);
    assert_eq!(status(&plain[..3]), [BAD, GOOD, BAD]);
}

/// P28.
#[test]
#[needs("tshark")]
fn tags_and_options() {
    let frames = [
        advert(V3_IPV4, 1).vlan(5).build(),
        advert(V3_IPV6, 1).tag(0x88a8, 7).vlan(5).build(),
        advert(V2_PASS, 1).options(10).padded().build(),
    ];
    let read = dissect(&frames, &[]);
    assert_eq!(read[0].all("vlan.id"), ["5"]);
    assert_eq!((read[1].one("ieee8021ad.id"), read[1].one("vlan.id")), ("7".to_owned(), "5".to_owned()));
    for (packet, dialect) in read.iter().zip([V3_IPV4, V3_IPV6, V2_PASS]) {
        expect(packet, dialect, 51, 100, &addresses(dialect.family(), 1));
    }
}

/// L19.
#[test]
#[needs("tshark")]
fn gratuitous_arp() {
    let mut frame = vec![0xa5; arp::FRAME_LEN];
    let mac = Mac::of_instance(Family::V4, 51);
    ArpRepr::announcement(mac, Ipv4Addr::new(192, 0, 2, 100)).emit_frame(&mut frame).unwrap();
    let read = dissect(&[frame], &[]);
    let packet = &read[0];
    assert_eq!((packet.one("eth.dst"), packet.one("eth.src")), (Mac::BROADCAST.to_string(), mac.to_string()));
    assert_eq!((packet.one("arp.opcode"), packet.one("arp.isgratuitous")), ("1".to_owned(), "1".to_owned()));
    assert_eq!(
        (packet.one("arp.src.hw_mac"), packet.one("arp.src.proto_ipv4")),
        (mac.to_string(), "192.0.2.100".to_owned())
    );
    assert_eq!(packet.one("arp.dst.hw_mac"), Mac::BROADCAST.to_string());
    assert_eq!(packet.one("arp.dst.proto_ipv4"), "192.0.2.100");
}

/// L18.
#[test]
#[needs("tshark")]
fn neighbor_advertisement() {
    let (source, target) =
        (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    let mac = Mac::of_instance(Family::V6, 51);
    let frames = [true, false].map(|router| {
        let mut frame = vec![0xa5; ndisc::FRAME_LEN];
        AnnouncementRepr { mac, source, target, router }.emit_frame(&mut frame).unwrap();
        frame
    });
    for (packet, router) in dissect(&frames, &[]).iter().zip(["1", "0"]) {
        assert_eq!(
            (packet.one("eth.dst"), packet.one("eth.src")),
            ("33:33:00:00:00:01".to_owned(), mac.to_string())
        );
        assert_eq!(
            (packet.one("ipv6.src"), packet.one("ipv6.dst")),
            (source.to_string(), "ff02::1".to_owned())
        );
        assert_eq!(packet.one("ipv6.hlim"), "255");
        assert_eq!(
            (packet.one("icmpv6.type"), packet.one("icmpv6.checksum.status")),
            ("136".to_owned(), GOOD.to_owned())
        );
        let flags = ["icmpv6.nd.na.flag.r", "icmpv6.nd.na.flag.s", "icmpv6.nd.na.flag.o"]
            .map(|flag| packet.one(flag));
        assert_eq!(flags, [router, "0", "1"]);
        assert_eq!(packet.one("icmpv6.nd.na.target_address"), target.to_string());
        assert_eq!(
            (packet.one("icmpv6.opt.type"), packet.one("icmpv6.opt.linkaddr")),
            ("2".to_owned(), mac.to_string())
        );
    }
}

/// Every field of the message, and the headers before it.
fn expect(packet: &Packet, dialect: Dialect, vrid: u8, priority: u8, addresses: &[IpAddr]) {
    assert_eq!(packet.one("vrrp.version"), dialect.version().to_string());
    assert_eq!(packet.one("vrrp.type"), "1");
    assert_eq!(packet.one("vrrp.virt_rtr_id"), vrid.to_string());
    assert_eq!(packet.one("vrrp.prio"), priority.to_string());
    assert_eq!(packet.one("vrrp.addr_count"), addresses.len().to_string());
    assert_eq!(packet.one("vrrp.checksum.status"), GOOD, "{dialect:?}");
    let field = match dialect.family() {
        Family::V4 => "vrrp.ip_addr",
        Family::V6 => "vrrp.ipv6_addr",
    };
    let written: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    assert_eq!(packet.all(field), written);
    match dialect {
        Dialect::V2 { seconds, auth } => {
            let (auth_type, auth_data) = auth.encode();
            assert_eq!(packet.one("vrrp.adver_int"), seconds.to_string());
            assert_eq!(packet.one("vrrp.auth_type"), auth_type.to_string());
            let password = String::from_utf8(auth_data.to_vec()).unwrap();
            if auth != Auth::None {
                assert_eq!(packet.one("vrrp.auth_string"), password.trim_end_matches('\0'));
            }
        }
        Dialect::V3 { centiseconds, .. } => {
            assert_eq!(packet.one("vrrp.short_adver_int"), centiseconds.to_string());
            assert_eq!(packet.one("vrrp.reserved_mbz"), "0");
        }
    }
    match dialect.family() {
        Family::V4 => {
            assert_eq!((packet.one("ip.ttl"), packet.one("ip.proto")), ("255".to_owned(), "112".to_owned()));
            assert_eq!(
                (packet.one("ip.dst"), packet.one("eth.dst")),
                ("224.0.0.18".to_owned(), "01:00:5e:00:00:12".to_owned())
            );
            assert_eq!(packet.one("ip.checksum.status"), GOOD);
        }
        Family::V6 => {
            assert_eq!(
                (packet.one("ipv6.hlim"), packet.one("ipv6.nxt")),
                ("255".to_owned(), "112".to_owned())
            );
            assert_eq!(
                (packet.one("ipv6.dst"), packet.one("eth.dst")),
                ("ff02::12".to_owned(), "33:33:00:00:00:12".to_owned())
            );
        }
    }
}

/// One frame in tshark's form: layers of fields, each with a list of values.
struct Packet(Value);

impl Packet {
    /// Values of a field wherever it occurs, in the order of the frame.
    fn all(&self, field: &str) -> Vec<String> {
        let mut values = Vec::new();
        collect(&self.0, field, &mut values);
        values
    }

    fn one(&self, field: &str) -> String {
        let values = self.all(field);
        assert_eq!(values.len(), 1, "{field} in {:#}", self.0);
        values.concat()
    }
}

fn collect(value: &Value, field: &str, values: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == field => values.push(text.clone()),
                    Value::Array(texts) if name == field => {
                        values.extend(texts.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    _ => collect(value, field, values),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, field, values)),
        _ => {}
    }
}

/// Dissects the frames by tshark. None of them may be malformed or incomplete.
fn dissect(frames: &[Vec<u8>], options: &[&str]) -> Vec<Packet> {
    let directory = Directory::new().unwrap();
    let capture = directory.path().join("frames.pcap");
    fs::write(&capture, pcap(frames)).unwrap();
    let output = Command::new("tshark")
        .args(["-n", "-T", "json", "--no-duplicate-keys", "-o", "ip.check_checksum:TRUE"])
        .args(options)
        .arg("-r")
        .arg(&capture)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let Value::Array(packets) = serde_json::from_slice(&output.stdout).unwrap() else {
        panic!("tshark prints one array");
    };
    assert_eq!(packets.len(), frames.len());
    for packet in &packets {
        assert!(!packet.to_string().contains("_ws.malformed"), "{packet:#}");
    }
    packets.into_iter().map(Packet).collect()
}

/// A file in the old pcap format.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    const ETHERNET: u32 = 1;
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_ne_bytes());
    file.extend([2_u16, 4].into_iter().flat_map(u16::to_ne_bytes));
    file.extend([0_u32, 0, 0x4_0000, ETHERNET].into_iter().flat_map(u32::to_ne_bytes));
    for frame in frames {
        let length = u32::try_from(frame.len()).unwrap();
        file.extend([0, 0, length, length].into_iter().flat_map(u32::to_ne_bytes));
        file.extend(frame);
    }
    file
}
