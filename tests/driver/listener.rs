//! The receive path by socket.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use nix::net::if_::if_nametoindex;
use vrrp_ebpf::wire::advert::Dialect;
use vrrp_ebpf::wire::{Family, ethernet, ipv4, ipv6};
use vrrp_tests::clock::elapse;
use vrrp_tests::needs;
use vrrp_tests::netns::Namespace;
use vrrp_tests::packet::{Frame, advert};
use vrrp_tests::tun::device;
use vrrp_user::driver::clock;
use vrrp_user::driver::socket::{AdvertSender, Listener, Membership, Memberships, Outgoing};
use vrrp_user::driver::xdp::Card;
use vrrp_user::protocol::{InstanceId, Priority};

use crate::cable::{Cable, PATIENCE, SILENCE, Tap, ifindex, inject, readable, settings};

/// An Ethernet frame with an IPv4 packet of this protocol, tagged with VLAN 7 if `tagged`.
fn frame(protocol: u8, tagged: bool) -> Vec<u8> {
    let mut frame = vec![0x01, 0, 0x5e, 0, 0, 0x12, 2, 0, 0, 0, 0, 1];
    if tagged {
        frame.extend([0x81, 0, 0, 7]);
    }
    frame.extend([0x08, 0x00, 0x45, 0xc0, 0, 32, 0, 0, 0, 0, 255, protocol, 0, 0]);
    frame.extend([192, 0, 2, 1, 224, 0, 0, 18, 0x31, 51, 100, 1, 0, 100, 0, 0, 192, 0, 2, 100]);
    frame.resize(60, 0);
    frame
}

#[test]
#[needs("root", "ip")]
fn adverts_have_their_arrival_time() {
    let cable = Cable::new();
    cable.left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
    let mut listener = cable.right.enter(|| Ok(Listener::open(ifindex()?)?)).unwrap();
    let send = || {
        let mut sender = AdvertSender::new()?;
        let v4 = Outgoing::new(&settings(&["192.0.2.100"]), ifindex()?, [192, 0, 2, 1].into())?;
        let v6 = Outgoing::new(&settings(&["fe80::100"]), ifindex()?, "fe80::ff:fe00:1".parse()?)?;
        sender.queue(&v4, InstanceId(0), Priority(100));
        sender.queue(&v6, InstanceId(1), Priority(100));
        Ok(sender.flush(|_, _, _| {}))
    };
    let before = clock::now();
    assert_eq!(cable.left.enter(send).unwrap(), 2);
    let after = clock::now();
    assert!(readable(&listener, PATIENCE));
    elapse(SILENCE);
    let mut heard = Vec::new();
    assert_eq!(listener.drain(64, |frame, stamp| heard.push((frame.to_vec(), stamp))).unwrap(), 2);
    let slack = SILENCE / 2;
    for (_, stamp) in &heard {
        assert!(*stamp + slack >= before && *stamp <= after + slack, "{before:?} {stamp:?} {after:?}");
    }
    assert_eq!(heard[0].0[12..14], [0x08, 0x00]);
    assert_eq!(heard[1].0[12..14], [0x86, 0xdd]);
    assert_eq!(listener.drain(64, |_, _| {}).unwrap(), 0);
}

