//! Virtual addresses on their interfaces.
//!
//! Enters: configured addresses, and the index of each one's interface. Leaves: all addresses of an instance added or
//! removed in one send, with the reason for each failure. Absent: the use of an address.

use std::io;
use std::net::IpAddr;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::refusal::NetlinkError;
use super::socket::{Encoded, Request, RouteSocket};
use super::table::Address;
use crate::config::VirtualAddress;

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
pub fn encode_added(socket: &mut RouteSocket, placed: &[Placed<'_>]) -> Encoded {
    socket.encode_all(additions(placed))
}

fn additions(placed: &[Placed<'_>]) -> Vec<Request> {
    let addition = |placed: &Placed<'_>| Request {
        message: RouteNetlinkMessage::NewAddress(added(placed)),
        flags: NLM_F_CREATE | NLM_F_EXCL,
    };
    placed.iter().map(addition).collect()
}

/// Removes the addresses in reverse order: removing the first of a subnet would remove the others with it
/// (`net.ipv4.conf.*.promote_secondaries` = 0). An address counts as removed if it or its interface is missing.
///
/// # Errors
/// As in [`add`].
pub fn remove(
    socket: &mut RouteSocket,
    placed: &[Placed<'_>],
    mut failed: impl FnMut(usize, NetlinkError),
) -> io::Result<()> {
    socket.perform(removals(placed), |index, refusal| {
        if refusal.errno != libc::EADDRNOTAVAIL && refusal.errno != libc::ENODEV {
            failed(placed.len() - 1 - index, refusal);
        }
    })
}

/// Removes the addresses in this order, and sets them again behind all others, by one send.
///
/// # Errors
/// Netlink itself failed. A missing address is set; a refused one stays missing, which its loss shows.
pub fn renew(socket: &mut RouteSocket, placed: &[Placed<'_>]) -> io::Result<()> {
    let removed =
        |placed: &Placed<'_>| Request { message: RouteNetlinkMessage::DelAddress(placed.named()), flags: 0 };
    let requests = placed.iter().map(removed).chain(additions(placed)).collect();
    socket.perform(requests, |_, _| {})
}

/// The requests of [`remove`].
pub fn removals(placed: &[Placed<'_>]) -> Vec<Request> {
    let removed =
        |placed: &Placed<'_>| Request { message: RouteNetlinkMessage::DelAddress(placed.named()), flags: 0 };
    placed.iter().rev().map(removed).collect()
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
    mut failed: impl FnMut(usize, NetlinkError),
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
    socket.perform(requests.collect(), |index, refusal| {
        if refusal.errno != libc::EADDRNOTAVAIL && refusal.errno != libc::ENODEV {
            failed(present.len() - 1 - index, refusal);
        }
    })
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
