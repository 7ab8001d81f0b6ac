//! The picture of links and addresses, kept current by what the kernel tells.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use super::address::PROTOCOL;
use super::link::Link;

/// An address on an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Address {
    pub ifindex: u32,
    pub address: IpAddr,
    pub prefix: u8,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// Of a subnet that another address of the interface has already (IPv4).
    pub secondary: bool,
    /// May be used: duplicate address detection is over and found none (IPv6).
    pub usable: bool,
    /// Set by VRRP, whether by this daemon or another.
    pub marked: bool,
}

impl Address {
    pub fn parse(message: &AddressMessage) -> Option<Self> {
        let (mut local, mut address, mut marked) = (None, None, false);
        let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(value) => local = Some(*value),
                AddressAttribute::Address(value) => address = Some(*value),
                AddressAttribute::Flags(value) => flags = *value,
                AddressAttribute::Protocol(protocol) => marked = u8::from(*protocol) == PROTOCOL,
                _ => {}
            }
        }
        let tentative = flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic);
        // On a point-to-point link the other attribute is the peer's address.
        let (address, peer) = (local.or(address)?, address);
        Some(Self {
            ifindex: message.header.index,
            address,
            prefix: message.header.prefix_len,
            peer: peer.filter(|peer| *peer != address),
            secondary: address.is_ipv4() && flags.contains(AddressFlags::Secondary),
            usable: !tentative && !flags.contains(AddressFlags::Dadfailed),
            marked,
        })
    }

    fn same_as(&self, other: &Self) -> bool {
        (self.address, self.prefix, self.peer) == (other.address, other.prefix, other.peer)
    }
}

/// Links by index, each with its addresses in the order in which they came.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Table {
    links: BTreeMap<u32, (Link, Vec<Address>)>,
    /// Interfaces with virtual MAC addresses are as many as instances, and each instance looks for its own.
    names: HashMap<String, u32>,
    removed: Removed,
    /// Links that have come up since somebody asked last, by index.
    raised: Vec<u32>,
}

/// What has gone since somebody asked last.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Removed {
    pub addresses: Vec<Address>,
    /// The netlink port that removed the last of them, where the kernel names it.
    pub by: Option<u32>,
    /// News were lost: it may be any.
    pub unknown: bool,
}

impl Table {
    /// As [`Self::apply`], of a notification that this port has caused.
    pub fn apply_from(&mut self, message: &RouteNetlinkMessage, port: u32) {
        let before = self.removed.addresses.len();
        self.apply(message);
        if self.removed.addresses.len() > before && port != 0 {
            self.removed.by = Some(port);
        }
    }

    /// Takes a notification or a piece of a dump in. Unrelated ones change nothing.
    pub fn apply(&mut self, message: &RouteNetlinkMessage) {
        match message {
            RouteNetlinkMessage::NewLink(message) => {
                if let Some(link) = Link::parse(message) {
                    let was_up = self.links.get(&link.ifindex).is_some_and(|(before, _)| before.up);
                    if link.up && !was_up {
                        self.raised.push(link.ifindex);
                    }
                    let addresses = self.remove(link.ifindex);
                    self.names.insert(link.name.clone(), link.ifindex);
                    self.links.insert(link.ifindex, (link, addresses));
                }
            }
            RouteNetlinkMessage::DelLink(message) => {
                if let Some(link) = Link::parse(message) {
                    self.remove(link.ifindex);
                }
            }
            RouteNetlinkMessage::NewAddress(message) => {
                if let Some(address) = Address::parse(message) {
                    self.set(address);
                }
            }
            RouteNetlinkMessage::DelAddress(message) => {
                if let Some(address) = Address::parse(message)
                    && let Some((_, addresses)) = self.links.get_mut(&address.ifindex)
                {
                    addresses.retain(|known| !known.same_as(&address));
                    self.removed.addresses.push(address);
                }
            }
            _ => {}
        }
    }

    /// What has gone is not known.
    pub fn forget(&mut self) {
        self.removed.unknown = true;
    }

    pub fn take_removed(&mut self) -> Removed {
        std::mem::take(&mut self.removed)
    }

    pub fn take_raised(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.raised)
    }

    pub fn link(&self, name: &str) -> Option<&Link> {
        self.names.get(name).and_then(|ifindex| self.links.get(ifindex)).map(|(link, _)| link)
    }

    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values().map(|(link, _)| link)
    }

    pub fn addresses(&self, ifindex: u32) -> &[Address] {
        self.links.get(&ifindex).map_or(&[], |(_, addresses)| addresses)
    }

    pub fn all_addresses(&self) -> impl Iterator<Item = &Address> {
        self.links.values().flat_map(|(_, addresses)| addresses)
    }

    pub fn by_index(&self, ifindex: u32) -> Option<&Link> {
        self.links.get(&ifindex).map(|(link, _)| link)
    }

    /// Forgets an interface and gives its addresses.
    fn remove(&mut self, ifindex: u32) -> Vec<Address> {
        let Some((link, addresses)) = self.links.remove(&ifindex) else { return Vec::new() };
        // Another one may have the name by now.
        if self.names.get(&link.name) == Some(&ifindex) {
            self.names.remove(&link.name);
        }
        addresses
    }

    fn set(&mut self, address: Address) {
        // Of an interface that is not known, it belongs to one that is gone.
        let Some((_, addresses)) = self.links.get_mut(&address.ifindex) else { return };
        match addresses.iter_mut().find(|known| known.same_as(&address)) {
            Some(known) => *known = address,
            None => addresses.push(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(address: IpAddr, flags: AddressFlags) -> Address {
        let mut message = AddressMessage::default();
        message.attributes.push(AddressAttribute::Address(address));
        message.attributes.push(AddressAttribute::Flags(flags));
        Address::parse(&message).unwrap()
    }

    #[test]
    fn an_address_in_doubt_is_not_usable() {
        let usable = |flags| parsed("fe80::1".parse().unwrap(), flags).usable;
        assert!(usable(AddressFlags::Permanent));
        assert!(!usable(AddressFlags::Tentative));
        assert!(!usable(AddressFlags::Permanent | AddressFlags::Dadfailed));
        assert!(usable(AddressFlags::Tentative | AddressFlags::Optimistic));
    }

    #[test]
    fn only_ipv4_has_secondaries() {
        // The bit means "temporary" in IPv6.
        assert!(parsed([192, 0, 2, 1].into(), AddressFlags::Secondary).secondary);
        assert!(!parsed("fe80::1".parse().unwrap(), AddressFlags::Secondary).secondary);
    }

    #[test]
    fn the_near_end_of_a_point_to_point_link_counts() {
        let mut message = AddressMessage::default();
        message.attributes.push(AddressAttribute::Address([192, 0, 2, 2].into()));
        message.attributes.push(AddressAttribute::Local([192, 0, 2, 1].into()));
        let parsed = Address::parse(&message).unwrap();
        assert_eq!(parsed.address, IpAddr::from([192, 0, 2, 1]));
        assert_eq!(parsed.peer, Some([192, 0, 2, 2].into()));
    }
}