#[test]
#[needs("root", "ip")]
fn adverts_of_a_tunnel_get_an_ethernet_header() {
    let namespace = Namespace::new("tunnel").unwrap();
    let open = || {
        let tunnel = device("tun0", libc::IFF_TUN)?;
        Ok((tunnel, if_nametoindex("tun0")?))
    };
    let (mut tunnel, ifindex) = namespace.enter(open).unwrap();
    namespace.ip("link set tun0 up").unwrap();
    assert!(!namespace.enter(|| Ok(Card::of(ifindex)?)).unwrap().ethernet);
    let mut listener = namespace.enter(|| Ok(Listener::open(ifindex)?)).unwrap();
    let send = |tunnel: &mut File, frame: &Frame| {
        let bytes = frame.build();
        tunnel.write_all(&bytes[ethernet::HEADER_LEN..]).unwrap();
        bytes
    };
    // Other protocols wake nothing.
    for family in [Family::V4, Family::V6] {
        send(&mut tunnel, &advert(dialect(family), 1).protocol(17));
    }
    assert!(!readable(&listener, SILENCE));
    // Of full length, so that nothing of the first is left behind in the second.
    for (family, addresses) in [(Family::V4, 60), (Family::V6, 20), (Family::V4, 1)] {
        let sent = send(&mut tunnel, &advert(dialect(family), addresses));
        assert!(readable(&listener, PATIENCE), "{family:?}");
        let mut heard = Vec::new();
        assert_eq!(listener.drain(64, |frame, _| heard.push(frame.to_vec())).unwrap(), 1);
        assert_eq!(heard[0][12..], sent[12..], "{family:?}");
        assert_eq!(vrrp_ebpf::wire::frame::dissect(heard[0].as_slice(), 0).unwrap().family, family);
    }
}

fn dialect(family: Family) -> Dialect {
    Dialect::V3 { family, centiseconds: 100 }
}

#[test]
#[needs("root", "ip")]
fn other_traffic_does_not_wake_the_listener() {
    let cable = Cable::new();
    let mut listener = cable.right.enter(|| Ok(Listener::open(ifindex()?)?)).unwrap();
    let mut to_another = frame(112, false);
    to_another[..6].copy_from_slice(&[2, 0, 0, 0, 0, 0x55]);
    inject(&cable.left, &[frame(17, false), frame(112, true), to_another]);
    // Frames that this host sends are not received either.
    inject(&cable.right, &[frame(112, false)]);
    assert!(!readable(&listener, SILENCE));
    inject(&cable.left, &[frame(112, false)]);
    assert!(readable(&listener, PATIENCE));
    assert_eq!(listener.drain(64, |heard, _| assert_eq!(heard, frame(112, false))).unwrap(), 1);
}

/// Both families, behind as many tags as the program skips; the kernel has removed the outer one.
#[test]
#[needs("root", "ip")]
fn priority_tags_are_skipped() {
    const PRIORITY: [u8; 4] = [0x81, 0, 0xe0, 0];
    const SERVICE_PRIORITY: [u8; 4] = [0x88, 0xa8, 0xe0, 0];
    const VLAN_7: [u8; 4] = [0x81, 0, 0xe0, 7];
    let cable = Cable::new();
    let mut listener = cable.right.enter(|| Ok(Listener::open(ifindex()?)?)).unwrap();
    let v6 = Frame::to_group(Family::V6).payload([0x31, 51]).padded().build();
    let tcp = Frame::to_group(Family::V6).protocol(6).padded().build();
    let tagged = |frame: &[u8], tags: &[[u8; 4]]| [&frame[..12], &tags.concat(), &frame[12..]].concat();
    for plain in [frame(112, false), v6] {
        for tags in [&[VLAN_7][..], &[PRIORITY, VLAN_7], &[PRIORITY, PRIORITY, VLAN_7], &[PRIORITY; 4]] {
            inject(&cable.left, &[tagged(&plain, tags)]);
            assert!(!readable(&listener, SILENCE), "{tags:02x?}");
        }
        for tags in [&[PRIORITY][..], &[SERVICE_PRIORITY, PRIORITY], &[PRIORITY; 3]] {
            inject(&cable.left, &[tagged(&tcp, tags), tagged(&plain, tags)]);
            assert!(readable(&listener, PATIENCE), "{tags:02x?}");
            let expected = tagged(&plain, &tags[1..]);
            assert_eq!(listener.drain(64, |heard, _| assert_eq!(heard, expected)).unwrap(), 1, "{tags:02x?}");
        }
    }
}

