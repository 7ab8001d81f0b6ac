//! Addresses of an instance, each with the present state of its interface.
//!
//! Enters: addresses to be set or removed. Leaves: one send of netlink for all, and the kernel's refusals.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use vrrp_ebpf::wire::Family;

use super::failures::Failures;
use super::lacks::Attempt;
use super::last_interfaces::LastInterfaces;
use super::repeat::Target;
use crate::daemon::queue::Object;
use crate::driver::netlink::address::{self, Placed};
use crate::driver::netlink::link::Link;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::socket::Station;
use crate::driver::sysctl;
use crate::protocol::{AnnounceSettings, InstanceId, VirtualAddress};

/// A virtual address and its interface.
#[derive(Clone, Debug)]
pub(super) struct AddressPlace<'a> {
    pub(super) address: &'a VirtualAddress,
    /// Name of the interface.
    pub(super) name: &'a Arc<str>,
    /// `None` if the interface is gone.
    pub(super) device: Option<Rc<Device>>,
}

impl AddressPlace<'_> {
    /// `None` where an announcement makes no sense: on an interface without Ethernet, or without ARP.
    pub(super) fn target(&self, announce: &AnnounceSettings) -> Option<Target> {
        let device = self.device.as_ref()?;
        let address = self.address.address;
        // An interface that is set down sends nothing.
        if !device.link.set_up {
            return None;
        }
        let pause = if address.is_ipv4() { announce.garp_interval } else { announce.gna_interval };
        let station = Station { ifindex: device.link.ifindex, mac: device.link.mac?, router: device.router };
        Some(Target { address, station, pause })
    }
}

pub(super) fn remove_all(
    netlink: &mut RouteSocket,
    id: InstanceId,
    last_interfaces: &LastInterfaces,
    places: &[AddressPlace<'_>],
    failures: &mut Failures,
) {
    let (numbers, placed): (Vec<usize>, Vec<Placed<'_>>) = last_interfaces.all(places).into_iter().unzip();
    let done = address::remove(netlink, &placed, |index, refusal| {
        if let Some(place) = numbers.get(index).and_then(|number| places.get(*number)) {
            failures.note(id, Object::Address(place.address.address), refusal);
        }
    });
    note_all(failures, id, places, done);
}

/// Sets the addresses that are missing, by one send, and returns the errno of each as [`Attempt::run`]. The kernel
/// takes IPv6 addresses off an interface that is set down: they wait until it is up, and are announced then.
pub(super) fn fill(
    netlink: &mut RouteSocket,
    places: &[AddressPlace<'_>],
    attempt: &mut Attempt,
) -> Vec<i32> {
    let is_down = |place: &AddressPlace<'_>| {
        let device = place.device.as_ref();
        place.address.address.is_ipv6() && device.is_some_and(|device| !device.link.set_up)
    };
    let object = |place: &AddressPlace<'_>| Object::Address(place.address.address);
    let ready: Vec<AddressPlace<'_>> = places.iter().filter(|place| !is_down(place)).cloned().collect();
    let placed = placed(&ready);
    let errnos = attempt.run(&ready, object, |failed| address::add_missing(netlink, &placed, failed));
    let mut errnos = errnos.into_iter();
    let all = places.iter().map(|place| {
        if !is_down(place) {
            return errnos.next().unwrap_or(libc::EIO);
        }
        attempt.note(object(place), Some(libc::ENETDOWN.into()))
    });
    all.collect()
}

/// The kernel's form of the places; it answers ENODEV to interface 0.
fn placed<'a>(places: &[AddressPlace<'a>]) -> Vec<Placed<'a>> {
    let ifindex = |place: &AddressPlace<'_>| place.device.as_ref().map_or(0, |device| device.link.ifindex);
    places.iter().map(|place| Placed { ifindex: ifindex(place), address: place.address }).collect()
}

#[derive(Debug)]
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

/// Netlink itself failed: the outcome of each address is unknown.
fn note_all(failures: &mut Failures, id: InstanceId, places: &[AddressPlace<'_>], done: io::Result<()>) {
    if let (Err(error), Some(place)) = (done, places.first()) {
        failures.note_failure(id, Object::Address(place.address.address), &error);
    }
}
