//! Interfaces with virtual MAC addresses: private macvlans, as keepalived creates them.
//!
//! Enters: the configuration of one. Leaves: the interface, configured and up, created now or left by an earlier run;
//! or the reason for a failure. Absent: the parent's settings, and when to create one.
//!
//! In private mode the kernel delivers a frame from the same MAC address, for example the master's advert, to the
//! macvlan and not to its parent. XDP, tcx and packet sockets on the parent see it before that.

use std::io;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage, MacVlanMode,
};
use thiserror::Error;
use vrrp_ebpf::wire::Family;

use super::devconf::{self, DevconfSetting};
use super::link::Link;
use super::refusal::NetlinkError;
use super::socket::{Request, RouteSocket};
use crate::config::Vmac;
use crate::driver::sysctl;

/// Why the interface could not be provided.
#[derive(Debug, Error)]
pub enum VmacError {
    /// Tried again when the parent appears.
    #[error("{interface}: its parent {parent} does not exist")]
    NoParent { interface: String, parent: String },
    #[error("{interface}: an interface of this name already exists; remove it, or configure another name")]
    Foreign { interface: String },
    #[error("{interface}: {other} on {parent} has its MAC address already; remove one of them")]
    Busy { interface: String, parent: String, other: String },
    #[error("{interface}: {action}: {source}")]
    Refused { interface: String, action: &'static str, source: io::Error },
}

/// Where the interface came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    Made,
    /// Left by an earlier run.
    Adopted,
}

/// Ensures that the interface exists and is up.
///
/// # Errors
/// The interface cannot be provided; a partly created one is removed again.
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
        // Left by an earlier run, on another parent or in another mode.
        delete(socket, present.ifindex).map_err(refused("cannot be created again"))?;
    }
    make(socket, vmac, &parent).map_err(refused("cannot be created"))?;
    let made = Link::by_name(socket, name).map_err(refused("is gone right after its creation"))?;
    let done = set_up(socket, vmac, made.ifindex);
    if let Err(error) = done {
        // Only the original error is reported.
        let _ = delete(socket, made.ifindex);
        return Err(match NetlinkError::errno_of(&error) {
            Some(libc::EBUSY | libc::EADDRINUSE) => busy(socket, vmac, &parent),
            _ => refused("cannot be set up")(error),
        });
    }
    if vmac.notify {
        // Setting an unchanged value makes the kernel send a notification of the parent's state; nothing depends on it
        // here.
        let _ = change(socket, parent.ifindex, |message| {
            message.attributes.push(LinkAttribute::Group(parent.group));
        });
    }
    Ok(Origin::Made)
}

/// Removes those of the interfaces that exist as we created them, all at once: removed one by one, each waits for the
/// kernel's RCU grace period.
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
    // An interface removed meanwhile needs no mark.
    socket.perform(marked.collect(), |_, _| {})?;
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::Group(group));
    request(socket, RouteNetlinkMessage::DelLink(message), 0)
}

/// Start of the search for a free group number for interfaces to remove together; far from numbers in use.
const DOOMED: u32 = 0x7672_7270;

/// The macvlan among `links` that an earlier run created for the same purpose.
pub fn find<'a>(links: &'a [Link], vmac: &Vmac) -> Option<&'a Link> {
    let parent = links.iter().find(|link| *link.name == *vmac.parent)?;
    links.iter().find(|link| is_ours(vmac, parent, link))
}

fn is_ours(vmac: &Vmac, parent: &Link, link: &Link) -> bool {
    // A macvlan on a macvlan has the same lower interface as that one.
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

/// Settings first: with the kernel's defaults, an interface that is up would answer for the parent's addresses.
fn set_up(socket: &mut RouteSocket, vmac: &Vmac, ifindex: u32) -> io::Result<()> {
    // No link-local address of its own, which would be the same on all nodes. Fails harmlessly on a kernel without
    // IPv6.
    let _ = change(socket, ifindex, |message| {
        let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        message.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]));
    });
    // Otherwise it would answer for the IPv4 addresses of the parent.
    let mut settings = vec![(DevconfSetting::ArpIgnore, 1)];
    if vmac.family == Family::V4 {
        // Packets to the addresses arrive here, while replies may leave by the parent. The kernel applies the larger of
        // this setting and the one for all interfaces, so that loose (2) overrides strict (1).
        let strict = sysctl::read(Family::V4, "all", "rp_filter").is_ok_and(|value| value == "1");
        let rp_filter = if strict { 2 } else { 0 };
        settings.extend([
            (DevconfSetting::AcceptLocal, 1),
            (DevconfSetting::PromoteSecondaries, 1),
            (DevconfSetting::RpFilter, rp_filter),
        ]);
    }
    devconf::set(socket, ifindex, &settings)?;
    let write = |key, value| sysctl::write(Family::V6, vmac.name.as_arc(), key, value);
    // Without an address of its own, IPv6 is silent here in any case: a failure matters only for IPv6 instances.
    let _ = match vmac.family {
        Family::V4 => write("disable_ipv6", "1"),
        // Router solicitations and advertisements use the parent; a backup that solicited with this MAC address would
        // attract the master's traffic.
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

/// The request that removes an interface.
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
