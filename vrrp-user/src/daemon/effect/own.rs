//! The host's own addresses among those of an owner (priority 255).
//!
//! Enters: an owner's addresses after an attempt to set them. Leaves: those that VRRP has not set, which stay when the
//! owner leaves. Absent: addresses of other instances; a backup must not keep one, whatever its origin.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::lacks::Attempt;
use super::place::AddressPlace;
use crate::daemon::queue::Object;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::{address, origin};

/// Own addresses, each with the name of its interface.
#[derive(Clone, Debug, Default)]
pub(super) struct Own(Vec<(Arc<str>, IpAddr)>);

impl Own {
    /// Those that `attempt` found there and VRRP has not set. `before` are those of an earlier attempt, if the others
    /// may be there since then: before Linux 5.18 the kernel does not report what VRRP has set.
    pub(super) fn find(
        netlink: &mut RouteSocket,
        places: &[AddressPlace<'_>],
        attempt: &Attempt,
        before: Option<&Self>,
    ) -> Self {
        let was_there = |place: &&AddressPlace<'_>| {
            let object = Object::Address(place.address.address);
            let is_known = before.is_none_or(|before| before.has(place) || origin::is_supported());
            is_known
                && !attempt.set.contains(&object)
                && !attempt.refused.iter().any(|it| it.object == object)
        };
        Self::unmarked(netlink, &places.iter().filter(was_there).collect::<Vec<_>>())
    }

    /// Those that VRRP has not set, among addresses that an earlier process held.
    pub(super) fn of_held(netlink: &mut RouteSocket, places: &[AddressPlace<'_>]) -> Self {
        let places = if origin::is_supported() { places } else { &[] };
        Self::unmarked(netlink, &places.iter().collect::<Vec<_>>())
    }

    fn unmarked(netlink: &mut RouteSocket, places: &[&AddressPlace<'_>]) -> Self {
        if places.is_empty() {
            return Self::default();
        }
        let mut unmarked = HashSet::new();
        let listed = address::list(netlink, |it| {
            if !it.marked {
                unmarked.insert((it.ifindex, it.address));
            }
        });
        // In doubt they leave, as all other addresses do.
        if listed.is_err() {
            return Self::default();
        }
        let is_unmarked = |place: &&&AddressPlace<'_>| {
            let ifindex = place.device.as_ref().map(|device| device.link.ifindex);
            ifindex.is_some_and(|ifindex| unmarked.contains(&(ifindex, place.address.address)))
        };
        let own = places.iter().filter(is_unmarked);
        Self(own.map(|place| (Arc::clone(place.name), place.address.address)).collect())
    }

    pub(super) fn has(&self, place: &AddressPlace<'_>) -> bool {
        self.0.iter().any(|(name, address)| name == place.name && *address == place.address.address)
    }
}