#[test]
#[needs("root", "ip")]
fn a_full_queue_is_reported_once() {
    let cable = Cable::new();
    let mut listener = cable.right.enter(|| Ok(Listener::open(ifindex()?)?)).unwrap();
    inject(&cable.left, &[frame(112, false)]);
    assert!(readable(&listener, PATIENCE));
    assert!(!listener.has_lost());
    inject(&cable.left, &vec![frame(112, false); 10_000]);
    let heard = listener.drain(usize::MAX, |_, _| {}).unwrap();
    assert!((256..10_000).contains(&heard), "{heard}");
    assert!(listener.has_lost());
    assert!(!listener.has_lost());
}

#[test]
#[needs("root", "ip")]
fn a_burst_comes_in_order_and_in_parts() {
    let cable = Cable::new();
    // Opened before the listener, it gets each frame after it.
    let tap = Tap::new(&cable.right);
    let mut listener = cable.right.enter(|| Ok(Listener::open(ifindex()?)?)).unwrap();
    let frames: Vec<_> = (0..100)
        .map(|number| {
            let mut frame = frame(112, false);
            frame[36] = number;
            frame
        })
        .collect();
    inject(&cable.left, &frames);
    frames.iter().for_each(|sent| tap.next(|frame| (frame == sent).then_some(())));
    let mut numbers = Vec::new();
    let mut last = None;
    for expected in [40, 40, 20] {
        let drained = listener.drain(40, |frame, stamp| {
            numbers.push(frame[36]);
            assert!(last <= Some(stamp));
            last = Some(stamp);
        });
        assert_eq!(drained.unwrap(), expected);
    }
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

#[test]
#[needs("root", "ip")]
fn an_interface_that_goes_down_is_reported_once_and_recovers() {
    let cable = Cable::new();
    let mut listener = cable.right.enter(|| Ok(Listener::open(ifindex()?)?)).unwrap();
    cable.right.ip("link set eth0 down").unwrap();
    assert!(readable(&listener, PATIENCE));
    let error = listener.drain(64, |_, _| {}).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENETDOWN));
    assert_eq!(listener.drain(64, |_, _| {}).unwrap(), 0);
    cable.right.ip("link set eth0 up").unwrap();
    cable.settle();
    inject(&cable.left, &[frame(112, false)]);
    assert!(readable(&listener, PATIENCE));
    assert_eq!(listener.drain(64, |_, _| {}).unwrap(), 1);
}

#[test]
#[needs("root", "ip")]
fn a_membership_lasts_as_long_as_its_guard() {
    let cable = Cable::new();
    let joined = || {
        let shown = cable.left.run("ip", &["maddr", "show", "dev", "eth0"]).unwrap();
        (shown.contains("224.0.0.18"), shown.contains("ff02::12"))
    };
    let join = |family| cable.left.enter(|| Ok(Membership::join(family, ifindex()?)?)).unwrap();
    assert_eq!(joined(), (false, false));
    let v4 = join(Ipv4Addr::from(ipv4::GROUP).into());
    assert_eq!(joined(), (true, false));
    let v6 = join(Ipv6Addr::from(ipv6::GROUP).into());
    assert_eq!(joined(), (true, true));
    drop(v4);
    drop(v6);
    assert_eq!(joined(), (false, false));
}

#[test]
#[needs("root", "ip")]
fn instances_share_a_membership_until_the_last_one_leaves() {
    let cable = Cable::new();
    let is_joined =
        || cable.left.run("ip", &["maddr", "show", "dev", "eth0"]).unwrap().contains("224.0.0.18");
    let mut memberships = Memberships::default();
    let mut join = || {
        let group = Ipv4Addr::from(ipv4::GROUP).into();
        cable.left.enter(|| Ok(memberships.of(group, ifindex()?)?)).unwrap()
    };
    let (first, second) = (join(), join());
    assert!(Arc::ptr_eq(&first, &second));
    drop(first);
    assert!(is_joined());
    drop(second);
    assert!(!is_joined());
    let again = join();
    assert!(is_joined());
    drop(again);
}
