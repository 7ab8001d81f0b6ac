//! Fuzz targets on every compiler: the seeds, and each seed truncated and changed slightly.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzzer's package calls them from outside")]
#[expect(clippy::panic, clippy::expect_used, reason = "that is how a target fails")]
mod targets;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use vrrp_ebpf::wire::arp::{self, ArpRepr};
use vrrp_ebpf::wire::ethernet::Mac;
use vrrp_ebpf::wire::ndisc::{self, AnnouncementRepr};
use vrrp_ebpf::wire::{ChecksumForm, Family};
use vrrp_tests::packet::{Frame, V2, V2_PASS, V3_IPV4, V3_IPV6, advert};

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 3] =
    [("dissect", targets::dissect), ("parse", targets::parse), ("roundtrip", targets::roundtrip)];

#[test]
fn replay() {
    for (name, target) in TARGETS {
        let seeds = read(name);
        assert!(seeds.len() >= 8, "{name} has seeds");
        for (path, bytes) in seeds {
            // Prints the file's name if the target fails.
            eprintln!("{}", path.display());
            target(&bytes);
        }
    }
}

/// A few of a fuzzer's mutations.
#[test]
fn replay_changed() {
    for (_, target) in TARGETS {
        for (_, bytes) in TARGETS.iter().flat_map(|(name, _)| read(name)) {
            for at in 0..bytes.len().min(128) {
                target(&bytes[..at]);
                for change in [0x01, 0x0f, 0x80, 0xff] {
                    let mut changed = bytes.clone();
                    changed[at] ^= change;
                    target(&changed);
                }
            }
        }
    }
}

/// The files contain what this table says; `WRITE_SEEDS=1` writes them.
#[test]
fn written() {
    for (target, name, bytes) in table() {
        let path = folder(target).join(name);
        if std::env::var_os("WRITE_SEEDS").is_some() {
            fs::create_dir_all(folder(target)).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(fs::read(&path).ok(), Some(bytes), "{}", path.display());
    }
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target)
}

