//! Leftover addresses of an earlier run, on a node that is not master.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol};
use rtnetlink::packet_route::rule::{RuleAttribute, RuleMessage};

use super::address;
use super::link::Link;
use super::origin;
use super::refusal::NetlinkError;
use super::socket::RouteSocket;
use super::table::Address;
use crate::config::InstanceSettings;
use crate::protocol::Priority;

/// A leftover address and what was done with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeftoverAddress {
    pub address: Address,
    /// Why its removal failed.
    pub refusal: Option<NetlinkError>,
    /// Left in place: the interface has no other address to send from, and VRRP probably did not set it.
    pub is_kept: bool,
}

/// Number of routes and rules on this host that VRRP has set, of whatever daemon. Before Linux 4.17, rules do not say.
///
/// # Errors
/// The kernel could not be queried.
pub fn paths(socket: &mut RouteSocket) -> io::Result<(usize, usize)> {
    let (mut routes, mut rules) = (0, 0);
    let of_vrrp = |protocol: RouteProtocol| usize::from(u8::from(protocol) == address::PROTOCOL);
    socket.dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()), |message| {
        if let RouteNetlinkMessage::NewRoute(message) = message {
            routes += of_vrrp(message.header.protocol);
        }
    })?;
    socket.dump(RouteNetlinkMessage::GetRule(RuleMessage::default()), |message| {
        if let RouteNetlinkMessage::NewRule(message) = message {
            rules += message.attributes.iter().fold(0, |count, attribute| match attribute {
                RuleAttribute::Protocol(protocol) => count + of_vrrp(*protocol),
                _ => count,
            });
        }
    })?;
    Ok((routes, rules))
}

/// Removes every address that the configuration names and VRRP has set, on any interface. If the kernel does not report
/// who set an address, or another daemon set it, removes every one that is exactly as configured. An owner's addresses
/// belong to the interface and stay, unless marked. An address also stays if `may_go` refuses it, or if it is the only
/// one that the instance can send from and the kernel does not report that VRRP set it.
///
/// # Errors
/// The kernel could not be queried.
pub fn remove<'a>(
    instances: impl IntoIterator<Item = &'a InstanceSettings>,
    may_go: impl Fn(IpAddr) -> bool,
) -> io::Result<Vec<LeftoverAddress>> {
    let mut socket = RouteSocket::open()?;
    let wanted = wanted(&mut socket, instances);
    let mut all = Vec::new();
    address::list(&mut socket, |present| all.push(present))?;
    let is_wanted = |present: &Address| wanted.contains_key(&present.address);
    let found = all.iter().copied().filter(|present| {
        let places = wanted.get(&present.address);
        places.is_some_and(|places| is_leftover(present, places)) && may_go(present.address)
    });
    let is_reported = origin::is_reported(&all);
    let (kept, found): (Vec<Address>, Vec<Address>) = found.partition(|present| {
        let places = wanted.get(&present.address).into_iter().flatten();
        let mut sending = places.filter(|place| place.ifindex == Some(present.ifindex));
        sending.any(|place| place.sends && (is_reported || !place.has_source))
            && origin::is_only_source(present, &all, is_wanted)
    });
    let leftovers = |address: &Address| LeftoverAddress { address: *address, refusal: None, is_kept: false };
    let mut leftovers: Vec<_> = found.iter().map(leftovers).collect();
    address::clear(&mut socket, &found, |index, refusal| {
        if let Some(leftovers) = leftovers.get_mut(index) {
            leftovers.refusal = Some(refusal);
        }
    })?;
    leftovers.extend(kept.into_iter().map(|address| LeftoverAddress {
        address,
        refusal: None,
        is_kept: true,
    }));
    Ok(leftovers)
}

/// A configured location of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct WantedAddress {
    ifindex: Option<u32>,
    prefix: u8,
    owned: bool,
    /// The instance sends its adverts on this interface.
    sends: bool,
    /// From a configured address, which may be on another one: then ours can be the only address here.
    has_source: bool,
}

fn wanted<'a>(
    socket: &mut RouteSocket,
    instances: impl IntoIterator<Item = &'a InstanceSettings>,
) -> BTreeMap<IpAddr, Vec<WantedAddress>> {
    let mut indexes = BTreeMap::new();
    let mut wanted = BTreeMap::<_, Vec<_>>::new();
    for settings in instances {
        let owned = settings.priority == Priority::OWNER;
        for address in settings.addresses.advertised.iter().chain(&settings.addresses.excluded) {
            let device = address.device.as_ref().unwrap_or(settings.address_interface());
            let ifindex = *indexes
                .entry(device)
                .or_insert_with(|| Link::by_name(socket, device).ok().map(|link| link.ifindex));
            let (sends, has_source) = (*device == settings.interface, settings.source.is_some());
            let place = WantedAddress { ifindex, prefix: address.prefix, owned, sends, has_source };
            wanted.entry(address.address).or_default().push(place);
        }
    }
    wanted
}

fn is_leftover(present: &Address, places: &[WantedAddress]) -> bool {
    present.marked
        || places.iter().any(|place| {
            !place.owned && place.ifindex == Some(present.ifindex) && place.prefix == present.prefix
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_is_a_leftover() {
        let present = |ifindex, prefix, marked| Address {
            ifindex,
            address: [192, 0, 2, 1].into(),
            prefix,
            peer: None,
            secondary: false,
            usable: true,
            marked,
        };
        let place =
            [WantedAddress { ifindex: Some(3), prefix: 24, owned: false, sends: true, has_source: false }];
        assert!(is_leftover(&present(3, 24, false), &place));
        assert!(!is_leftover(&present(3, 32, false), &place));
        assert!(!is_leftover(&present(4, 24, false), &place));
        assert!(is_leftover(&present(4, 32, true), &place));
        let owned = [WantedAddress { owned: true, ..place[0] }];
        assert!(!is_leftover(&present(3, 24, false), &owned));
        assert!(is_leftover(&present(3, 24, true), &owned));
    }
}
