//! Addresses of an instance, each with the present state of its interface.
//!
//! Enters: addresses to be set. Leaves: one send of netlink for all, and the kernel's refusals.

use std::io;
use std::sync::Arc;

use vrrp_ebpf::wire::Family;

use super::lacks::Attempt;
use super::repeat::Target;
use crate::config::{AnnouncePauses, VirtualAddress};
use crate::daemon::queue::Object;
use crate::driver::netlink::address::{self, Placed};
use crate::driver::netlink::link::Link;
use crate::driver::netlink::refusal::NetlinkError;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::socket::Station;
use crate::driver::sysctl;

/// A virtual address and its interface.
#[derive(Clone, Debug)]
pub(super) struct AddressPlace<'a> {
    pub(super) address: &'a VirtualAddress,
    /// Name of the interface.
    pub(super) name: &'a Arc<str>,
    /// `None` if the interface is gone.
    pub(super) device: Option<Arc<Device>>,
    /// One of an owner that was the host's before.
    pub(super) is_own: bool,
}

impl AddressPlace<'_> {
    /// Whether the address waits for its interface: the kernel takes IPv6 addresses off one that is set down. They are
    /// set and announced when it is up.
    pub(super) fn waits(&self) -> bool {
        let is_down = self.device.as_ref().is_some_and(|device| !device.link.set_up);
        self.address.address.is_ipv6() && is_down
    }

    /// `None` where an announcement makes no sense: on an interface without Ethernet, or without ARP.
    pub(super) fn target(&self, pauses: AnnouncePauses) -> Option<Target> {
        let device = self.device.as_ref()?;
        let address = self.address.address;
        // An interface that is set down sends nothing.
        if !device.link.set_up {
            return None;
        }
        let pause = if address.is_ipv4() { pauses.garp } else { pauses.gna };
        let station = Station { ifindex: device.link.ifindex, mac: device.link.mac?, router: device.router };
        Some(Target { address, station, pause })
    }
}

/// Sets the addresses that are missing, by one send, and returns the errno of each as [`Attempt::run`].
pub(super) fn fill(
    netlink: &mut RouteSocket,
    places: &[AddressPlace<'_>],
    attempt: &mut Attempt,
) -> Vec<i32> {
    let ready: Vec<AddressPlace<'_>> = places.iter().filter(|place| !place.waits()).cloned().collect();
    note(places, attempt, |failed| address::add_missing(netlink, &placed(&ready), failed))
}

/// Notes the outcome of `send`, which sets the addresses that do not wait. Returns the errno of each place.
pub(super) fn note(
    places: &[AddressPlace<'_>],
    attempt: &mut Attempt,
    send: impl FnOnce(&mut dyn FnMut(usize, NetlinkError)) -> io::Result<()>,
) -> Vec<i32> {
    let object = |place: &AddressPlace<'_>| Object::Address(place.address.address);
    let ready: Vec<AddressPlace<'_>> = places.iter().filter(|place| !place.waits()).cloned().collect();
    let errnos = attempt.run(&ready, object, send);
    let mut errnos = errnos.into_iter();
    let all = places.iter().map(|place| {
        if !place.waits() {
            return errnos.next().unwrap_or(libc::EIO);
        }
        attempt.note(object(place), Some(libc::ENETDOWN.into()))
    });
    all.collect()
}

/// The kernel's form of the places; it answers ENODEV to interface 0.
pub(super) fn placed<'a>(places: &[AddressPlace<'a>]) -> Vec<Placed<'a>> {
    let ifindex = |place: &AddressPlace<'_>| place.device.as_ref().map_or(0, |device| device.link.ifindex);
    places
        .iter()
        .map(|place| Placed { ifindex: ifindex(place), address: place.address, is_own: place.is_own })
        .collect()
}

#[derive(Debug, PartialEq)]
pub(super) struct Device {
    pub(super) link: Link,
    /// Whether the interface forwards IPv6, which its neighbour advertisements say (RFC 4861 §4.4).
    router: bool,
}

impl Device {
    pub(super) fn find(netlink: &mut RouteSocket, name: &str, v6: bool) -> Option<Self> {
        let link = Link::by_name(netlink, name).ok()?;
        Some(Self { link, router: v6 && sysctl::forwards(Family::V6, name) })
    }
}
