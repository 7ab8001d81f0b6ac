//! Virtual addresses as `ip` sees them.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;
use vrrp_user::config::{Addresses, VirtualAddress};
use vrrp_user::driver::netlink::address::{self, Placed};
use vrrp_user::driver::netlink::refusal::NetlinkError;
use vrrp_user::driver::netlink::socket::RouteSocket;
use vrrp_user::driver::netlink::table::Address;
use vrrp_user::driver::netlink::{leftovers, origin};
use vrrp_user::protocol::Priority;

use crate::cable::{Cable, settings, virtual_address};
use vrrp_tests::needs;

type Refused = Vec<(usize, i32)>;

fn perform(cable: &Cable, ifindex: u32, addresses: &[VirtualAddress], set: bool) -> Refused {
    let work = || {
        let mut socket = RouteSocket::open()?;
        let placed: Vec<_> =
            addresses.iter().map(|address| Placed { ifindex, address, is_own: false }).collect();
        let mut refused = Vec::new();
        let perform = if set { address::add } else { address::remove };
        perform(&mut socket, &placed, &mut |index, refusal: NetlinkError| {
            refused.push((index, refusal.errno));
        })?;
        Ok(refused)
    };
    cable.left.enter(work).unwrap()
}

/// Addresses that the kernel has marked as set by VRRP (IFA_PROTO).
fn marked(cable: &Cable) -> Vec<IpAddr> {
    let work = || {
        let mut marked = Vec::new();
        let list = |address: Address| marked.extend(address.marked.then_some(address.address));
        address::list(&mut RouteSocket::open()?, list)?;
        Ok(marked)
    };
    cable.left.enter(work).unwrap()
}

fn shown<'a>(addresses: &'a [Value], local: &str) -> &'a Value {
    addresses.iter().find(|shown| shown["local"] == local).unwrap()
}

#[test]
#[needs("root", "ip")]
fn every_option_reaches_the_kernel() {
    let cable = Cable::new();
    let ifindex = cable.ifindex();
    let v4 = VirtualAddress {
        label: Some("eth0:vip".into()),
        scope: 253,
        broadcast: Some([192, 0, 2, 255].into()),
        no_prefix_route: true,
        ..virtual_address("192.0.2.100/24")
    };
    let v6 = virtual_address("2001:db8::100");
    let v6_in_subnet = virtual_address("2001:db8:1::100/64");
    let beyond = VirtualAddress {
        peer: Some([198, 51, 100, 2].into()),
        ..VirtualAddress::new([198, 51, 100, 1].into(), 30)
    };
    let flagged = VirtualAddress {
        preferred: Some(1000),
        home: true,
        temporary: true,
        ..virtual_address("2001:db8:2::100/64")
    };
    let joined = VirtualAddress { autojoin: true, ..virtual_address("ff05::100") };
    let all = [v4, v6, v6_in_subnet, beyond, flagged, joined];
    assert!(perform(&cable, ifindex, &all, true).is_empty());
    let addresses = cable.addresses("eth0");
    let v4 = shown(&addresses, "192.0.2.100");
    assert_eq!(v4["prefixlen"], 24);
    assert_eq!((&v4["label"], &v4["scope"]), (&"eth0:vip".into(), &"link".into()));
    assert_eq!((&v4["broadcast"], &v4["noprefixroute"]), (&"192.0.2.255".into(), &true.into()));
    let v6 = shown(&addresses, "2001:db8::100");
    assert_eq!(
        (&v6["prefixlen"], &v6["nodad"], &v6["deprecated"]),
        (&128.into(), &true.into(), &true.into())
    );
    assert_eq!(v6["preferred_life_time"], 0);
    let v6 = shown(&addresses, "2001:db8:1::100");
    assert_eq!((&v6["deprecated"], &v6["noprefixroute"]), (&Value::Null, &Value::Null));
    let v4 = shown(&addresses, "198.51.100.1");
    assert_eq!((&v4["address"], &v4["prefixlen"]), (&"198.51.100.2".into(), &30.into()));
    let v6 = shown(&addresses, "2001:db8:2::100");
    assert_eq!((&v6["home"], &v6["mngtmpaddr"]), (&true.into(), &true.into()));
    assert!(v6["preferred_life_time"].as_u64().is_some_and(|seconds| (900..=1000).contains(&seconds)));
    assert_eq!(shown(&addresses, "ff05::100")["autojoin"], true);
    let marked = marked(&cable);
    // Before Linux 5.18 the kernel does not keep the mark.
    let is_kept = origin::is_reported(&[]);
    assert!(!is_kept || all.iter().all(|address| marked.contains(&address.address)), "{marked:?}");

    assert!(perform(&cable, ifindex, &all, true).is_empty(), "an address that exists is no fault");
    assert!(perform(&cable, ifindex, &all, false).is_empty());
    assert!(all.iter().all(|address| !cable.has("eth0", &address.address.to_string())));
    assert!(perform(&cable, ifindex, &all, false).is_empty(), "nor is an address that is gone");
}

