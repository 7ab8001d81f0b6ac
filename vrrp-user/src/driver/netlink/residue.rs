//! Addresses that an earlier run has left behind, on a node that is not master now.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use super::address;
use super::link::Link;
use super::socket::RouteSocket;
use super::table::Address;
use crate::protocol::{InstanceSettings, Priority};

/// An address that was found, and what became of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Residue {
    pub address: Address,
    /// Why it is still there.
    pub errno: Option<i32>,
}

/// Removes every address that the configuration names and VRRP has set, wherever it is; and where the kernel cannot
/// tell who has set an address (before Linux 5.18), or another daemon has, every one that is exactly as configured. An
/// owner's addresses are the interface's own and stay, unless marked. So do those that may not go.
///
/// # Errors
/// The kernel could not be asked.
pub fn remove<'a>(
    instances: impl IntoIterator<Item = &'a InstanceSettings>,
    may_go: impl Fn(IpAddr) -> bool,
) -> io::Result<Vec<Residue>> {
    let mut socket = RouteSocket::open()?;
    let wanted = wanted(&mut socket, instances);
    let mut found = Vec::new();
    address::list(&mut socket, |present| {
        let residue = wanted.get(&present.address).is_some_and(|places| is_residue(&present, places));
        if residue && may_go(present.address) {
            found.push(present);
        }
    })?;
    let mut residue: Vec<_> =
        found.iter().map(|address| Residue { address: *address, errno: None }).collect();
    address::clear(&mut socket, &found, |index, errno| {
        if let Some(residue) = residue.get_mut(index) {
            residue.errno = Some(errno);
        }
    })?;
    Ok(residue)
}

/// Where the configuration puts an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Place {
    ifindex: Option<u32>,
    prefix: u8,
    owned: bool,
}

fn wanted<'a>(
    socket: &mut RouteSocket,
    instances: impl IntoIterator<Item = &'a InstanceSettings>,
) -> BTreeMap<IpAddr, Vec<Place>> {
    let mut indexes = BTreeMap::new();
    let mut wanted = BTreeMap::<_, Vec<_>>::new();
    for settings in instances {
        let owned = settings.priority == Priority::OWNER;
        for address in settings.addresses.advertised.iter().chain(&settings.addresses.excluded) {
            let device = address.device.as_ref().unwrap_or(settings.address_interface());
            let ifindex = *indexes
                .entry(device)
                .or_insert_with(|| Link::by_name(socket, device).ok().map(|link| link.ifindex));
            wanted.entry(address.address).or_default().push(Place { ifindex, prefix: address.prefix, owned });
        }
    }
    wanted
}

fn is_residue(present: &Address, places: &[Place]) -> bool {
    present.marked
        || places.iter().any(|place| {
            !place.owned && place.ifindex == Some(present.ifindex) && place.prefix == present.prefix
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_is_residue() {
        let present = |ifindex, prefix, marked| Address {
            ifindex,
            address: [192, 0, 2, 1].into(),
            prefix,
            peer: None,
            secondary: false,
            usable: true,
            marked,
        };
        let place = [Place { ifindex: Some(3), prefix: 24, owned: false }];
        assert!(is_residue(&present(3, 24, false), &place));
        assert!(!is_residue(&present(3, 32, false), &place));
        assert!(!is_residue(&present(4, 24, false), &place));
        assert!(is_residue(&present(4, 32, true), &place));
        let owned = [Place { owned: true, ..place[0] }];
        assert!(!is_residue(&present(3, 24, false), &owned));
        assert!(is_residue(&present(3, 24, true), &owned));
    }
}
