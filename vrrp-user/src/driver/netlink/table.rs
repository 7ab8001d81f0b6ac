//! The table of links and addresses, kept current by notifications.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use vrrp_ebpf::time::Timestamp;

use super::address::PROTOCOL;
use super::link::Link;
use super::socket;
use crate::driver::clock;
use crate::protocol::Loss;

/// An address on an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Address {
    pub ifindex: u32,
    pub address: IpAddr,
    pub prefix: u8,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// Not the first address of its subnet on the interface (IPv4).
    pub secondary: bool,
    /// Usable: duplicate address detection has ended without a duplicate (IPv6).
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
        // On a point-to-point link IFA_ADDRESS is the peer's address.
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

    /// Whether the other address is in the same subnet.
    pub fn is_near(&self, other: IpAddr) -> bool {
        let near = self.peer.unwrap_or(self.address);
        let differing = match (near, other) {
            (IpAddr::V4(near), IpAddr::V4(other)) => (near.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(near), IpAddr::V6(other)) => (near.to_bits() ^ other.to_bits()).leading_zeros(),
            _ => return false,
        };
        differing >= u32::from(self.prefix)
    }

    fn same_as(&self, other: &Self) -> bool {
        (self.address, self.prefix, self.peer) == (other.address, other.prefix, other.peer)
    }
}

/// Links by index, each with its addresses in order of arrival.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Table {
    links: BTreeMap<u32, (Link, Vec<Address>)>,
    /// Index of names: there are as many interfaces with virtual MAC addresses as instances, and each instance looks
    /// its own up.
    names: HashMap<String, u32>,
    /// When links have come up, by index; those that have been up since they were read are missing.
    risen: HashMap<u32, Timestamp>,
    /// Which of all links this is, by index: an interface that leaves the network namespace may come back under its
    /// index, without its addresses, and what was bound to it.
    births: HashMap<u32, u64>,
    born: u64,
    removed: Removed,
    /// By link name, since they were last taken.
    stirred: BTreeMap<String, Stir>,
    /// Netlink ports of other processes that have set addresses by VRRP's mark, since they were last taken.
    setters: BTreeSet<u32>,
}

/// Changes of a link, apart from addresses set by VRRP.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stir {
    /// The link was added, removed, or set up or down.
    pub link: bool,
    pub removed: Vec<Address>,
}

/// Addresses removed since they were last taken.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Removed {
    pub addresses: Vec<Gone>,
    /// The netlink port of another process that removed the last of them, if the kernel names it.
    pub by: Option<u32>,
    /// Notifications were lost: any address may have been removed.
    pub unknown: bool,
}

/// A removed address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gone {
    pub address: Address,
    /// [`Loss::Address`]: removed by another process.
    pub loss: Loss,
}

impl Table {
    /// As [`Self::apply_from`], without a cause.
    pub fn apply(&mut self, message: &RouteNetlinkMessage) {
        self.apply_from(message, 0);
    }

    /// Applies a notification or part of a dump, caused by this port. Unrelated messages change nothing.
    pub fn apply_from(&mut self, message: &RouteNetlinkMessage, port: u32) {
        match message {
            RouteNetlinkMessage::NewLink(message) => {
                if let Some(link) = Link::parse(message) {
                    let before = self.links.get(&link.ifindex).map(|(before, _)| before.clone());
                    if link.up && before.as_ref().is_some_and(|before| !before.up) {
                        self.risen.insert(link.ifindex, clock::now());
                    }
                    let stance = |link: &Link| (link.up, link.set_up, link.name.clone());
                    if before.as_ref().map(stance) != Some(stance(&link)) {
                        let names = before.into_iter().map(|before| before.name);
                        for name in names.chain([link.name.clone()]) {
                            self.stirred.entry(name).or_default().link = true;
                        }
                    }
                    let addresses = self.remove(link.ifindex);
                    if !self.births.contains_key(&link.ifindex) {
                        self.born += 1;
                        self.births.insert(link.ifindex, self.born);
                    }
                    self.names.insert(link.name.clone(), link.ifindex);
                    self.links.insert(link.ifindex, (link, addresses));
                }
            }
            RouteNetlinkMessage::DelLink(message) => {
                if let Some(link) = Link::parse(message) {
                    self.remove(link.ifindex);
                    self.risen.remove(&link.ifindex);
                    self.births.remove(&link.ifindex);
                    self.stirred.entry(link.name).or_default().link = true;
                }
            }
            RouteNetlinkMessage::NewAddress(message) => {
                if let Some(address) = Address::parse(message) {
                    self.set(address);
                    if address.marked && port != 0 && !socket::is_own(port) {
                        self.setters.insert(port);
                    }
                }
            }
            RouteNetlinkMessage::DelAddress(message) => {
                if let Some(address) = Address::parse(message) {
                    self.unset(address, port);
                }
            }
            _ => {}
        }
    }

