//! Virtual addresses on their interfaces.
//!
//! Enters: configured addresses, and the index of each one's interface. Leaves: all addresses of an instance added or
//! removed in one send, with the reason for each failure. Absent: the use of an address.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use nix::net::if_::if_indextoname;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use vrrp_ebpf::wire::Family;

use super::devconf::{self, DevconfSetting};
use super::refusal::NetlinkError;
use super::socket::{EncodedRequests, Request, RouteSocket};
use super::table::Address;
use crate::config::VirtualAddress;
use crate::driver::sysctl;

/// Marks addresses set by VRRP (IFA_PROTO, Linux 5.18). The number is keepalived's, so that each daemon recognises
/// addresses that the other has left behind.
pub const PROTOCOL: u8 = 0x12;

/// A virtual address and the interface it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    pub ifindex: u32,
    pub address: &'a VirtualAddress,
    /// It was the host's before: it is set without the mark of VRRP, so that no later daemon takes it for its own.
    pub is_own: bool,
}

/// Adds the addresses, in this order. An existing one counts as added.
///
/// # Errors
/// Netlink itself failed. Refusals go to `failed` by index: ENODEV when the interface is gone, EACCES when
/// IPv6 is disabled on it, EPERM without CAP_NET_ADMIN.
pub fn add(
    socket: &mut RouteSocket,
    placed: &[Placed<'_>],
    mut failed: impl FnMut(usize, NetlinkError),
) -> io::Result<()> {
    add_missing(socket, placed, |index, refusal| {
        if refusal.errno != libc::EEXIST {
            failed(index, refusal);
        }
    })
}

/// As [`add`], but reports EEXIST too: every address without a refusal was missing.
///
/// # Errors
/// As in [`add`].
pub fn add_missing(
    socket: &mut RouteSocket,
    placed: &[Placed<'_>],
    failed: impl FnMut(usize, NetlinkError),
) -> io::Result<()> {
    socket.perform(additions(placed), failed)
}

/// The requests of [`add_missing`], encoded for a later [`RouteSocket::exchange`].
pub fn encode_added(socket: &mut RouteSocket, placed: &[Placed<'_>]) -> EncodedRequests {
    socket.encode_all(additions(placed))
}

fn additions(placed: &[Placed<'_>]) -> Vec<Request> {
    let addition = |placed: &Placed<'_>| Request {
        message: RouteNetlinkMessage::NewAddress(added(placed)),
        flags: NLM_F_CREATE | NLM_F_EXCL,
    };
    placed.iter().map(addition).collect()
}

/// Removes the addresses in reverse order. The other addresses of their subnets stay, whatever
/// `net.ipv4.conf.*.promote_secondaries` is. An address counts as removed if it or its interface is missing.
///
/// # Errors
/// As in [`add`].
pub fn remove(
    socket: &mut RouteSocket,
    placed: &[Placed<'_>],
    failed: impl FnMut(usize, NetlinkError),
) -> io::Result<()> {
    perform_removals(socket, removals(placed), placed.len(), failed)
}

/// Performs `count` removals, in reverse order, of which the first is the first one among the requests.
fn perform_removals(
    socket: &mut RouteSocket,
    requests: Vec<Request>,
    count: usize,
    mut failed: impl FnMut(usize, NetlinkError),
) -> io::Result<()> {
    let is_removal = |it: &Request| matches!(it.message, RouteNetlinkMessage::DelAddress(_));
    let before = requests.iter().position(is_removal).unwrap_or(0);
    socket.perform(requests, |index, refusal| {
        let index = index.checked_sub(before).and_then(|index| count.checked_sub(index + 1));
        if let Some(index) = index
            && refusal.errno != libc::EADDRNOTAVAIL
            && refusal.errno != libc::ENODEV
        {
            failed(index, refusal);
        }
    })
}

/// Requests that remove addresses of these subnets, between others that have the kernel keep the rest of each subnet
/// meanwhile. With the first address of a subnet it would remove the others, the host's own ones among them.
fn sparing(subnets: impl Iterator<Item = (u32, IpAddr, u8)>, requests: Vec<Request>) -> Vec<Request> {
    let interfaces = subnets.filter(|(_, address, prefix)| address.is_ipv4() && *prefix < 32);
    let mut found = BTreeSet::new();
    found.extend(interfaces.map(|(ifindex, _, _)| ifindex));
    let set = |ifindex, value| devconf::request(ifindex, &[(DevconfSetting::PromoteSecondaries, value)]);
    let (mut all, mut after) = (Vec::new(), Vec::new());
    for ifindex in found {
        let Ok(name) = if_indextoname(ifindex) else { continue };
        let read = |name: &str| sysctl::read(Family::V4, name, "promote_secondaries").ok();
        let (everywhere, here) = (read("all"), read(&name.to_string_lossy()));
        if [&everywhere, &here].into_iter().flatten().all(|value| value == "0") {
            all.push(set(ifindex, 1));
            // Unknown where /proc/sys cannot be read: it stays set, which harms nothing.
            after.extend(here.map(|_| set(ifindex, 0)));
        }
    }
    all.extend(requests);
    all.extend(after);
    all
}

/// Removes the addresses in this order, and sets them again behind all others, by one send.
///
/// # Errors
/// Netlink itself failed. A missing address is set; a refused one stays missing, which its loss shows.
pub fn renew(socket: &mut RouteSocket, placed: &[Placed<'_>]) -> io::Result<()> {
    let removed =
        |placed: &Placed<'_>| Request { message: RouteNetlinkMessage::DelAddress(placed.named()), flags: 0 };
    let requests = placed.iter().map(removed).chain(additions(placed)).collect();
    socket.perform(sparing(subnets(placed), requests), |_, _| {})
}

fn subnets<'a>(placed: &'a [Placed<'_>]) -> impl Iterator<Item = (u32, IpAddr, u8)> + 'a {
    placed.iter().map(|it| (it.ifindex, it.address.address, it.address.prefix))
}

/// The requests of [`remove`].
pub fn removals(placed: &[Placed<'_>]) -> Vec<Request> {
    let removed =
        |placed: &Placed<'_>| Request { message: RouteNetlinkMessage::DelAddress(placed.named()), flags: 0 };
    sparing(subnets(placed), placed.iter().rev().map(removed).collect())
}

/// Every address on the machine.
///
/// # Errors
/// Netlink failed.
pub fn list(socket: &mut RouteSocket, mut f: impl FnMut(Address)) -> io::Result<()> {
    socket.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()), |message| {
        if let RouteNetlinkMessage::NewAddress(message) = message
            && let Some(address) = Address::parse(&message)
        {
            f(address);
        }
    })
}

/// Removes addresses present on the machine, exactly as listed.
///
/// # Errors
/// As in [`add`].
pub fn clear(
    socket: &mut RouteSocket,
    present: &[Address],
    failed: impl FnMut(usize, NetlinkError),
) -> io::Result<()> {
    let requests = present.iter().rev().map(|present| Request {
        message: RouteNetlinkMessage::DelAddress(base(
            present.ifindex,
            present.address,
            present.prefix,
            present.peer,
        )),
        flags: 0,
    });
    let subnets = present.iter().map(|it| (it.ifindex, it.address, it.prefix));
    perform_removals(socket, sparing(subnets, requests.collect()), present.len(), failed)
}

fn added(placed: &Placed<'_>) -> AddressMessage {
    let address = placed.address;
    let mut message = placed.named();
    message.header.scope = AddressScope::from(address.scope);
    let mut flags = AddressFlags::empty();
    flags.set(AddressFlags::Nodad, address.address.is_ipv6() && !address.dad);
    flags.set(AddressFlags::Noprefixroute, address.no_prefix_route);
    flags.set(AddressFlags::Homeaddress, address.home);
    flags.set(AddressFlags::Managetempaddr, address.temporary);
    flags.set(AddressFlags::Mcautojoin, address.autojoin);
    let attributes = &mut message.attributes;
    if !flags.is_empty() {
        attributes.push(AddressAttribute::Flags(flags));
    }
    if let Some(IpAddr::V4(broadcast)) = address.broadcast {
        attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    if let Some(label) = &address.label {
        attributes.push(AddressAttribute::Label(label.to_string()));
    }
    if let Some(preferred) = address.preferred {
        let mut lifetime = CacheInfo::default();
        (lifetime.ifa_preferred, lifetime.ifa_valid) = (preferred, u32::MAX);
        attributes.push(AddressAttribute::CacheInfo(lifetime));
    }
    if !placed.is_own {
        attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)));
    }
    message
}

impl Placed<'_> {
    /// The fields that identify the address.
    fn named(&self) -> AddressMessage {
        let VirtualAddress { address, prefix, peer, .. } = *self.address;
        base(self.ifindex, address, prefix, peer)
    }
}

fn base(ifindex: u32, address: IpAddr, prefix: u8, peer: Option<IpAddr>) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.prefix_len = prefix;
    message.header.index = ifindex;
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(peer.unwrap_or(address)));
    message
}