#[test]
#[needs("root", "ip")]
fn removing_leaves_the_addresses_of_others() {
    let cable = Cable::new();
    // Set before the machine's own address, a virtual one is the primary of the subnet.
    let addresses = ["192.0.2.100/24", "192.0.2.101/24"].map(virtual_address);
    let setting = "/proc/sys/net/ipv4/conf/eth0/promote_secondaries";
    let read = || Ok(std::fs::read_to_string(setting)?.trim().to_owned());
    for (everywhere, here) in [("1", "0"), ("0", "1"), ("0", "0")] {
        cable.left.sysctl("ipv4/conf/all/promote_secondaries", everywhere).unwrap();
        cable.left.sysctl("ipv4/conf/eth0/promote_secondaries", here).unwrap();
        let ifindex = cable.ifindex();
        for is_listed in [false, true] {
            assert!(perform(&cable, ifindex, &addresses, true).is_empty());
            cable.left.ip("addr add 192.0.2.1/24 dev eth0").unwrap();
            match is_listed {
                false => assert!(perform(&cable, ifindex, &addresses, false).is_empty()),
                true => clear(&cable, &["192.0.2.100", "192.0.2.101"]),
            }
            assert!(cable.has("eth0", "192.0.2.1"), "all {everywhere}, eth0 {here}, listed {is_listed}");
            assert!(!cable.has("eth0", "192.0.2.100") && !cable.has("eth0", "192.0.2.101"));
            assert_eq!(cable.left.enter(read).unwrap(), here);
            cable.left.ip("addr del 192.0.2.1/24 dev eth0").unwrap();
        }
    }
}

/// Removes addresses as leftovers are removed.
fn clear(cable: &Cable, addresses: &[&str]) {
    let work = || {
        let (mut socket, mut present) = (RouteSocket::open()?, Vec::new());
        address::list(&mut socket, |it| present.push(it))?;
        present.retain(|it| addresses.contains(&&*it.address.to_string()));
        Ok(address::clear(&mut socket, &present, |_, refusal| panic!("{refusal:?}"))?)
    };
    cable.left.enter(work).unwrap();
}

#[test]
#[needs("root", "ip")]
fn hundreds_go_on_and_off_together() {
    let cable = Cable::new();
    let mut addresses: Vec<_> =
        (0..600).map(|n| virtual_address(&format!("10.9.{}.{}", n / 200, n % 200 + 1))).collect();
    let ifindex = cable.ifindex();
    assert!(perform(&cable, ifindex, &addresses, true).is_empty());
    assert_eq!(cable.addresses("eth0").iter().filter(|shown| shown["family"] == "inet").count(), 600);
    // A refused address does not affect the others.
    addresses[300].prefix = 33;
    assert!(perform(&cable, ifindex, &addresses, false).is_empty());
    assert_eq!(perform(&cable, ifindex, &addresses, true), [(300, libc::EINVAL)]);
    assert_eq!(cable.addresses("eth0").iter().filter(|shown| shown["family"] == "inet").count(), 600);
}

#[test]
#[needs("root", "ip")]
fn a_missing_interface_is_reported_for_each_address() {
    let cable = Cable::new();
    let addresses = [virtual_address("192.0.2.100"), virtual_address("2001:db8::100")];
    assert_eq!(perform(&cable, 0, &addresses, true), [(0, libc::ENODEV), (1, libc::ENODEV)]);
    assert!(perform(&cable, 4711, &addresses, false).is_empty());
}

#[test]
#[needs("root", "ip")]
fn leftovers_of_an_earlier_run_go_and_other_addresses_stay() {
    let cable = Cable::new();
    cable
        .left
        .ip("link add spare0 type veth peer name spare1\nlink set spare0 up\n\
         addr add 192.0.2.1/24 dev eth0\naddr add 192.0.2.100/32 dev eth0\naddr add 192.0.2.101/24 dev eth0\n\
         addr add 192.0.2.102/24 dev spare0\naddr add 198.51.100.1/24 dev spare0")
        .unwrap();
    let spare = cable.left.enter(|| Ok(nix::net::if_::if_nametoindex("spare0")?)).unwrap();
    assert!(perform(&cable, spare, &[virtual_address("203.0.113.1/24")], true).is_empty());
    let backup = settings(&["192.0.2.100", "192.0.2.101", "192.0.2.102/24", "203.0.113.1"]);
    let mut owner = settings(&[]);
    owner.priority = Priority::OWNER;
    let owned = VirtualAddress { device: Some("spare0".into()), ..virtual_address("198.51.100.1/24") };
    owner.addresses = Arc::new(Addresses { advertised: vec![owned], excluded: Vec::new() });
    let found = cable.left.enter(|| Ok(leftovers::remove([&backup, &owner], |_| true)?)).unwrap();
    let mut removed: Vec<_> = found
        .iter()
        .map(|found| (found.address.address.to_string(), found.refusal.as_ref().map(|it| it.errno)))
        .collect();
    removed.sort();
    // Only the mark shows that an address on an interface that the configuration does not name for it is a leftover.
    let marked = origin::is_reported(&[]).then_some("203.0.113.1");
    let expected: Vec<_> =
        ["192.0.2.100"].into_iter().chain(marked).map(|it| (it.to_owned(), None)).collect();
    assert_eq!(removed, expected);
    assert!(!cable.has("eth0", "192.0.2.100"));
    assert_eq!(cable.has("spare0", "203.0.113.1"), marked.is_none());
    assert!(cable.has("eth0", "192.0.2.1") && cable.has("eth0", "192.0.2.101"), "another prefix");
    assert!(cable.has("spare0", "192.0.2.102"), "another interface");
    assert!(cable.has("spare0", "198.51.100.1"), "the host's own");
}
