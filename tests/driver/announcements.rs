//! Gratuitous ARP and unsolicited neighbour advertisements, as a neighbour receives and accepts them.

use std::net::IpAddr;

use vrrp_user::driver::socket::{Announcer, Station};
use vrrp_user::protocol::InstanceId;

use crate::cable::{Cable, MAC, Tap, eventually, ifindex};
use vrrp_tests::needs;

fn announce(cable: &Cable, addresses: &[&str], router: bool) -> Vec<(IpAddr, Result<(), i32>)> {
    let work = || {
        let mut announcer = Announcer::open()?;
        let station = Station { ifindex: ifindex()?, mac: MAC, router };
        for address in addresses {
            announcer.queue(InstanceId(3), station, address.parse()?);
        }
        let mut outcomes = Vec::new();
        announcer.flush(|_, address, outcome| outcomes.push((address, outcome)));
        Ok(outcomes)
    };
    cable.left.enter(work).unwrap()
}

/// L19.
#[test]
#[needs("root", "ip")]
fn gratuitous_arp_is_a_broadcast_request_for_itself() {
    let cable = Cable::new();
    let tap = Tap::new(&cable.right);
    assert_eq!(announce(&cable, &["192.0.2.100"], false), [([192, 0, 2, 100].into(), Ok(()))]);
    let arp = tap.next(|frame| (frame[12..14] == [8, 6]).then(|| frame.to_vec()));
    let address = [192, 0, 2, 100];
    let expected =
        [&[0xff; 6][..], &MAC, &[8, 6], &[0, 1, 8, 0, 6, 4, 0, 1], &MAC, &address, &[0xff; 6], &address]
            .concat();
    assert_eq!(arp[..42], expected);
}

/// L18.
#[test]
#[needs("root", "ip")]
fn unsolicited_advertisement_has_override_and_router_flags() {
    let cable = Cable::new();
    let tap = Tap::new(&cable.right);
    let advertisement = |frame: &[u8]| {
        (frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == 136 && frame[62] == 0x20)
            .then(|| frame.to_vec())
    };
    for (router, flags) in [(false, 0x20), (true, 0xa0)] {
        announce(&cable, &["2001:db8::100"], router);
        let frame = tap.next(advertisement);
        let address: std::net::Ipv6Addr = "2001:db8::100".parse().unwrap();
        assert_eq!(frame[..12], [&[0x33, 0x33, 0, 0, 0, 1], &MAC[..]].concat());
        assert_eq!((frame[21], frame[58], &frame[62..78]), (255, flags, &address.octets()[..]));
        assert_eq!(frame[22..38], address.octets());
        assert_eq!(frame[78..86], [&[2, 1], &MAC[..]].concat());
    }
}

#[test]
#[needs("root", "ip")]
fn a_neighbour_moves_to_the_new_station() {
    let cable = Cable::new();
    cable
        .right
        .ip("addr add 192.0.2.9/24 dev eth0\naddr add 2001:db8::9/64 dev eth0 nodad\n\
         neigh add 192.0.2.100 lladdr 02:00:00:00:00:77 nud stale dev eth0\n\
         neigh add 2001:db8::100 lladdr 02:00:00:00:00:77 nud stale dev eth0")
        .unwrap();
    announce(&cable, &["192.0.2.100", "2001:db8::100"], false);
    eventually(|| {
        let neighbours = cable.right.run("ip", &["neigh", "show", "dev", "eth0"]).unwrap();
        ["192.0.2.100", "2001:db8::100"].iter().all(|address| {
            neighbours.lines().any(|line| line.starts_with(address) && line.contains("02:00:00:00:00:01"))
        })
    });
}

#[test]
#[needs("root", "ip")]
fn an_interface_that_is_down_is_an_error() {
    let cable = Cable::new();
    cable.left.ip("link set eth0 down").unwrap();
    assert_eq!(announce(&cable, &["192.0.2.100"], false), [([192, 0, 2, 100].into(), Err(libc::ENETDOWN))]);
}
