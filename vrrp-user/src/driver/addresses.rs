//! IP addresses that are set on interfaces of this network namespace.

use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

/// Each address with the name of its interface, in the kernel's order.
///
/// # Errors
/// The kernel's.
pub fn present() -> io::Result<Vec<(IpAddr, String)>> {
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let storage = interface.address?;
        let v4 = storage.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
        let v6 = || storage.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip()));
        // A label such as `eth0:1`; no name of an interface has a colon.
        let name = interface.interface_name.split(':').next().unwrap_or_default().to_owned();
        Some((v4.or_else(v6)?, name))
    };
    Ok(getifaddrs()?.filter_map(address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_on_lo() {
        let present = present().unwrap();
        assert!(present.contains(&(IpAddr::from([127, 0, 0, 1]), "lo".to_owned())), "{present:?}");
    }
}
