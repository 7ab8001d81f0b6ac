//! Queries of IGMP and MLD that arrive at an interface, for a person who inspects the link.
//!
//! Enters: an interface. Leaves: the senders of queries, which make hosts and switches keep memberships alive.

use std::collections::BTreeSet;
use std::io;
use std::mem::zeroed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};

use vrrp_ebpf::wire::ethernet;

use super::echo::MESSAGES;
use super::listen::bind;
use super::option::{instruction, receive, set, set_filter, socket};

/// As much of a frame as has the sender and the kind of a message.
const FRAME: usize = 128;

const IGMP: u8 = 2;
const IGMP_QUERY: u8 = 0x11;
const ICMPV6: u8 = 58;
const MLD_QUERY: u8 = 130;
/// A hop-by-hop header with a router alert.
const HOP_BY_HOP: u8 = 0;

/// Offsets behind the Ethernet header.
const V4_PROTOCOL: u32 = 14 + 9;
const V6_NEXT_HEADER: u32 = 14 + 6;
const V6_PAYLOAD: u32 = 14 + 40;

const FILTER_LEN: usize = 11;

/// A packet socket, which needs CAP_NET_RAW.
#[derive(Debug)]
pub struct QueryTap(OwnedFd);

impl QueryTap {
    /// Receives all groups: a query goes to the group that it is about.
    ///
    /// # Errors
    /// The interface is gone, or CAP_NET_RAW is missing.
    pub fn open(ifindex: u32) -> io::Result<Self> {
        let socket = socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        let fd = socket.as_fd();
        set_filter(fd, &filter())?;
        bind(fd, ifindex)?;
        let index = i32::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput)?;
        let kind = u16::try_from(libc::PACKET_MR_ALLMULTI).unwrap_or(0);
        let all = libc::packet_mreq { mr_ifindex: index, mr_type: kind, mr_alen: 0, mr_address: [0; 8] };
        set(fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, all)?;
        Ok(Self(socket))
    }

    /// The other hosts whose queries have arrived; of many messages those of the first ones.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn queriers(&self) -> io::Result<BTreeSet<IpAddr>> {
        let mut queriers = BTreeSet::new();
        for _ in 0..MESSAGES {
            let mut frame = [0; FRAME];
            // SAFETY: an address of zeros is valid.
            let mut name: libc::sockaddr_ll = unsafe { zeroed() };
            // SAFETY: it is numbers only.
            let received = unsafe { receive(&self.0, &mut frame, &mut name, &mut []) };
            let Some((length, _)) = received? else { break };
            let sender = querier(frame.get(..length.min(FRAME)).unwrap_or_default());
            if let (Some(sender), true) = (sender, name.sll_pkttype != libc::PACKET_OUTGOING) {
                queriers.insert(sender);
            }
        }
        Ok(queriers)
    }
}

/// The sender of a query.
fn querier(frame: &[u8]) -> Option<IpAddr> {
    let ethertype = u16::from_be_bytes(*frame.get(12..)?.first_chunk()?);
    let ip = frame.get(14..)?;
    if ethertype == ethernet::IPV4 {
        let header = usize::from(ip.first()? & 0xf) * 4;
        let is_query = *ip.get(9)? == IGMP && *ip.get(header)? == IGMP_QUERY;
        let source = Ipv4Addr::from(*ip.get(12..)?.first_chunk::<4>()?);
        return is_query.then_some(source.into());
    }
    let message = *ip.get(40 + 8)?;
    let is_query = *ip.get(6)? == HOP_BY_HOP && *ip.get(40)? == ICMPV6 && message == MLD_QUERY;
    let source = Ipv6Addr::from(*ip.get(8..)?.first_chunk::<16>()?);
    (ethertype == ethernet::IPV6 && is_query).then_some(source.into())
}

/// Accepts IGMP, and MLD behind its hop-by-hop header.
fn filter() -> [libc::sock_filter; FILTER_LEN] {
    use libc::{BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET};
    let load = |width, at| instruction(BPF_LD | width | BPF_ABS, 0, 0, at);
    let equals = |value: u32, jt, jf| instruction(BPF_JMP | BPF_JEQ | BPF_K, jt, jf, value);
    [
        load(BPF_H, 12),
        equals(ethernet::IPV4.into(), 0, 2),
        load(BPF_B, V4_PROTOCOL),
        equals(IGMP.into(), 5, 6),
        equals(ethernet::IPV6.into(), 0, 5),
        load(BPF_B, V6_NEXT_HEADER),
        equals(HOP_BY_HOP.into(), 0, 3),
        load(BPF_B, V6_PAYLOAD),
        equals(ICMPV6.into(), 0, 1),
        instruction(BPF_RET | BPF_K, 0, 0, u32::MAX),
        instruction(BPF_RET | BPF_K, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_of_a_query_is_found_and_that_of_a_report_is_not() {
        let igmp = |kind: u8| {
            let mut frame = vec![0; 14 + 24 + 8];
            frame[12..14].copy_from_slice(&ethernet::IPV4.to_be_bytes());
            (frame[14], frame[14 + 9]) = (0x46, IGMP);
            frame[14 + 12..14 + 16].copy_from_slice(&[192, 0, 2, 1]);
            frame[14 + 24] = kind;
            frame
        };
        assert_eq!(querier(&igmp(IGMP_QUERY)), Some([192, 0, 2, 1].into()));
        assert_eq!(querier(&igmp(0x22)), None);
        assert_eq!(querier(&igmp(IGMP_QUERY)[..30]), None);
        let mld = |kind: u8| {
            let mut frame = vec![0; 14 + 40 + 8 + 24];
            frame[12..14].copy_from_slice(&ethernet::IPV6.to_be_bytes());
            frame[14 + 8] = 0xfe;
            (frame[14 + 40], frame[14 + 48]) = (ICMPV6, kind);
            frame
        };
        assert_eq!(querier(&mld(MLD_QUERY)), Some("fe00::".parse().unwrap()));
        assert_eq!(querier(&mld(143)), None);
    }
}
