//! Adverts as received at the other end.

use std::net::IpAddr;

use anyhow::Result;
use vrrp_tests::needs;
use vrrp_tests::netns::Namespace;
use vrrp_user::config::InstanceSettings;
use vrrp_user::driver::socket::{AdvertSender, Outgoing};
use vrrp_user::protocol::{Auth, InstanceId, Priority, Unicast, UnicastPeer, Version};

use crate::cable::{Cable, SILENCE, Tap, ifindex, settings};

/// An advert as seen on the wire, its checksum verified.
#[derive(Debug, Eq, PartialEq)]
struct Arrived {
    destination_mac: [u8; 6],
    traffic_class: u8,
    ttl: u8,
    source: IpAddr,
    destination: IpAddr,
    /// Without its checksum field.
    message: Vec<u8>,
}

fn arrived(frame: &[u8]) -> Option<Arrived> {
    let (ethernet, packet) = frame.split_at_checked(14)?;
    let destination_mac = ethernet[..6].try_into().unwrap();
    let address4 = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
    let address6 = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
    let (traffic_class, ttl, source, destination, message) = match packet[0] >> 4 {
        4 if packet[9] == 112 => {
            let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            (packet[1], packet[8], address4(12), address4(16), &packet[20..total])
        }
        6 if packet[6] == 112 => {
            let length = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
            let class = (packet[0] << 4) | (packet[1] >> 4);
            (class, packet[7], address6(8), address6(24), &packet[40..40 + length])
        }
        _ => return None,
    };
    assert_eq!(checksum(message, source, destination), 0xffff, "checksum of {message:02x?}");
    let message = [&message[..6], &message[8..]].concat();
    Some(Arrived { destination_mac, traffic_class, ttl, source, destination, message })
}