fn read(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder(target)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn table() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let other: std::net::IpAddr = Ipv4Addr::new(192, 0, 2, 9).into();
    let frames = [
        ("v2", advert(V2, 3).padded()),
        ("v2-pass", advert(V2_PASS, 3)),
        ("v3-ipv4", advert(V3_IPV4, 1).padded()),
        ("v3-ipv4-plain", advert(V3_IPV4, 2).checksum(ChecksumForm::Plain)),
        ("v3-ipv4-255-addresses", advert(V3_IPV4, 255)),
        ("v3-ipv6", advert(V3_IPV6, 2)),
        ("v3-ipv6-255-promised", advert(V3_IPV6, 1).byte(3, 255)),
        ("v3-unicast", advert(V3_IPV4, 1).destination(other).ttl(64)),
        ("one-tag", advert(V3_IPV4, 1).vlan(5)),
        ("two-tags", advert(V3_IPV6, 1).tag(0x88a8, 7).vlan(5)),
        ("three-tags", advert(V3_IPV4, 1).vlan(5).vlan(6).vlan(7)),
        ("options", advert(V2_PASS, 1).options(10)),
        ("fragment", advert(V3_IPV4, 1).fragment(0x2000)),
        ("extension-header", advert(V3_IPV6, 1).extension(60)),
        ("ttl", advert(V3_IPV4, 1).ttl(64)),
        ("wrong-checksum", advert(V3_IPV4, 1).wrong_checksum()),
        ("count-zero", advert(V3_IPV4, 1).byte(3, 0)),
        ("interval-zero", advert(V3_IPV4, 1).byte(5, 0)),
        ("v3-with-v2-authentication", advert(V3_IPV4, 1).trailer(b"s3cret\0\0")),
        ("no-message", Frame::to_group(Family::V4).payload([])),
        ("cut", advert(V3_IPV4, 1).cut(40)),
        ("carp", Frame::to_group(Family::V4).payload(carp())),
        ("tcp", Frame::new(other, Ipv4Addr::new(192, 0, 2, 1).into()).protocol(6).payload([0; 20])),
    ];
    let dissect = frames.into_iter().map(|(name, frame)| ("dissect", name, frame.build()));
    let messages = [
        ("v2", message(&advert(V2, 3))),
        ("v2-pass", message(&advert(V2_PASS, 1))),
        ("v3-ipv4", message(&advert(V3_IPV4, 3))),
        ("v3-ipv6", advert(V3_IPV6, 3).build()[54..].to_vec()),
        ("carp", carp().to_vec()),
        ("ipv4", advert(V3_IPV4, 1).build()[14..].to_vec()),
        ("ipv6", advert(V3_IPV6, 1).build()[14..].to_vec()),
        ("gratuitous-arp", gratuitous_arp()),
        ("neighbor-advertisement", neighbor_advertisement()),
        ("neighbor-solicitation", neighbor_solicitation()),
    ];
    let parse = messages.map(|(name, bytes)| ("parse", name, bytes));
    // Flags, VRID, priority, interval, password, addresses; see the target.
    let made = [
        ("v2", [&[1, 51, 100, 0, 1][..], &[0; 8], &[192, 0, 2, 1, 192, 0, 2, 2]].concat()),
        ("v2-pass", [&[9, 51, 100, 0, 1][..], b"s3cret\0\0", &[192, 0, 2, 1]].concat()),
        ("v2-slow", [&[1, 255, 255, 0, 255][..], &[0; 8], &[192, 0, 2, 1]].concat()),
        ("v3-ipv4", [&[0, 51, 100, 0, 100][..], &[0; 8], &[192, 0, 2, 1]].concat()),
        ("v3-ipv4-plain", [&[4, 1, 0, 0x0f, 0xff][..], &[0; 8], &[192, 0, 2, 1]].concat()),
        ("v3-ipv6", [&[2, 51, 254, 0, 1][..], &[0; 8], &[0xfe; 32]].concat()),
        ("v3-ipv6-too-long", [&[2, 51, 254, 0, 1][..], &[0; 8], &[0xfe; 16 * 93]].concat()),
        ("v2-ipv6", [&[3, 51, 254, 0, 1][..], &[0; 8], &[0xfe; 16]].concat()),
        ("no-vrid", [&[0, 0, 100, 0, 100][..], &[0; 8], &[192, 0, 2, 1]].concat()),
        ("no-interval", [&[0, 51, 100, 0, 0][..], &[0; 8], &[192, 0, 2, 1]].concat()),
        ("no-address", [&[0, 51, 100, 0, 100][..], &[0; 8]].concat()),
    ];
    let roundtrip = made.map(|(name, bytes)| ("roundtrip", name, bytes));
    dissect.chain(parse).chain(roundtrip).collect()
}

fn message(frame: &Frame) -> Vec<u8> {
    frame.build()[34..].to_vec()
}

/// vhid 5, advskew 100.
fn carp() -> [u8; 36] {
    let mut bytes = [0x5a; 36];
    bytes[..8].copy_from_slice(&[0x21, 5, 100, 7, 0, 1, 0x12, 0x34]);
    bytes
}

fn gratuitous_arp() -> Vec<u8> {
    let mut frame = vec![0; arp::FRAME_LEN];
    let repr = ArpRepr::announcement(Mac::of_instance(Family::V4, 51), Ipv4Addr::new(192, 0, 2, 100));
    repr.emit_frame(&mut frame).unwrap();
    frame
}

fn neighbor_advertisement() -> Vec<u8> {
    let mut frame = vec![0; ndisc::FRAME_LEN];
    let (mac, source) = (Mac::of_instance(Family::V6, 51), "fe80::1".parse().unwrap());
    let repr = AnnouncementRepr { mac, source, target: "2001:db8::100".parse().unwrap(), router: true };
    repr.emit_frame(&mut frame).unwrap();
    frame
}

/// Like an advertisement, except for the type.
fn neighbor_solicitation() -> Vec<u8> {
    let mut frame = neighbor_advertisement();
    frame[54] = 135;
    frame
}
