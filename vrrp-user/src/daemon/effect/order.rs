//! The order of IPv4 addresses of one subnet: the host's own come first.
//!
//! The first address of a subnet is the source of the host's traffic there, and when it is removed the kernel removes
//! the others with it (`promote_secondaries` = 0). A network manager that configures the interface again removes the
//! host's address and sets it behind ours, which are set again at once.
//!
//! Enters: a master whose addresses may be before those of the host. Leaves: its addresses of these subnets removed and
//! set again by one send, so that they are behind.

use tracing::debug;

use super::Effect;
use super::place::{AddressPlace, placed};
use crate::driver::netlink::address::{self, Placed};
use crate::driver::netlink::table::Address;
use crate::protocol::InstanceId;

impl Effect {
    /// Sets the addresses of a master behind those of the host.
    pub(super) fn set_behind_host(&mut self, id: InstanceId) {
        let Some(effects) = self.instances.get(id.index()).map(|instance| instance.effects.clone()) else {
            return;
        };
        if !effects.addresses.all().any(|it| it.address.is_ipv4() && it.prefix < 31) {
            return;
        }
        let mut present = Vec::new();
        if address::list(&mut self.netlink, |address| present.push(address)).is_err() {
            return;
        }
        let all = self.instances.iter().flat_map(|instance| instance.effects.addresses.all());
        let is_virtual = |it: &Address| all.clone().any(|known| known.address == it.address);
        let hosts: Vec<Address> =
            present.iter().filter(|it| it.secondary && !it.marked && !is_virtual(it)).copied().collect();
        let places = effects.places(&mut self.netlink);
        let first = |placed: &Placed<'_>| present.iter().any(|it| is_at(it, placed) && !it.secondary);
        let blocks: Vec<Address> = hosts
            .into_iter()
            .filter(|host| placed(&places).iter().any(|it| is_near(host, it) && first(it)))
            .collect();
        let moved: Vec<AddressPlace<'_>> = places
            .iter()
            .filter(|place| {
                placed(std::slice::from_ref(place)).iter().any(|it| {
                    present.iter().any(|found| is_at(found, it))
                        && blocks.iter().any(|host| is_near(host, it))
                })
            })
            .cloned()
            .collect();
        if moved.is_empty() {
            return;
        }
        if let Err(error) = address::renew(&mut self.netlink, &placed(&moved)) {
            debug!(%error, "addresses stay before the host's own ones");
        }
    }
}

fn is_at(present: &Address, placed: &Placed<'_>) -> bool {
    let found = (present.ifindex, present.address, present.prefix);
    found == (placed.ifindex, placed.address.address, placed.address.prefix)
}

/// Whether the kernel keeps both in one subnet.
fn is_near(present: &Address, placed: &Placed<'_>) -> bool {
    (present.ifindex, present.prefix) == (placed.ifindex, placed.address.prefix)
        && present.is_near(placed.address.address)
}
