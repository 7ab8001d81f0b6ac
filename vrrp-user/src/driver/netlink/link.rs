//! Interfaces as reported by rtnetlink.

use std::ffi::CStr;
use std::io;

use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    MacVlanMode,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::socket::RouteSocket;

/// Of `linux/if_link.h` and `linux/netlink.h`.
const IFLA_MACVLAN_MODE: u16 = 1;
const NLA_TYPE_MASK: u16 = 0x3fff;

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
    pub mtu: u32,
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
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Group(group) => link.group = *group,
                LinkAttribute::CarrierChanges(changes) => link.carrier_changes = *changes,
                _ => {}
            }
        }
        link.mac = link.hardware.filter(|_| !header.flags.contains(LinkFlags::Noarp));
        (!link.name.is_empty()).then_some(link)
    }

    /// [`Self::parse`] of a message behind its netlink header, for the effect thread: the library's parser of all
    /// attributes of all kinds of interfaces would be a third of the code that is kept in memory for that thread.
    fn of_bytes(message: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(u16::from_ne_bytes(*message.get(at..)?.first_chunk()?));
        let number = |bytes: &[u8]| Some(u32::from_ne_bytes(*bytes.first_chunk()?));
        let flags = number(message.get(8..)?)?;
        let has = |wanted: libc::c_int| flags & wanted.cast_unsigned() == wanted.cast_unsigned();
        let mut link = Self {
            ifindex: number(message.get(4..)?)?,
            up: has(libc::IFF_UP | libc::IFF_RUNNING),
            set_up: has(libc::IFF_UP),
            ..Self::default()
        };
        let is_ethernet = half(2)? == libc::ARPHRD_ETHER;
        for (kind, value) in attributes(message.get(16..)?) {
            match kind {
                libc::IFLA_IFNAME => link.name = text(value)?,
                libc::IFLA_ADDRESS if is_ethernet => link.hardware = value.try_into().ok(),
                libc::IFLA_LINKINFO => {
                    let find = |wanted| attributes(value).find(|(kind, _)| *kind == wanted).map(|it| it.1);
                    link.kind = find(libc::IFLA_INFO_KIND).and_then(text);
                    let is_macvlan = link.kind.as_deref() == Some("macvlan");
                    let data =
                        find(libc::IFLA_INFO_DATA).filter(|_| is_macvlan).into_iter().flat_map(attributes);
                    let mode =
                        data.filter(|(kind, _)| *kind == IFLA_MACVLAN_MODE).find_map(|it| number(it.1));
                    link.macvlan = mode.map(MacVlanMode::from);
                }
                libc::IFLA_LINK => link.parent = number(value),
                libc::IFLA_LINK_NETNSID => link.parent_namespace = number(value).map(u32::cast_signed),
                libc::IFLA_MTU => link.mtu = number(value).unwrap_or_default(),
                libc::IFLA_GROUP => link.group = number(value).unwrap_or_default(),
                libc::IFLA_CARRIER_CHANGES => link.carrier_changes = number(value).unwrap_or_default(),
                _ => {}
            }
        }
        link.mac = link.hardware.filter(|_| !has(libc::IFF_NOARP));
        (!link.name.is_empty()).then_some(link)
    }

    /// Reads the interface of this name.
    ///
    /// # Errors
    /// ENODEV: no such interface.
    pub fn by_name(socket: &mut RouteSocket, name: &str) -> io::Result<Self> {
        let mut request = LinkMessage::default();
        request.attributes.push(LinkAttribute::IfName(name.to_owned()));
        socket.query(RouteNetlinkMessage::GetLink(request), Self::of_bytes)
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

/// Attributes by their types.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & NLA_TYPE_MASK, value))
    })
}

/// A text that ends with a zero byte.
fn text(value: &[u8]) -> Option<String> {
    Some(CStr::from_bytes_until_nul(value).ok()?.to_str().ok()?.to_owned())
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
