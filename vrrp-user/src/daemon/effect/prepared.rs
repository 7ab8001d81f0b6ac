//! Prepared takeovers: the interfaces of an instance's addresses, and the requests that set them.
//!
//! Enters: an instance whose master is about to be given up. Leaves: all that its takeover needs but the sending, read
//! and encoded before the instant. Absent: sending, and whether the instance becomes master.

use std::sync::Arc;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::InstanceEffects;
use super::lacks::Attempt;
use super::place::{AddressPlace, Device, note, placed};
use crate::driver::clock;
use crate::driver::netlink::address;
use crate::driver::netlink::socket::{EncodedRequests, RouteSocket};

/// Addresses set by one send. The announcements of each send precede the next one, so that the first addresses of many
/// do not wait for the last.
const CHUNK: usize = 32;

/// For how long interfaces count as they were read: from the second command to the latest takeover that the thread is
/// awake for.
const FRESH: Duration = Duration::from_micros(700);

/// Interfaces by name; `None` for one that is gone.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Devices(Vec<(Arc<str>, Option<Arc<Device>>)>);

impl Devices {
    pub(super) fn of(effects: &InstanceEffects, netlink: &mut RouteSocket) -> Self {
        let v6 = effects.addresses.all().any(|address| address.address.is_ipv6());
        let mut devices = Self::default();
        for address in effects.addresses.all() {
            let name = effects.device(address);
            if !devices.0.iter().any(|(known, _)| known == name) {
                devices.0.push((Arc::clone(name), Device::find(netlink, name, v6).map(Arc::new)));
            }
        }
        devices
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Device>> {
        self.0.iter().find(|(known, _)| **known == *name).and_then(|(_, device)| device.clone())
    }
}

#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) devices: Devices,
    /// One for each [`CHUNK`] of addresses; empty if all of these wait for their interface.
    sends: Vec<EncodedRequests>,
    /// When the interfaces were read.
    read: Timestamp,
}

impl Prepared {
    /// Whether its interfaces were read just now.
    pub(super) fn is_current(&self) -> bool {
        clock::now().since(self.read) <= FRESH
    }

    /// Prepares the requests, or builds those of `prepared` again if an interface has changed since.
    pub(super) fn refresh(
        prepared: Option<Self>,
        effects: &InstanceEffects,
        netlink: &mut RouteSocket,
    ) -> Self {
        let now = clock::now();
        let devices = Devices::of(effects, netlink);
        if let Some(prepared) = prepared.filter(|prepared| prepared.devices == devices) {
            return Self { read: now, ..prepared };
        }
        let places = effects.places_on(&devices);
        let sends = places.chunks(CHUNK).map(|chunk| {
            let ready: Vec<AddressPlace<'_>> = chunk.iter().filter(|place| !place.waits()).cloned().collect();
            address::encode_added(netlink, &placed(&ready))
        });
        let sends = sends.collect();
        Self { devices, sends, read: now }
    }

    /// Sets the addresses. Calls `set` after each send, with the places whose addresses are there.
    pub(super) fn perform<'a>(
        &self,
        places: &[AddressPlace<'a>],
        netlink: &mut RouteSocket,
        attempt: &mut Attempt,
        mut set: impl FnMut(&mut dyn Iterator<Item = &AddressPlace<'a>>),
    ) {
        for (chunk, encoded) in places.chunks(CHUNK).zip(&self.sends) {
            let errnos = note(chunk, attempt, |failed| netlink.exchange(encoded, failed));
            let present = chunk.iter().zip(errnos).filter(|(_, errno)| matches!(*errno, 0 | libc::EEXIST));
            set(&mut present.map(|(place, _)| place));
        }
    }
}
