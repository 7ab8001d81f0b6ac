//! What this host is addressed by: the MAC addresses of its interfaces, and its IP addresses.
//!
//! Enters: the picture of links and addresses. Leaves: whether the kernel would take what goes to an address for this
//! host's own, and how the program's map of the same has to change. Addresses that routes of type `local` add are not
//! among them.

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

    /// Whether this host takes the IP packet for its own, as [`Frame::is_to_us`] says.
    pub fn take(&self, ifindex: u32, frame: &Frame, own: &[u8; 16]) -> bool {
        let key = LocalKey::of_address(ifindex, frame.family, frame.destination);
        frame.is_to_us(own, || self.contains(&key))
    }

    /// Exactly these are the host's. Returns what is new, and what is no more.
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

/// All that links and addresses say. To an IPv6 address that may be another host's the kernel delivers nothing.
pub fn locals(table: &Table) -> HashSet<LocalKey> {
    let macs = table.links().filter_map(|link| Some(LocalKey::of_mac(link.ifindex, link.hardware?)));
    let addresses = table.all_addresses().filter(|address| address.usable).map(|present| {
        LocalKey::of_address(present.ifindex, Family::of(present.address), widen(present.address))
    });
    macs.chain(addresses).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_once() {
        let [one, two] = [1, 2].map(|ifindex| LocalKey::of_mac(ifindex, [2, 0, 0, 0, 0, 1]));
        let locals = Locals::default();
        assert_eq!(locals.set([one].into()), (vec![one], vec![]));
        assert_eq!(locals.set([one].into()), (vec![], vec![]));
        assert!(locals.contains(&one) && !locals.contains(&two));
        assert_eq!(locals.set([two].into()), (vec![two], vec![one]));
        assert!(!locals.contains(&one) && locals.contains(&two));
    }
}
