//! Interfaces with virtual MAC addresses: private macvlans, as keepalived makes them.
//!
//! Enters: what the configuration says of one. Leaves: the interface, set and up, whether made now or left by an
//! earlier run; or why it cannot be. Absent: the parent's settings, and when to make one.
//!
//! In private mode the kernel hands a frame that comes from the same MAC address, such as the advert of the master, to
//! the macvlan and not to its parent. XDP, tcx and packet sockets on the parent see it before that.

use std::io;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage, MacVlanMode,
};
use thiserror::Error;
use vrrp_ebpf::wire::Family;

use super::devconf::{self, Setting};
use super::link::Link;
use super::refusal::Refusal;
use super::socket::{Request, RouteSocket};
use crate::driver::sysctl;
use crate::protocol::Vmac;

/// Why there is no such interface.
#[derive(Debug, Error)]
pub enum VmacError {
    /// It is tried again when the parent comes.
    #[error("{interface}: there is no {parent} to make it on")]
    NoParent { interface: String, parent: String },
    #[error("{interface}: there is an interface of this name already; remove it, or write another name")]
    Foreign { interface: String },
    #[error("{interface}: {other} on {parent} has its MAC address already; remove one of them")]
    Busy { interface: String, parent: String, other: String },
    #[error("{interface}: {action}: {source}")]
    Refused { interface: String, action: &'static str, source: io::Error },
}

/// How the interface came to be there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    Made,
    /// Left by an earlier run.
    Adopted,
}

/// Sees to it that the interface is there and up.
///
/// # Errors
/// There is none; what was made half is removed again.
pub fn ensure(socket: &mut RouteSocket, vmac: &Vmac) -> Result<Origin, VmacError> {
    let name = vmac.name.as_arc();
    let refused = |action| move |source| VmacError::Refused { interface: name.to_string(), action, source };
    let parent = Link::by_name(socket, &vmac.parent)
        .map_err(|_| VmacError::NoParent { interface: name.to_string(), parent: vmac.parent.to_string() })?;
    if let Ok(present) = Link::by_name(socket, name) {
        if is_ours(vmac, &parent, &present) {
            set_up(socket, vmac, present.ifindex).map_err(refused("cannot be set up"))?;
            return Ok(Origin::Adopted);
        }
        if present.macvlan.is_none() || present.mac != Some(vmac.mac) {
            return Err(VmacError::Foreign { interface: name.to_string() });
        }
        // Of an earlier run, on another parent or in another mode.
        delete(socket, present.ifindex).map_err(refused("cannot be made anew"))?;
    }
    make(socket, vmac, &parent).map_err(refused("cannot be made"))?;
    let made = Link::by_name(socket, name).map_err(refused("is gone again"))?;
    let done = set_up(socket, vmac, made.ifindex);
    if let Err(error) = done {
        // The reason counts, not what becomes of the rest.
        let _ = delete(socket, made.ifindex);
        return Err(match Refusal::errno_of(&error) {
            Some(libc::EBUSY | libc::EADDRINUSE) => busy(socket, vmac, &parent),
            _ => refused("cannot be set up")(error),
        });
    }
    if vmac.notify {
        // Setting what is set already makes the kernel tell the interface's state; nothing depends on it here.
        let _ = change(socket, parent.ifindex, |message| {
            message.attributes.push(LinkAttribute::Group(parent.group));
        });
    }
    Ok(Origin::Made)
}

/// Removes those of the interfaces that are there as we have made them, all at once: one by one, the kernel waits for
/// its readers (RCU) each time.
///
/// # Errors
/// The kernel refused.
pub fn remove(socket: &mut RouteSocket, vmacs: &[&Vmac]) -> io::Result<()> {
    let links = Link::list(socket)?;
    let is_one = |link: &&Link| {
        link.macvlan == Some(MacVlanMode::Private)
            && vmacs.iter().any(|vmac| **vmac.name.as_arc() == *link.name && link.mac == Some(vmac.mac))
    };
    let present: Vec<u32> = links.iter().filter(is_one).map(|link| link.ifindex).collect();
    if let [only] = *present {
        return delete(socket, only);
    }
    let is_free = |group: &u32| links.iter().all(|link| link.group != *group);
    let Some(group) = (DOOMED..).find(is_free).filter(|_| !present.is_empty()) else { return Ok(()) };
    let marked = present.iter().map(|ifindex| {
        let mut message = LinkMessage::default();
        message.header.index = *ifindex;
        message.attributes.push(LinkAttribute::Group(group));
        Request { message: RouteNetlinkMessage::SetLink(message), flags: 0 }
    });
    // One that is gone meanwhile needs no mark.
    socket.perform(marked.collect(), |_, _| {})?;
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::Group(group));
    request(socket, RouteNetlinkMessage::DelLink(message), 0)
}

