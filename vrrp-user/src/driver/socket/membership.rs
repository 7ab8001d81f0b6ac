//! Membership in a group of VRRP routers on an interface.
//!
//! A joined socket puts the group's MAC into the filter of the network card and lets the kernel answer IGMP and MLD
//! queries, so that snooping switches forward the group to this port. Nothing is ever received on it: it is a UDP
//! socket without a port.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use super::option::{set, socket};

/// A joined group; left when dropped. An interface that is deleted takes its memberships along.
#[derive(Debug)]
pub struct Membership {
    _socket: OwnedFd,
}

impl Membership {
    /// One socket per membership, as the kernel allows a socket 20 of them (`net.ipv4.igmp_max_memberships`).
    ///
    /// # Errors
    /// The interface is gone, or does not have the family.
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
