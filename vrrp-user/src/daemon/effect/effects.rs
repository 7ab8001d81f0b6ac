//! Addresses, routes and rules of one instance, and how to announce them.

use std::sync::Arc;

use super::extra_announce::Refresh;
use super::paths::Paths;
use super::place::AddressPlace;
use super::prepared::Devices;
use crate::config::{Addresses, AnnouncePauses, InstanceSettings, VirtualAddress};
use crate::driver::netlink::socket::RouteSocket;
use crate::protocol::{AnnounceSettings, Priority};

/// Addresses, routes and rules of an instance, and how to announce them.
#[derive(Clone, Debug)]
pub struct InstanceEffects {
    pub(super) interface: Arc<str>,
    pub(super) addresses: Arc<Addresses>,
    pub(super) paths: Paths,
    pub(super) announce: AnnounceSettings,
    pub(super) pauses: AnnouncePauses,
    pub(super) refresh: Option<Refresh>,
    /// Some of its addresses may be the host's own.
    pub(super) is_owner: bool,
}

impl From<&InstanceSettings> for InstanceEffects {
    fn from(settings: &InstanceSettings) -> Self {
        Self {
            interface: Arc::clone(settings.address_interface()),
            addresses: Arc::clone(&settings.addresses),
            paths: Paths::of(settings),
            announce: settings.announce,
            pauses: settings.announce_pauses,
            refresh: Refresh::of(settings),
            is_owner: settings.priority == Priority::OWNER,
        }
    }
}

impl InstanceEffects {
    pub(super) fn device<'a>(&'a self, address: &'a VirtualAddress) -> &'a Arc<str> {
        address.device.as_ref().unwrap_or(&self.interface)
    }

    /// Whether the kernel keeps `address` on `device` as one with an address of this instance: IPv4 addresses are the
    /// same by address and prefix, IPv6 addresses by address alone.
    pub(super) fn has(&self, device: &str, address: &VirtualAddress) -> bool {
        let named =
            |it: &VirtualAddress| (it.address, Some((it.prefix, it.peer)).filter(|_| it.address.is_ipv4()));
        self.addresses.all().any(|it| named(it) == named(address) && **self.device(it) == *device)
    }

    /// Whether it has an address of `other`, in the same form and on the same interface.
    pub(super) fn holds(&self, other: &Self, address: &VirtualAddress) -> bool {
        self.addresses.all().any(|it| it == address && self.device(it) == other.device(address))
    }

    /// The same effects with some of the addresses only.
    pub(super) fn only(&self, is_wanted: impl Fn(&VirtualAddress) -> bool) -> Self {
        let wanted = |list: &[VirtualAddress]| -> Vec<VirtualAddress> {
            list.iter().filter(|address| is_wanted(address)).cloned().collect()
        };
        let Addresses { advertised, excluded } = &*self.addresses;
        let addresses = Addresses { advertised: wanted(advertised), excluded: wanted(excluded) };
        Self { addresses: Arc::new(addresses), ..self.clone() }
    }

    /// The places that are announced periodically.
    pub(super) fn chosen<'a>(
        &self,
        places: &'a [AddressPlace<'a>],
    ) -> impl Iterator<Item = &'a AddressPlace<'a>> {
        let chosen = self.refresh.as_ref().map_or(&[][..], Refresh::chosen);
        places.iter().zip(chosen).filter(|(_, chosen)| **chosen).map(|(place, _)| place)
    }

    /// Its addresses, each with the present state of its interface.
    pub(super) fn places(&self, netlink: &mut RouteSocket) -> Vec<AddressPlace<'_>> {
        self.places_on(&Devices::of(self, netlink))
    }

    /// Its addresses, each with its interface as it was read.
    pub(super) fn places_on(&self, devices: &Devices) -> Vec<AddressPlace<'_>> {
        let place = |address| {
            let name = self.device(address);
            AddressPlace { address, name, device: devices.find(name), is_own: false }
        };
        self.addresses.all().map(place).collect()
    }
}
