//! Interfaces as reported by rtnetlink.

use std::io;

use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    MacVlanMode,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::socket::RouteSocket;

/// A network interface.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Link {
    pub ifindex: u32,
    pub name: String,
    /// Set up by the administrator, and able to carry traffic (IFF_UP and IFF_RUNNING).
    pub up: bool,
    /// Set up by the administrator (IFF_UP).
    pub set_up: bool,
    /// Ethernet address; `None` if the interface does not use ARP or neighbour discovery.
    pub mac: Option<[u8; 6]>,
    /// Ethernet address, even of an interface without ARP and neighbour discovery.
    pub hardware: Option<[u8; 6]>,
    /// Kind of a software device: `veth`, `bridge`, `vlan`, …
    pub kind: Option<String>,
    /// Index of the lower interface of a software device.
    pub parent: Option<u32>,
    /// The network namespace of that index, if it is another one.
    pub parent_namespace: Option<i32>,
    /// Mode of a macvlan: which traffic it passes to its siblings.
    pub macvlan: Option<MacVlanMode>,
    /// See `ip link set group`.
    pub group: u32,
    /// How often the carrier has come or gone (IFLA_CARRIER_CHANGES, since Linux 3.15).
    pub carrier_changes: u32,
}

/// Whether frames of an interface of this type (ARPHRD_*) begin with an Ethernet header. Tunnels and point-to-point
/// links have none.
pub const fn has_ethernet(kind: u16) -> bool {
    matches!(kind, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK)
}

impl Link {
    /// `None` for a message that does not describe an interface, for example one about a bridge port.
    pub fn parse(message: &LinkMessage) -> Option<Self> {
        let header = &message.header;
        if header.interface_family != AddressFamily::Unspec {
            return None;
        }
        let mut link = Self {
            ifindex: header.index,
            up: header.flags.contains(LinkFlags::Up | LinkFlags::Running),
            set_up: header.flags.contains(LinkFlags::Up),
            ..Self::default()
        };
        let is_ethernet = header.link_layer_type == LinkLayerType::Ether;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(mac) if is_ethernet => link.hardware = mac.as_slice().try_into().ok(),
                LinkAttribute::LinkInfo(infos) => {
                    link.kind = infos.iter().find_map(kind);
                    link.macvlan = infos.iter().find_map(macvlan);
                }
                LinkAttribute::Link(parent) => link.parent = Some(*parent),
                LinkAttribute::LinkNetNsId(namespace) => link.parent_namespace = Some(*namespace),
                LinkAttribute::Group(group) => link.group = *group,
                LinkAttribute::CarrierChanges(changes) => link.carrier_changes = *changes,
                _ => {}
            }
        }
        link.mac = link.hardware.filter(|_| !header.flags.contains(LinkFlags::Noarp));
        (!link.name.is_empty()).then_some(link)
    }

    /// Reads the interface of this name.
    ///
    /// # Errors
    /// ENODEV: no such interface.
    pub fn by_name(socket: &mut RouteSocket, name: &str) -> io::Result<Self> {
        let mut request = LinkMessage::default();
        request.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match socket.query(RouteNetlinkMessage::GetLink(request))? {
            RouteNetlinkMessage::NewLink(message) => Self::parse(&message),
            _ => None,
        }
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    /// Reads all interfaces.
    ///
    /// # Errors
    /// Netlink failed.
    pub fn list(socket: &mut RouteSocket) -> io::Result<Vec<Self>> {
        let mut links = Vec::new();
        socket.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()), |message| {
            if let RouteNetlinkMessage::NewLink(message) = message {
                links.extend(Self::parse(&message));
            }
        })?;
        Ok(links)
    }
}

fn kind(info: &LinkInfo) -> Option<String> {
    match info {
        LinkInfo::Kind(kind) => Some(InfoKind::to_string(kind)),
        _ => None,
    }
}

fn macvlan(info: &LinkInfo) -> Option<MacVlanMode> {
    let LinkInfo::Data(InfoData::MacVlan(data)) = info else { return None };
    data.iter().find_map(|item| match item {
        InfoMacVlan::Mode(mode) => Some(*mode),
        _ => None,
    })
}
