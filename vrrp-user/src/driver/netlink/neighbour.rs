//! The kernel's table of neighbours: who has answered ARP or neighbour solicitations.

use std::io;
use std::net::IpAddr;

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};

use super::socket::RouteSocket;

/// Neighbours, each with its interface, and whether its MAC address is known.
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
        let is_known = !matches!(
            message.header.state,
            NeighbourState::Failed | NeighbourState::Incomplete | NeighbourState::None
        );
        found.extend(address.map(|address| (address, message.header.ifindex, is_known)));
    })?;
    Ok(found)
}
