//! Map form of addresses of both families: 16 bytes, IPv4 in the first four. Keys and records use it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Family;

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Bytes of an address in a message.
    #[inline(always)]
    pub const fn address_len(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

/// The map form of an address.
pub const fn widen(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => widen_ipv4(address.octets()),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The map form of an IPv4 address.
#[inline(always)]
pub const fn widen_ipv4(address: [u8; 4]) -> [u8; 16] {
    ((u32::from_be_bytes(address) as u128) << 96).to_be_bytes()
}

/// The reverse of [`widen`].
pub const fn narrow(family: Family, address: [u8; 16]) -> IpAddr {
    match family {
        Family::V4 => {
            let [a, b, c, d, ..] = address;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        Family::V6 => IpAddr::V6(Ipv6Addr::from_octets(address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for address in ["192.0.2.1", "fe80::1", "::ffff:192.0.2.1"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(narrow(Family::of(address), widen(address)), address);
        }
        assert_eq!(widen("192.0.2.1".parse().unwrap())[..5], [192, 0, 2, 1, 0]);
    }
}