    /// Takes the place of the table `before` some notifications were lost: any address may have been removed, and links
    /// have been down whose carrier has changed.
    pub fn replace(&mut self, before: &Self) {
        self.removed.unknown = true;
        for (ifindex, birth) in &mut self.births {
            *birth = before.births.get(ifindex).copied().unwrap_or(*birth + before.born);
        }
        self.born += before.born;
        let now = clock::now();
        for (ifindex, (link, _)) in &self.links {
            let earlier = before.by_index(*ifindex);
            let has_stayed = |earlier: &Link| earlier.up && earlier.carrier_changes == link.carrier_changes;
            let risen = match earlier {
                Some(earlier) if has_stayed(earlier) => before.risen(*ifindex),
                _ => Some(now),
            };
            self.risen.extend(risen.filter(|_| link.up).map(|at| (*ifindex, at)));
        }
    }

    /// Addresses that were removed and are still missing.
    pub fn take_removed(&mut self) -> Removed {
        let mut removed = std::mem::take(&mut self.removed);
        removed.addresses.retain(|Gone { address, .. }| {
            !self.addresses(address.ifindex).iter().any(|present| present.same_as(address))
        });
        for Gone { address, loss } in &mut removed.addresses {
            // The kernel removes secondaries along with the first address of their subnet (promote_secondaries = 0).
            if address.secondary && !self.has_primary(address) {
                *loss = Loss::Flushed;
            }
        }
        removed
    }

    pub fn take_stirred(&mut self) -> BTreeMap<String, Stir> {
        std::mem::take(&mut self.stirred)
    }

    pub fn take_setters(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.setters)
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

    fn by_index(&self, ifindex: u32) -> Option<&Link> {
        self.links.get(&ifindex).map(|(link, _)| link)
    }

    /// When the link came up last, if it has been down.
    pub fn risen(&self, ifindex: u32) -> Option<Timestamp> {
        self.risen.get(&ifindex).copied()
    }

    /// Another number for each link that was added.
    pub fn birth(&self, ifindex: u32) -> Option<u64> {
        self.births.get(&ifindex).copied()
    }

    /// Removes an interface and returns its addresses.
    fn remove(&mut self, ifindex: u32) -> Vec<Address> {
        let Some((link, addresses)) = self.links.remove(&ifindex) else { return Vec::new() };
        // Another interface may have the name by now.
        if self.names.get(&link.name) == Some(&ifindex) {
            self.names.remove(&link.name);
        }
        addresses
    }

    fn set(&mut self, address: Address) {
        // An unknown interface has been removed, and its address with it.
        let Some((link, addresses)) = self.links.get_mut(&address.ifindex) else { return };
        // A renewed lifetime is not a change.
        let mut is_usable = false;
        match addresses.iter_mut().find(|known| known.same_as(&address)) {
            Some(known) => is_usable = std::mem::replace(known, address).usable,
            None => addresses.push(address),
        }
        if address.usable && !is_usable && !address.marked {
            self.stirred.entry(link.name.clone()).or_default();
        }
    }

    fn unset(&mut self, address: Address, port: u32) {
        let Some((link, addresses)) = self.links.get_mut(&address.ifindex) else { return };
        addresses.retain(|known| !known.same_as(&address));
        // The kernel reports the link as down before it removes the addresses.
        let loss = if !link.set_up || socket::is_own(port) { Loss::Flushed } else { Loss::Address };
        if !address.marked {
            self.stirred.entry(link.name.clone()).or_default().removed.push(address);
        }
        if loss == Loss::Address && port != 0 {
            self.removed.by = Some(port);
        }
        self.removed.addresses.push(Gone { address, loss });
    }

    fn has_primary(&self, secondary: &Address) -> bool {
        let addresses = self.addresses(secondary.ifindex).iter().filter(|it| !it.secondary);
        addresses
            .filter(|it| it.prefix == secondary.prefix && it.address != secondary.address)
            .any(|it| it.is_near(secondary.address))
    }
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};

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

    #[test]
    fn links_rise_again_if_they_may_have_been_down_while_notifications_were_lost() {
        let table = |links: &[(u32, bool, u32)]| {
            let mut table = Table::default();
            for (index, up, changes) in links {
                let mut message = LinkMessage::default();
                message.header.index = *index;
                message.header.flags = if *up { LinkFlags::Up | LinkFlags::Running } else { LinkFlags::Up };
                message.attributes.push(LinkAttribute::IfName(format!("eth{index}")));
                message.attributes.push(LinkAttribute::CarrierChanges(*changes));
                table.apply(&RouteNetlinkMessage::NewLink(message));
            }
            table
        };
        let before = table(&[(1, true, 2), (2, true, 2), (3, false, 1), (4, true, 2)]);
        let mut after = table(&[(1, true, 2), (2, true, 4), (3, true, 2), (4, false, 3), (5, true, 1)]);
        after.replace(&before);
        let risen: Vec<u32> = (1..=5).filter(|ifindex| after.risen(*ifindex).is_some()).collect();
        assert_eq!(risen, [2, 3, 5]);
    }
}