/// Where the group of interfaces that are removed together is looked for: nobody numbers groups from here.
const DOOMED: u32 = 0x7672_7270;

/// The macvlan among `links` that an earlier run has made for the same purpose.
pub fn find<'a>(links: &'a [Link], vmac: &Vmac) -> Option<&'a Link> {
    let parent = links.iter().find(|link| *link.name == *vmac.parent)?;
    links.iter().find(|link| is_ours(vmac, parent, link))
}

fn is_ours(vmac: &Vmac, parent: &Link, link: &Link) -> bool {
    // A macvlan on a macvlan stands on the same interface as that one.
    let (below, namespace) = match parent.macvlan {
        Some(_) => (parent.parent, parent.parent_namespace),
        None => (Some(parent.ifindex), None),
    };
    link.macvlan == Some(MacVlanMode::Private)
        && link.mac == Some(vmac.mac)
        && (link.parent, link.parent_namespace) == (below, namespace)
}

fn make(socket: &mut RouteSocket, vmac: &Vmac, parent: &Link) -> io::Result<()> {
    let mut message = LinkMessage::default();
    let data = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Private)]);
    message.attributes = vec![
        LinkAttribute::IfName(vmac.name.as_arc().to_string()),
        LinkAttribute::Link(parent.ifindex),
        LinkAttribute::Address(vmac.mac.to_vec()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::MacVlan), LinkInfo::Data(data)]),
    ];
    request(socket, RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
}

fn busy(socket: &mut RouteSocket, vmac: &Vmac, parent: &Link) -> VmacError {
    let links = Link::list(socket).unwrap_or_default();
    let is_beside = |link: &Link| (link.parent, link.parent_namespace) == (Some(parent.ifindex), None);
    let other = links.iter().find(|link| link.mac == Some(vmac.mac) && is_beside(link));
    VmacError::Busy {
        interface: vmac.name.as_arc().to_string(),
        parent: vmac.parent.to_string(),
        other: other.map_or_else(|| "another interface".to_owned(), |other| other.name.clone()),
    }
}

/// Settings first: an interface that is up with the kernel's would answer for the parent's addresses.
fn set_up(socket: &mut RouteSocket, vmac: &Vmac, ifindex: u32) -> io::Result<()> {
    // No link-local address of its own, which would be the same on all nodes. A kernel without IPv6 makes none.
    let _ = change(socket, ifindex, |message| {
        let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        message.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]));
    });
    // Or it would answer for the IPv4 addresses of the parent.
    let mut settings = vec![(Setting::ArpIgnore, 1)];
    if vmac.family == Family::V4 {
        // Packets to the addresses come in here, while the way back may be the parent's. The stricter of this and the
        // setting for all interfaces counts, but loose (2) overrides strict (1).
        let strict = sysctl::read(Family::V4, "all", "rp_filter").is_ok_and(|value| value == "1");
        let rp_filter = if strict { 2 } else { 0 };
        settings.extend([
            (Setting::AcceptLocal, 1),
            (Setting::PromoteSecondaries, 1),
            (Setting::RpFilter, rp_filter),
        ]);
    }
    devconf::set(socket, ifindex, &settings)?;
    let write = |key, value| sysctl::write(Family::V6, vmac.name.as_arc(), key, value);
    // Without an address of its own IPv6 is silent here in any case: it matters only where an address is to stand.
    let _ = match vmac.family {
        Family::V4 => write("disable_ipv6", "1"),
        // Routers are asked and heard on the parent; a backup that asked with this MAC address would draw the traffic
        // of the master.
        Family::V6 => write("accept_ra", "0"),
    };
    if vmac.family == Family::V6 {
        write("disable_ipv6", "0")?;
    }
    change(socket, ifindex, |message| {
        message.header.flags |= LinkFlags::Up;
        message.header.change_mask |= LinkFlags::Up;
        message.attributes.push(LinkAttribute::Group(vmac.group));
    })
}

fn change(socket: &mut RouteSocket, ifindex: u32, edit: impl FnOnce(&mut LinkMessage)) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    edit(&mut message);
    request(socket, RouteNetlinkMessage::SetLink(message), 0)
}

fn delete(socket: &mut RouteSocket, ifindex: u32) -> io::Result<()> {
    let Request { message, flags } = removal(ifindex);
    request(socket, message, flags)
}

/// Removes an interface.
pub fn removal(ifindex: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    Request { message: RouteNetlinkMessage::DelLink(message), flags: 0 }
}

fn request(socket: &mut RouteSocket, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut refused = Ok(());
    socket.perform(vec![Request { message, flags }], |_, refusal| refused = Err(refusal.into()))?;
    refused
}
