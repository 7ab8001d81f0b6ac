//! The kernel's table of neighbours: who has answered ARP or neighbour solicitations.

use std::io;
use std::net::IpAddr;

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};

use super::socket::RouteSocket;

/// Neighbours that the kernel has asked lately, each with its interface, and whether it has answered. One that was
/// known before, and is asked again only later, is in neither state.
///
/// # Errors
/// The kernel could not be asked.
pub fn neighbours() -> io::Result<Vec<(IpAddr, u32, bool)>> {
    let mut found = Vec::new();
    let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
    RouteSocket::open()?.dump(request, |message| {
        let RouteNetlinkMessage::NewNeighbour(message) = message else { return };
        let address = message.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(IpAddr::from(*address)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::from(*address)),
            _ => None,
        });
        let has_answered = match message.header.state {
            NeighbourState::Reachable | NeighbourState::Permanent => true,
            NeighbourState::Failed | NeighbourState::Incomplete | NeighbourState::None => false,
            _ => return,
        };
        found.extend(address.map(|address| (address, message.header.ifindex, has_answered)));
    })?;
    Ok(found)
}
