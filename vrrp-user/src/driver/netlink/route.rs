//! Routes in the kernel's tables.
//!
//! Enters: configured routes. Leaves: all routes of an instance added or removed in one send, with the reason for each
//! failure. Absent: the use of a route.

use std::io;
use std::net::IpAddr;

use rtnetlink::packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop, RouteNextHopFlags,
    RoutePreference as Preference, RouteProtocol, RouteRealm, RouteScope, RouteType, RouteVia,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::link::Link;
use super::refusal::NetlinkError;
use super::socket::{Request, RouteSocket};
use crate::config::{Hop, Placement, Route, RouteKind, RouteOption, RoutePreference};

const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;

/// Adds the routes, in this order. An existing one counts as added.
///
/// # Errors
/// Netlink itself failed. Refusals go to `failed` by index: ENODEV if an interface is gone, ENETUNREACH if a gateway is
/// unreachable.
pub fn add(
    socket: &mut RouteSocket,
    routes: &[Route],
    mut failed: impl FnMut(usize, NetlinkError),
) -> io::Result<()> {
    add_missing(socket, routes, |index, refusal| {
        if refusal.errno != libc::EEXIST {
            failed(index, refusal);
        }
    })
}

/// As [`add`], but reports EEXIST too: every route without a refusal was missing.
///
/// # Errors
/// As in [`add`].
pub fn add_missing(
    socket: &mut RouteSocket,
    routes: &[Route],
    failed: impl FnMut(usize, NetlinkError),
) -> io::Result<()> {
    let added = |message, route: &Route| Request {
        message: RouteNetlinkMessage::NewRoute(message),
        flags: match route.placement {
            // The kernel still refuses an identical route.
            Placement::Prepend => NLM_F_CREATE,
            Placement::Append => NLM_F_CREATE | NLM_F_APPEND,
            Placement::Alone => NLM_F_CREATE | NLM_F_EXCL,
        },
    };
    send(socket, routes.iter(), added, failed)
}

/// Removes the routes in reverse order. A route counts as removed if it or its interface is missing. One with another
/// protocol was set by another process and stays.
///
/// # Errors
/// As in [`add`].
pub fn remove(
    socket: &mut RouteSocket,
    routes: &[Route],
    mut failed: impl FnMut(usize, NetlinkError),
) -> io::Result<()> {
    send(socket, routes.iter().rev(), removal, |index, refusal| {
        if refusal.errno != libc::ESRCH && refusal.errno != libc::ENODEV {
            failed(routes.len().saturating_sub(index).saturating_sub(1), refusal);
        }
    })
}

/// The requests of [`remove`], without routes via missing interfaces.
pub fn removals(socket: &mut RouteSocket, routes: &[Route]) -> Vec<Request> {
    let known = |route: &Route| Some(removal(message(socket, route).ok()?, route));
    routes.iter().rev().filter_map(known).collect()
}

fn removal(message: RouteMessage, _: &Route) -> Request {
    Request { message: RouteNetlinkMessage::DelRoute(message), flags: 0 }
}

/// Sends the routes that can be encoded, and reports the others to `failed`.
fn send<'a>(
    socket: &mut RouteSocket,
    routes: impl Iterator<Item = &'a Route>,
    request: impl Fn(RouteMessage, &Route) -> Request,
    mut failed: impl FnMut(usize, NetlinkError),
) -> io::Result<()> {
    let (mut requests, mut places) = (Vec::new(), Vec::new());
    for (index, route) in routes.enumerate() {
        match message(socket, route) {
            Ok(message) => {
                requests.push(request(message, route));
                places.push(index);
            }
            Err(errno) => failed(index, errno.into()),
        }
    }
    socket.perform(requests, |index, refusal| {
        if let Some(index) = places.get(index) {
            failed(*index, refusal);
        }
    })
}

/// The route as an rtnetlink message.
///
/// # Errors
/// The errno of a missing interface.
fn message(socket: &mut RouteSocket, route: &Route) -> Result<RouteMessage, i32> {
    let mut message = RouteMessage::default();
    let (destination, prefix) = route.destination;
    message.header = RouteHeader {
        address_family: if destination.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 },
        destination_prefix_length: prefix,
        source_prefix_length: route.from.map_or(0, |(_, prefix)| prefix),
        tos: route.tos,
        // RT_TABLE_COMPAT: an attribute holds the number.
        table: u8::try_from(route.table).unwrap_or(252),
        protocol: RouteProtocol::from(route.protocol),
        scope: RouteScope::from(scope(route)),
        kind: kind(route.kind),
        flags: RouteFlags::empty(),
    };
    let attributes = &mut message.attributes;
    if prefix > 0 {
        attributes.push(RouteAttribute::Destination(destination.into()));
    }
    if let Some((from, _)) = route.from {
        attributes.push(RouteAttribute::Source(from.into()));
    }
    if let Some(source) = route.source {
        attributes.push(RouteAttribute::PrefSource(source.into()));
    }
    attributes.push(RouteAttribute::Table(route.table));
    if let Some(metric) = route.metric {
        attributes.push(RouteAttribute::Priority(metric));
    }
    let metrics = metrics(route);
    if !metrics.is_empty() {
        attributes.push(RouteAttribute::Metrics(metrics));
    }
    attributes.extend(route.realms.map(|both| RouteAttribute::Realm(realm(both))));
    attributes.extend(route.preference.map(|preference| RouteAttribute::Preference(level(preference))));
    match route.hops.as_slice() {
        [] => {}
        [hop] => {
            if hop.onlink {
                message.header.flags |= RouteFlags::Onlink;
            }
            attributes.extend(hop.gateway.map(|gateway| leading(gateway, destination)));
            if let Some(ifindex) = ifindex(socket, hop)? {
                attributes.push(RouteAttribute::Oif(ifindex));
            }
        }
        hops => {
            let hops = hops.iter().map(|hop| next_hop(socket, hop, destination));
            let hops = hops.collect::<Result<_, _>>()?;
            attributes.push(RouteAttribute::MultiPath(hops));
        }
    }
    Ok(message)
}

