//! Interfaces that the addresses of an instance have been set on.
//!
//! Enters: each place that was found for an address while it was set. Leaves: where to remove them. An interface that
//! was renamed meanwhile has another name and the same index, and still has the addresses.

use std::sync::Arc;

use super::place::AddressPlace;
use crate::driver::netlink::address::Placed;

#[derive(Clone, Debug, Default)]
pub(super) struct LastInterfaces {
    /// Each name as it was, with the index that it had.
    devices: Vec<(Arc<str>, u32)>,
}

impl LastInterfaces {
    pub(super) fn note(&mut self, places: &[AddressPlace<'_>]) {
        for (name, device) in places.iter().filter_map(|place| Some((place.name, place.device.as_ref()?))) {
            let known = |(known, ifindex): &(Arc<str>, u32)| known == name && *ifindex == device.link.ifindex;
            if !self.devices.iter().any(known) {
                // Nearly always the only one.
                self.devices.reserve_exact(1);
                self.devices.push((Arc::clone(name), device.link.ifindex));
            }
        }
    }

    /// Addresses on interfaces that had a name before the present ones.
    pub(super) fn former<'a>(&self, places: &[AddressPlace<'a>]) -> Vec<Placed<'a>> {
        let is_former = |(index, placed): &(usize, Placed<'_>)| {
            let device = places.get(*index).and_then(|place| place.device.as_ref());
            device.is_some_and(|device| device.link.ifindex != placed.ifindex)
        };
        self.all(places).into_iter().filter(is_former).map(|(_, placed)| placed).collect()
    }

    /// Every interface that an address may be on, with the number of its place.
    pub(super) fn all<'a>(&self, places: &[AddressPlace<'a>]) -> Vec<(usize, Placed<'a>)> {
        let on = |(index, place): (usize, &AddressPlace<'a>)| {
            let (name, address) = (place.name, place.address);
            let now = place.device.as_ref().map(|device| device.link.ifindex);
            let before =
                self.devices.iter().filter(move |(known, _)| known == name).map(|(_, ifindex)| *ifindex);
            let others = before.filter(move |ifindex| Some(*ifindex) != now);
            now.into_iter()
                .chain(others)
                .map(move |ifindex| (index, Placed { ifindex, address, is_own: false }))
        };
        places.iter().enumerate().flat_map(on).collect()
    }
}