/// Sum over the message and, except in version 2, the pseudo-header.
fn checksum(message: &[u8], source: IpAddr, destination: IpAddr) -> u32 {
    let mut bytes = message.to_vec();
    if message[0] >> 4 == 3 {
        for address in [source, destination] {
            match address {
                IpAddr::V4(address) => bytes.extend(address.octets()),
                IpAddr::V6(address) => bytes.extend(address.octets()),
            }
        }
        bytes.extend([0, 112]);
        bytes.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    }
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// Sends one advert from a namespace and returns the errnos.
fn send(namespace: &Namespace, settings: &InstanceSettings, source: &str, priority: Priority) -> Vec<i32> {
    let source = source.parse().unwrap();
    let sent = || -> Result<_> {
        let mut sender = AdvertSender::new()?;
        let outgoing = Outgoing::new(settings, ifindex()?, source)?;
        sender.queue(&outgoing, InstanceId(0), priority);
        let mut errnos = Vec::new();
        sender.flush(|_, _, outcome| errnos.extend(outcome.err()));
        Ok(errnos)
    };
    namespace.enter(sent).unwrap()
}

const GROUP_MAC: [u8; 6] = [0x01, 0, 0x5e, 0, 0, 0x12];

/// P03, P06, P14.
#[test]
#[needs("root", "ip")]
fn version_3_reaches_the_group_without_a_route() {
    let cable = Cable::new();
    cable.left.ip("addr add 192.0.2.1/32 dev eth0 noprefixroute").unwrap();
    assert_eq!(cable.left.run("ip", &["-4", "route", "show"]).unwrap(), "");
    let tap = Tap::new(&cable.right);
    let settings = settings(&["203.0.113.7", "203.0.113.8"]);
    assert!(send(&cable.left, &settings, "192.0.2.1", Priority(120)).is_empty());
    let expected = |priority| Arrived {
        destination_mac: GROUP_MAC,
        traffic_class: 0xc0,
        ttl: 255,
        source: [192, 0, 2, 1].into(),
        destination: [224, 0, 0, 18].into(),
        message: vec![0x31, 51, priority, 2, 0, 100, 203, 0, 113, 7, 203, 0, 113, 8],
    };
    assert_eq!(tap.next(arrived), expected(120));
    assert!(send(&cable.left, &settings, "192.0.2.1", Priority::RELEASE).is_empty());
    assert_eq!(tap.next(arrived), expected(0));
}

/// R15.
#[test]
#[needs("root", "ip")]
fn a_link_local_address_is_sent_first() {
    let cable = Cable::new();
    cable.left.ip("addr add fe80::1/64 dev eth0 nodad").unwrap();
    let tap = Tap::new(&cable.right);
    let written = settings(&["fd77::100", "fe80::77", "fd77::101"]);
    assert!(send(&cable.left, &written, "fe80::1", Priority(120)).is_empty());
    let addresses = ["fe80::77", "fd77::100", "fd77::101"];
    let octets: Vec<u8> = addresses
        .iter()
        .flat_map(|address| address.parse::<std::net::Ipv6Addr>().unwrap().octets())
        .collect();
    assert_eq!(tap.next(arrived).message[6..], octets);
}

/// V02, W02.
#[test]
#[needs("root", "ip")]
fn version_2_carries_the_password() {
    let cable = Cable::new();
    cable.left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
    let tap = Tap::new(&cable.right);
    let mut settings = settings(&["192.0.2.100"]);
    settings.version = Version::V2;
    settings.auth = Auth::Pass(*b"secret\0\0");
    assert!(send(&cable.left, &settings, "192.0.2.1", Priority(100)).is_empty());
    let arrived = tap.next(arrived);
    assert_eq!((arrived.destination_mac, arrived.ttl), (GROUP_MAC, 255));
    let expected = [&[0x21, 51, 100, 1, 1, 1, 192, 0, 2, 100], b"secret\0\0".as_slice()].concat();
    assert_eq!(arrived.message, expected);
}

/// P04, P06.
#[test]
#[needs("root", "ip")]
fn ipv6_leaves_from_the_link_local_address() {
    let cable = Cable::new();
    let tap = Tap::new(&cable.right);
    let settings = settings(&["fe80::100", "2001:db8::100"]);
    assert!(send(&cable.left, &settings, "fe80::ff:fe00:1", Priority(100)).is_empty());
    let arrived = tap.next(arrived);
    let group: IpAddr = "ff02::12".parse().unwrap();
    assert_eq!((arrived.destination_mac, arrived.destination), ([0x33, 0x33, 0, 0, 0, 0x12], group));
    assert_eq!((arrived.ttl, arrived.traffic_class), (255, 0xc0));
    assert_eq!(arrived.source, "fe80::ff:fe00:1".parse::<IpAddr>().unwrap());
    assert_eq!(arrived.message[..6], [0x31, 51, 100, 2, 0, 100]);
    assert_eq!(arrived.message[6..8], [0xfe, 0x80]);
}

#[test]
#[needs("root", "ip")]
fn unicast_goes_to_each_peer_with_its_own_checksum_and_ttl() {
    let cable = Cable::new();
    cable.left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
    cable.right.ip("addr add 192.0.2.2/24 dev eth0\naddr add 192.0.2.3/24 dev eth0").unwrap();
    let tap = Tap::new(&cable.right);
    let mut settings = settings(&["192.0.2.100"]);
    let peers = [2, 3].map(|host| UnicastPeer::new([192, 0, 2, host].into()));
    settings.unicast = Some(Unicast { peers: peers.to_vec(), ttl: 64, checks_source: false });
    assert!(send(&cable.left, &settings, "192.0.2.1", Priority(100)).is_empty());
    let arrived = [tap.next(arrived), tap.next(arrived)];
    let mut destinations = arrived.each_ref().map(|arrived| arrived.destination);
    destinations.sort();
    assert_eq!(destinations, [[192, 0, 2, 2].into(), IpAddr::from([192, 0, 2, 3])]);
    assert!(arrived.iter().all(|arrived| arrived.ttl == 64 && arrived.destination_mac == [2, 0, 0, 0, 0, 2]));
}

#[test]
#[needs("root", "ip")]
fn an_advert_that_cannot_leave_does_not_hold_up_others() {
    let cable = Cable::new();
    cable.left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
    let tap = Tap::new(&cable.right);
    let work = || -> Result<_> {
        let mut sender = AdvertSender::new()?;
        let settings = settings(&["192.0.2.100"]);
        let source = [192, 0, 2, 1].into();
        let gone = Outgoing::new(&settings, 4711, source)?;
        // A source that is missing for a moment does not keep an advert from leaving.
        let missing = Outgoing::new(&settings, ifindex()?, [198, 51, 100, 1].into())?;
        let good = Outgoing::new(&settings, ifindex()?, source)?;
        let mut failed = Vec::new();
        for (outgoing, id) in [&gone, &good, &missing, &good].into_iter().zip(0..) {
            sender.queue(outgoing, InstanceId(id), Priority(100));
        }
        let sent = sender.flush(|id, _, outcome| failed.extend(outcome.err().map(|errno| (id.0, errno))));
        Ok((sent, failed))
    };
    let (sent, failed) = cable.left.enter(work).unwrap();
    assert_eq!((sent, failed), (3, vec![(0, libc::ENODEV)]));
    let sources = [tap.next(arrived), tap.next(arrived), tap.next(arrived)].map(|arrived| arrived.source);
    let own = IpAddr::from([192, 0, 2, 1]);
    assert_eq!(sources, [own, [198, 51, 100, 1].into(), own]);
    cable.left.ip("link set eth0 down").unwrap();
    let refused = send(&cable.left, &settings(&["192.0.2.100"]), "192.0.2.1", Priority(100));
    assert_eq!(refused.len(), 1);
}

/// A peer without a VRRP daemon answers each advert with an ICMP error, returned in place of a later send.
#[test]
#[needs("root", "ip")]
fn errors_of_a_peer_lose_no_advert() {
    let cable = Cable::new();
    cable.left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
    cable.right.ip("addr add 192.0.2.2/24 dev eth0").unwrap();
    cable.right.sysctl("ipv4/icmp_ratelimit", "0").unwrap();
    let errors = Tap::new(&cable.left);
    let unreachable =
        |frame: &[u8]| (frame[12..14] == [8, 0] && frame[23] == 1 && frame[34] == 3).then_some(());
    let mut settings = settings(&["192.0.2.100"]);
    let peers = vec![UnicastPeer::new([192, 0, 2, 2].into())];
    settings.unicast = Some(Unicast { peers, ttl: 64, checks_source: false });
    let work = || -> Result<_> {
        let mut sender = AdvertSender::new()?;
        let outgoing = Outgoing::new(&settings, ifindex()?, [192, 0, 2, 1].into())?;
        let mut outcomes = Vec::new();
        for _ in 0..5 {
            sender.queue(&outgoing, InstanceId(0), Priority(100));
            sender.flush(|_, _, outcome| outcomes.push(outcome));
            errors.next(unreachable);
        }
        Ok(outcomes)
    };
    assert_eq!(cable.left.enter(work).unwrap(), [Ok(()); 5]);
}

#[test]
#[needs("root", "ip")]
fn unicast_peers_get_no_icmp_for_their_adverts() {
    let cable = Cable::new();
    cable.left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
    cable.right.ip("addr add 192.0.2.2/24 dev eth0").unwrap();
    let tap = Tap::new(&cable.left);
    let unreachable =
        |frame: &[u8]| (frame[12..14] == [8, 0] && frame[23] == 1 && frame[34] == 3).then_some(());
    let mut settings = settings(&["192.0.2.100"]);
    let peers = vec![UnicastPeer::new([192, 0, 2, 2].into())];
    settings.unicast = Some(Unicast { peers, ttl: 255, checks_source: false });
    send(&cable.left, &settings, "192.0.2.1", Priority(100));
    tap.next(unreachable);
    let _daemon = cable.right.enter(|| Ok(AdvertSender::new()?)).unwrap();
    send(&cable.left, &settings, "192.0.2.1", Priority(100));
    assert!(tap.next_within(SILENCE, unreachable).is_none());
}
