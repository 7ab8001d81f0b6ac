//! The fence: addresses that are answered for only while their instance holds its lease.
//!
//! Enters: the instances, and where each is attached. Leaves: changes of the program's map of leases. An address is
//! fenced on the interface where its instance receives adverts, and on its own interface if instances receive adverts
//! there; so an address on an interface with a virtual MAC address is fenced on the parent. An address that two
//! instances have on one interface is not fenced: either may hold it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

use vrrp_ebpf::map::LeaseKey;
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::address::widen;

use crate::config::InstanceSettings;
use crate::driver::xdp::Program;
use crate::protocol::InstanceId;

/// The present content of the program's map.
#[derive(Debug, Default)]
pub struct Fence {
    leases: HashMap<LeaseKey, InstanceId>,
}

impl Fence {
    /// Fences the addresses of these instances, each with the index of its interface.
    ///
    /// # Errors
    /// There is no room for some addresses, which are then answered for by any host that has them.
    pub fn set<'a>(
        &mut self,
        program: &mut Program,
        placed: impl Iterator<Item = (InstanceId, &'a InstanceSettings, u32)> + Clone,
    ) -> io::Result<()> {
        let wanted = wanted(placed);
        self.leases.retain(|key, owner| {
            let kept = wanted.get(key) == Some(owner);
            if !kept {
                program.unfence(*key);
            }
            kept
        });
        let mut outcome = Ok(());
        for (key, owner) in wanted {
            if let Entry::Vacant(vacant) = self.leases.entry(key) {
                match program.fence(key, owner) {
                    Ok(()) => drop(vacant.insert(owner)),
                    Err(error) => outcome = Err(error),
                }
            }
        }
        outcome
    }

    /// Whether every address of an instance is fenced on this interface, and none is on another one.
    pub fn encloses(&self, settings: &InstanceSettings, ifindex: u32) -> bool {
        settings.addresses.all().all(|address| {
            let stands_here = address.device.as_ref().is_none_or(|device| *device == settings.interface);
            let key = |ifindex| LeaseKey {
                ifindex,
                family: Family::of(address.address) as u32,
                address: widen(address.address),
            };
            stands_here && self.leases.contains_key(&key(ifindex))
        })
    }
}

fn wanted<'a>(
    placed: impl Iterator<Item = (InstanceId, &'a InstanceSettings, u32)> + Clone,
) -> HashMap<LeaseKey, InstanceId> {
    let indexes: HashMap<&str, u32> =
        placed.clone().map(|(_, settings, ifindex)| (&*settings.interface, ifindex)).collect();
    let mut owners = HashMap::new();
    for (instance, settings, own) in placed {
        for address in settings.addresses.all() {
            let device = address.device.as_ref().and_then(|device| indexes.get(&**device).copied());
            for ifindex in [Some(own), device.filter(|other| *other != own)].into_iter().flatten() {
                let family = Family::of(address.address) as u32;
                let key = LeaseKey { ifindex, family, address: widen(address.address) };
                owners.entry(key).or_insert_with(Vec::new).push(instance);
            }
        }
    }
    let single = |(key, mut owners): (LeaseKey, Vec<InstanceId>)| {
        owners.dedup();
        <[InstanceId; 1]>::try_from(owners).ok().map(|[owner]| (key, owner))
    };
    owners.into_iter().filter_map(single).collect()
}
