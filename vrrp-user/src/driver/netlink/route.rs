//! Routes in the kernel's tables.
//!
//! Enters: what the configuration says of a route. Leaves: all routes of an instance set or removed by one send, and
//! an errno for each that was not. Absent: what a route is good for.

use std::io;
use std::net::IpAddr;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop, RouteNextHopFlags,
    RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::link::Link;
use super::socket::{Request, RouteSocket};
use crate::protocol::{Hop, Route, RouteKind, RouteOption};

const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;

/// Sets the routes, in this order. One that is there already counts as set.
///
/// # Errors
/// Netlink itself failed. Refusals go to `failed` by index and errno: ENODEV when an interface is gone, ENETUNREACH when
/// a gateway cannot be reached.
pub fn add(socket: &mut RouteSocket, routes: &[Route], mut failed: impl FnMut(usize, i32)) -> io::Result<()> {
    add_missing(socket, routes, |index, errno| {
        if errno != libc::EEXIST {
            failed(index, errno);
        }
    })
}

/// As [`add`], but EEXIST is told too: all others were missing.
///
/// # Errors
/// As in [`add`].
pub fn add_missing(
    socket: &mut RouteSocket,
    routes: &[Route],
    failed: impl FnMut(usize, i32),
) -> io::Result<()> {
    let added = |message| Request {
        message: RouteNetlinkMessage::NewRoute(message),
        flags: NLM_F_CREATE | NLM_F_EXCL,
    };
    send(socket, routes.iter(), added, failed)
}

/// Removes the routes, the last first. One that is not there, or whose interface is not, counts as removed; one that
/// somebody else has set (by its protocol) stays.
///
/// # Errors
/// As in [`add`].
pub fn remove(
    socket: &mut RouteSocket,
    routes: &[Route],
    mut failed: impl FnMut(usize, i32),
) -> io::Result<()> {
    let removed = |message| Request { message: RouteNetlinkMessage::DelRoute(message), flags: 0 };
    send(socket, routes.iter().rev(), removed, |index, errno| {
        if errno != libc::ESRCH && errno != libc::ENODEV {
            failed(routes.len().saturating_sub(index).saturating_sub(1), errno);
        }
    })
}

/// Sends those that can be said, and tells of the others.
fn send<'a>(
    socket: &mut RouteSocket,
    routes: impl Iterator<Item = &'a Route>,
    request: impl Fn(RouteMessage) -> Request,
    mut failed: impl FnMut(usize, i32),
) -> io::Result<()> {
    let (mut requests, mut places) = (Vec::new(), Vec::new());
    for (index, route) in routes.enumerate() {
        match message(socket, route) {
            Ok(message) => {
                requests.push(request(message));
                places.push(index);
            }
            Err(errno) => failed(index, errno),
        }
    }
    socket.perform(requests, |index, errno| {
        if let Some(index) = places.get(index) {
            failed(*index, errno);
        }
    })
}

/// The route in the kernel's words.
///
/// # Errors
/// The errno of an interface that is not there.
fn message(socket: &mut RouteSocket, route: &Route) -> Result<RouteMessage, i32> {
    let mut message = RouteMessage::default();
    let (destination, prefix) = route.destination;
    message.header = RouteHeader {
        address_family: if destination.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 },
        destination_prefix_length: prefix,
        source_prefix_length: route.from.map_or(0, |(_, prefix)| prefix),
        tos: route.tos,
        // RT_TABLE_COMPAT: the number is in an attribute.
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
    match route.hops.as_slice() {
        [] => {}
        [hop] => {
            if hop.onlink {
                message.header.flags |= RouteFlags::Onlink;
            }
            attributes.extend(hop.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
            if let Some(ifindex) = ifindex(socket, hop)? {
                attributes.push(RouteAttribute::Oif(ifindex));
            }
        }
        hops => {
            let hops = hops.iter().map(|hop| next_hop(socket, hop)).collect::<Result<_, _>>()?;
            attributes.push(RouteAttribute::MultiPath(hops));
        }
    }
    Ok(message)
}

fn next_hop(socket: &mut RouteSocket, hop: &Hop) -> Result<RouteNextHop, i32> {
    let mut next = RouteNextHop::default();
    next.flags.set(RouteNextHopFlags::Onlink, hop.onlink);
    // The kernel counts from 0.
    next.hops = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
    next.interface_index = ifindex(socket, hop)?.unwrap_or(0);
    next.attributes.extend(hop.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    Ok(next)
}

fn ifindex(socket: &mut RouteSocket, hop: &Hop) -> Result<Option<u32>, i32> {
    let Some(device) = &hop.device else { return Ok(None) };
    match Link::by_name(socket, device) {
        Ok(link) => Ok(Some(link.ifindex)),
        Err(error) => Err(error.raw_os_error().unwrap_or(libc::ENODEV)),
    }
}

/// As the `ip` command chooses it.
fn scope(route: &Route) -> u8 {
    let leads_on = route.hops.iter().any(|hop| hop.gateway.is_some());
    match (route.scope, route.kind, route.destination.0) {
        (Some(scope), _, _) => scope,
        (None, _, IpAddr::V6(_)) => 0,
        (None, RouteKind::Local, _) => SCOPE_HOST,
        (None, RouteKind::Unicast | RouteKind::Broadcast | RouteKind::Multicast, _) if !leads_on => {
            SCOPE_LINK
        }
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

/// Bit of RTAX_MTU in the mask of what is locked.
const MTU_LOCK: u32 = 1 << 2;

fn metrics(route: &Route) -> Vec<RouteMetric> {
    let lock = route.mtu_locked.then_some(RouteMetric::Lock(MTU_LOCK));
    let options = route.options.iter().map(|&(option, value)| match option {
        RouteOption::Mtu => RouteMetric::Mtu(value),
        RouteOption::AdvMss => RouteMetric::Advmss(value),
        RouteOption::Window => RouteMetric::Window(value),
        // The kernel keeps eighths and quarters of a millisecond.
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
    });
    lock.into_iter().chain(options).collect()
}
