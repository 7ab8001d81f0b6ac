//! Membership in the VRRP multicast group on an interface.
//!
//! A joined socket adds the group's MAC to the filter of the network card, and makes the kernel answer IGMP and MLD
//! queries, so that snooping switches forward the group to this port. It never receives anything: it is a UDP socket
//! without a port.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use super::option::{set, socket};

/// A joined group; left on drop. Deleting an interface ends its memberships.
#[derive(Debug)]
pub struct Membership {
    _socket: OwnedFd,
}

impl Membership {
    /// Opens one socket per membership, as the kernel allows 20 per socket (`net.ipv4.igmp_max_memberships`).
    ///
    /// # Errors
    /// The interface is gone, or lacks the family.
    pub fn join(group: IpAddr, ifindex: u32) -> io::Result<Self> {
        let index = i32::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput)?;
        let joined = match group {
            IpAddr::V4(group) => {
                let joined = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
                let group = libc::ip_mreqn {
                    imr_multiaddr: libc::in_addr { s_addr: u32::from_ne_bytes(group.octets()) },
                    imr_address: libc::in_addr { s_addr: libc::INADDR_ANY },
                    imr_ifindex: index,
                };
                set(joined.as_fd(), libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, group)?;
                joined
            }
            IpAddr::V6(group) => {
                let joined = socket(libc::AF_INET6, libc::SOCK_DGRAM, 0)?;
                let group = libc::ipv6_mreq {
                    ipv6mr_multiaddr: libc::in6_addr { s6_addr: group.octets() },
                    ipv6mr_interface: ifindex,
                };
                set(joined.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP, group)?;
                joined
            }
        };
        Ok(Self { _socket: joined })
    }
}

/// Memberships that instances share: one socket for each group and interface.
#[derive(Debug, Default)]
pub struct Memberships(HashMap<(IpAddr, u32), Weak<Membership>>);

impl Memberships {
    /// The membership that others have, or a new one. It ends when the last of them drops it.
    ///
    /// # Errors
    /// As [`Membership::join`].
    pub fn of(&mut self, group: IpAddr, ifindex: u32) -> io::Result<Arc<Membership>> {
        if let Some(shared) = self.0.get(&(group, ifindex)).and_then(Weak::upgrade) {
            return Ok(shared);
        }
        let joined = Arc::new(Membership::join(group, ifindex)?);
        self.0.retain(|_, shared| shared.strong_count() > 0);
        self.0.insert((group, ifindex), Arc::downgrade(&joined));
        Ok(joined)
    }
}

/// Whether any socket on this host is a member of the group on the interface. False if the kernel does not report it.
pub fn is_member(group: IpAddr, ifindex: u32) -> bool {
    let (file, lists): (_, fn(&str, IpAddr, u32) -> bool) = match group {
        IpAddr::V4(_) => ("/proc/thread-self/net/igmp", lists_v4),
        IpAddr::V6(_) => ("/proc/thread-self/net/igmp6", lists_v6),
    };
    fs::read_to_string(file).is_ok_and(|text| lists(&text, group, ifindex))
}

/// Format: one line per interface that begins with its index, followed by one line per group that begins with a tab and
/// the group as a hexadecimal word in host byte order.
fn lists_v4(text: &str, group: IpAddr, ifindex: u32) -> bool {
    let IpAddr::V4(group) = group else { return false };
    let group = format!("{:08X}", u32::from_ne_bytes(group.octets()));
    let mut is_here = false;
    text.lines().skip(1).any(|line| {
        let first = line.split_whitespace().next();
        if !line.starts_with('\t') {
            is_here = first.and_then(|index| index.parse().ok()) == Some(ifindex);
            return false;
        }
        is_here && first == Some(&group)
    })
}

/// Format: one line per interface and group: index, name, and the group as 32 hexadecimal digits.
fn lists_v6(text: &str, group: IpAddr, ifindex: u32) -> bool {
    let IpAddr::V6(group) = group else { return false };
    let group = format!("{:032x}", u128::from(group));
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next().and_then(|index| index.parse().ok()) == Some(ifindex) && words.nth(1) == Some(&group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_interface_and_group() {
        let v4 = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                  1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
                  7\teth0      :     2      V3\n\t\t\t\t120000E0     1 0:00000000\t\t0\n";
        let group: IpAddr = [224, 0, 0, 18].into();
        if cfg!(target_endian = "little") {
            assert!(lists_v4(v4, group, 7));
            assert!(!lists_v4(v4, group, 1));
            assert!(lists_v4(v4, [224, 0, 0, 1].into(), 1));
            assert!(!lists_v4(v4, [224, 0, 0, 1].into(), 7));
        }
        let v6 = "1    lo              ff020000000000000000000000000001     1 0000000C 0\n\
                  7    eth0            ff020000000000000000000000000012     1 00000004 0\n";
        let group: IpAddr = "ff02::12".parse().unwrap();
        assert!(lists_v6(v6, group, 7));
        assert!(!lists_v6(v6, group, 1));
    }
}
