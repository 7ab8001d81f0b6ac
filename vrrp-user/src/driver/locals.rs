//! Addresses of this host: the MAC addresses of its interfaces, and its IP addresses.
//!
//! Enters: the table of links and addresses. Leaves: whether the kernel would accept a packet to an address as this
//! host's own, and the changes for the program's map of the same. Absent: addresses added by routes of type `local`.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use vrrp_ebpf::map::LocalKey;
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::frame::Frame;

use super::netlink::table::Table;

#[derive(Debug, Default)]
pub struct Locals(RwLock<HashSet<LocalKey>>);

impl Locals {
    pub fn contains(&self, key: &LocalKey) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// Whether this host accepts the IP packet as its own, by [`Frame::is_to_us`].
    pub fn take(&self, ifindex: u32, frame: &Frame, own: &[u8; 16]) -> bool {
        let key = LocalKey::of_address(ifindex, frame.family, frame.destination);
        frame.is_to_us(own, || self.contains(&key))
    }

    /// Replaces the set. Returns the added and the removed addresses.
    pub fn set(&self, known: HashSet<LocalKey>) -> (Vec<LocalKey>, Vec<LocalKey>) {
        if *self.0.read().unwrap_or_else(PoisonError::into_inner) == known {
            return (Vec::new(), Vec::new());
        }
        let mut locals = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let new = known.difference(&locals).copied().collect();
        let gone = locals.difference(&known).copied().collect();
        *locals = known;
        (new, gone)
    }
}

/// The addresses of all links. Without IPv6 addresses that are tentative or duplicate: the kernel delivers nothing to
/// them.
pub fn locals(table: &Table) -> HashSet<LocalKey> {
    let macs = table.links().filter_map(|link| Some((link.ifindex, link.hardware?)));
    let macs = macs.flat_map(|(ifindex, mac)| [ifindex, LocalKey::ANY].map(|it| LocalKey::of_mac(it, mac)));
    let addresses = table.all_addresses().filter(|address| address.usable).map(|present| {
        LocalKey::of_address(present.ifindex, Family::of(present.address), widen(present.address))
    });
    macs.chain(addresses).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_reported_once() {
        let [one, two] = [1, 2].map(|ifindex| LocalKey::of_mac(ifindex, [2, 0, 0, 0, 0, 1]));
        let locals = Locals::default();
        assert_eq!(locals.set([one].into()), (vec![one], vec![]));
        assert_eq!(locals.set([one].into()), (vec![], vec![]));
        assert!(locals.contains(&one) && !locals.contains(&two));
        assert_eq!(locals.set([two].into()), (vec![two], vec![one]));
        assert!(!locals.contains(&one) && locals.contains(&two));
    }
}
