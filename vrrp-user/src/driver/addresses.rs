//! IP addresses and interfaces of this network namespace, as far as they decide whether the kernel answers for an
//! address.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// Flags of an IPv6 address that is not answered for, IFA_F_DADFAILED and IFA_F_TENTATIVE of `linux/if_addr.h`.
const UNUSABLE: u32 = 0x08 | 0x40;

/// The addresses and interfaces of one moment.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// Each with the name of its interface.
    pub addresses: HashSet<(IpAddr, String)>,
    /// By name.
    pub interfaces: HashMap<String, InterfaceFlags>,
}

/// Each address with the name of its interface, and the interfaces.
///
/// # Errors
/// The kernel's.
pub fn present() -> io::Result<Present> {
    let mut present = Present::default();
    for interface in getifaddrs()? {
        // A label such as `eth0:1`; no name of an interface has a colon.
        let name = interface.interface_name.split(':').next().unwrap_or_default().to_owned();
        if let Some(storage) = interface.address {
            let v4 = storage.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
            let v6 = || storage.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip()));
            present.addresses.extend(v4.or_else(v6).map(|address| (address, name.clone())));
        }
        present.interfaces.insert(name, interface.flags);
    }
    Ok(present)
}

/// IPv6 addresses, each with the name of its interface, that duplicate address detection has not passed (yet).
///
/// # Errors
/// The kernel has no IPv6, or `/proc` is not there.
pub fn unusable_v6() -> io::Result<HashSet<(IpAddr, String)>> {
    Ok(unusable_of(&fs::read_to_string("/proc/thread-self/net/if_inet6")?))
}

/// Lines of address, index, prefix length, scope, flags and name.
fn unusable_of(table: &str) -> HashSet<(IpAddr, String)> {
    let unusable = |line: &str| {
        let mut words = line.split_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
        let name = words.next()?.to_owned();
        (flags & UNUSABLE != 0).then(|| (Ipv6Addr::from_bits(address).into(), name))
    };
    table.lines().filter_map(unusable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_on_lo() {
        let present = present().unwrap();
        assert!(present.addresses.contains(&(IpAddr::from([127, 0, 0, 1]), "lo".to_owned())), "{present:?}");
        assert!(present.interfaces["lo"].contains(InterfaceFlags::IFF_LOOPBACK), "{present:?}");
    }

    #[test]
    fn tentative_and_duplicate_addresses_are_unusable() {
        let table = "\
            20010db8000000000000000000000050 02 40 00 80     eth0\n\
            20010db8000000000000000000000051 02 40 00 40     eth0\n\
            20010db8000000000000000000000052 03 40 00 c8 vrrp.51\n\
            garbage\n";
        let address = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        let expected = [(address(0x51), "eth0".to_owned()), (address(0x52), "vrrp.51".to_owned())];
        assert_eq!(unusable_of(table), HashSet::from(expected));
    }
}
