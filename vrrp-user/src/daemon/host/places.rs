//! Interfaces for instances that name none: the one that has their source address.
//!
//! Enters: a configuration, as it is read. Leaves: the same with an interface for each instance. If the address moves
//! to another interface later, only a reload follows it.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;

use crate::config::Config;
use crate::driver::netlink::address;
use crate::driver::netlink::link::Link;
use crate::driver::netlink::socket::RouteSocket;

/// Why no interface can be chosen for an instance.
#[derive(Debug, Error)]
pub enum PlaceError {
    #[error(
        "vrrp_instance `{instance}` names no `interface`, and no interface has its source address {address}"
    )]
    Missing { instance: Arc<str>, address: IpAddr },
    #[error("vrrp_instance `{first}` and `{second}` have the same virtual_router_id on {interface}")]
    Clash { first: Arc<str>, second: Arc<str>, interface: Arc<str> },
    #[error("cannot read the addresses of the host: {0}")]
    Unreadable(#[from] io::Error),
}

/// Reads the addresses once, and only if an instance needs it.
///
/// # Errors
/// No interface has an instance's source address, or two instances have the same VRID on one interface.
pub(crate) fn find(config: &mut Config) -> Result<(), PlaceError> {
    if config.instances.iter().all(|instance| !instance.settings.interface.is_empty()) {
        return Ok(());
    }
    let places = places()?;
    let mut seen = HashMap::new();
    for settings in config.instances.iter_mut().map(|instance| &mut instance.settings) {
        if settings.interface.is_empty()
            && let Some(address) = settings.source
        {
            let missing = || PlaceError::Missing { instance: Arc::clone(&settings.name), address };
            let interface = Arc::clone(places.get(&address).ok_or_else(missing)?);
            Arc::make_mut(settings).interface = interface;
        }
        let key = (Arc::clone(&settings.interface), settings.vrid, settings.family as u8);
        if let Some(first) = seen.insert(key, Arc::clone(&settings.name)) {
            let (second, interface) = (Arc::clone(&settings.name), Arc::clone(&settings.interface));
            return Err(PlaceError::Clash { first, second, interface });
        }
    }
    Ok(())
}

/// Interfaces by the addresses on them.
fn places() -> io::Result<HashMap<IpAddr, Arc<str>>> {
    let mut socket = RouteSocket::open()?;
    let links = Link::list(&mut socket)?;
    let names: HashMap<u32, Arc<str>> =
        links.iter().map(|link| (link.ifindex, link.name.as_str().into())).collect();
    let mut places = HashMap::new();
    address::list(&mut socket, |present| {
        if let Some(name) = names.get(&present.ifindex) {
            places.entry(present.address).or_insert_with(|| Arc::clone(name));
        }
    })?;
    Ok(places)
}