/// RTA_VIA if the gateway is of another family than the destination (Linux 5.2).
fn leading(gateway: IpAddr, destination: IpAddr) -> RouteAttribute {
    match gateway {
        IpAddr::V6(gateway) if destination.is_ipv4() => RouteAttribute::Via(RouteVia::Inet6(gateway)),
        IpAddr::V4(gateway) if destination.is_ipv6() => RouteAttribute::Via(RouteVia::Inet(gateway)),
        gateway => RouteAttribute::Gateway(gateway.into()),
    }
}

fn next_hop(socket: &mut RouteSocket, hop: &Hop, destination: IpAddr) -> Result<RouteNextHop, i32> {
    let mut next = RouteNextHop::default();
    next.flags.set(RouteNextHopFlags::Onlink, hop.onlink);
    // The kernel counts from 0.
    next.hops = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
    next.interface_index = ifindex(socket, hop)?.unwrap_or(0);
    next.attributes.extend(hop.gateway.map(|gateway| leading(gateway, destination)));
    Ok(next)
}

fn ifindex(socket: &mut RouteSocket, hop: &Hop) -> Result<Option<u32>, i32> {
    let Some(device) = &hop.device else { return Ok(None) };
    match Link::by_name(socket, device) {
        Ok(link) => Ok(Some(link.ifindex)),
        Err(error) => Err(error.raw_os_error().unwrap_or(libc::ENODEV)),
    }
}

/// Global as in keepalived, if the kernel accepts that; the `ip` command chooses link for a route without a gateway.
fn scope(route: &Route) -> u8 {
    match (route.scope, route.kind, route.destination.0) {
        (Some(scope), _, _) => scope,
        (None, RouteKind::Local, IpAddr::V4(_)) => SCOPE_HOST,
        (None, RouteKind::Broadcast, IpAddr::V4(_)) => SCOPE_LINK,
        _ => 0,
    }
}

fn kind(kind: RouteKind) -> RouteType {
    match kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Local => RouteType::Local,
        RouteKind::Broadcast => RouteType::Broadcast,
        RouteKind::Multicast => RouteType::Multicast,
        RouteKind::Throw => RouteType::Throw,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Prohibit => RouteType::Prohibit,
        RouteKind::Blackhole => RouteType::BlackHole,
    }
}

pub(super) fn realm(both: u32) -> RouteRealm {
    let [source, destination] = [both >> 16, both & 0xffff].map(|half| u16::try_from(half).unwrap_or(0));
    RouteRealm { source, destination }
}

fn level(preference: RoutePreference) -> Preference {
    match preference {
        RoutePreference::Low => Preference::Low,
        RoutePreference::Medium => Preference::Medium,
        RoutePreference::High => Preference::High,
    }
}

/// RTAX_CC_ALGO.
const CONGESTION: u16 = 16;

fn metrics(route: &Route) -> Vec<RouteMetric> {
    let locked = route.locked.iter().map(|option| number(*option));
    let locked = locked.chain(route.congestion_locked.then_some(CONGESTION));
    let mask = locked.fold(0, |mask, number| mask | 1 << number);
    let lock = (mask > 0).then_some(RouteMetric::Lock(mask));
    let congestion = route.congestion_control.as_ref().map(|name| RouteMetric::CcAlgo(name.to_string()));
    let options = route.options.iter().map(|&(option, value)| match option {
        RouteOption::Mtu => RouteMetric::Mtu(value),
        RouteOption::AdvMss => RouteMetric::Advmss(value),
        RouteOption::Window => RouteMetric::Window(value),
        // The kernel's units are 1/8 and 1/4 of a millisecond.
        RouteOption::Rtt => RouteMetric::Rtt(value.saturating_mul(8)),
        RouteOption::RttVar => RouteMetric::RttVar(value.saturating_mul(4)),
        RouteOption::SsThresh => RouteMetric::SsThresh(value),
        RouteOption::Cwnd => RouteMetric::Cwnd(value),
        RouteOption::Reordering => RouteMetric::Reordering(value),
        RouteOption::HopLimit => RouteMetric::Hoplimit(value),
        RouteOption::InitCwnd => RouteMetric::InitCwnd(value),
        RouteOption::InitRwnd => RouteMetric::InitRwnd(value),
        RouteOption::RtoMin => RouteMetric::RtoMin(value),
        RouteOption::QuickAck => RouteMetric::QuickAck(value),
        RouteOption::FastOpenNoCookie => RouteMetric::FastopenNoCookie(value),
        RouteOption::Features => RouteMetric::Features(value),
    });
    lock.into_iter().chain(options).chain(congestion).collect()
}

/// RTAX_* of `linux/rtnetlink.h`, also the option's bit in the lock mask.
fn number(option: RouteOption) -> u16 {
    match option {
        RouteOption::Mtu => 2,
        RouteOption::Window => 3,
        RouteOption::Rtt => 4,
        RouteOption::RttVar => 5,
        RouteOption::SsThresh => 6,
        RouteOption::Cwnd => 7,
        RouteOption::AdvMss => 8,
        RouteOption::Reordering => 9,
        RouteOption::HopLimit => 10,
        RouteOption::InitCwnd => 11,
        RouteOption::Features => 12,
        RouteOption::RtoMin => 13,
        RouteOption::InitRwnd => 14,
        RouteOption::QuickAck => 15,
        RouteOption::FastOpenNoCookie => 17,
    }
}
