//! MAC and IP addresses of this host.

use crate::wire::Family;

/// A MAC address of an interface, or an IP address of the host. Aligned, because the program writes it by whole words.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C, align(8))]
pub struct LocalKey {
    /// [`Self::ANY`] for an address that the host accepts on any interface: the kernel does for all but link-local IPv6
    /// addresses. A MAC address has a key with its interface, and one with any.
    pub ifindex: u32,
    /// 4, 6, or [`Self::LINK`].
    pub kind: u32,
    /// IPv4 in the first four bytes, a MAC address in the first six.
    pub address: [u8; 16],
}

const _: () = assert!(size_of::<LocalKey>() == 24);

impl LocalKey {
    /// In `kind`: a MAC address.
    pub const LINK: u32 = 0;

    /// In `ifindex`: any interface of this host.
    pub const ANY: u32 = 0;

    /// A MAC address of an interface.
    #[inline(always)]
    pub const fn of_mac(ifindex: u32, mac: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = mac;
        Self { ifindex, kind: Self::LINK, address: [a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] }
    }

    /// The key of `address`, in map form, for a frame on this interface.
    #[inline(always)]
    pub const fn of_address(ifindex: u32, family: Family, address: [u8; 16]) -> Self {
        // fe80::/10 (RFC 4291 §2.5.6).
        let is_link_local = matches!(family, Family::V6) && u128::from_be_bytes(address) >> 118 == 0x3fa;
        Self { ifindex: if is_link_local { ifindex } else { Self::ANY }, kind: family as u32, address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::address::widen;

    #[test]
    fn only_link_local_addresses_are_those_of_their_interface() {
        for (address, ifindex) in [
            ("192.0.2.1", 0),
            ("169.254.0.1", 0),
            ("254.128.0.1", 0),
            ("2001:db8::1", 0),
            ("fec0::1", 0),
            ("fe80::1", 7),
            ("febf::1", 7),
        ] {
            let address: core::net::IpAddr = address.parse().unwrap();
            let key = LocalKey::of_address(7, Family::of(address), widen(address));
            assert_eq!((key.ifindex, key.address), (ifindex, widen(address)), "{address}");
        }
    }
}
