//! Who asks for an address.
//!
//! Enters: a frame that [`headers`](super::headers) has called [`NotAdvert::Neighbour`](super::NotAdvert::Neighbour).
//! Leaves: the address. Absent: whose it is.

use super::link;
use crate::wire::address::widen_ipv4;
use crate::wire::arp::ArpRepr;
use crate::wire::{Family, Octets, ethernet, ndisc};

/// Longest frame that [`asked_for`] looks at.
pub const QUESTION_LEN: usize = ethernet::HEADER_LEN + 2 * ethernet::TAG_LEN + ndisc::SOLICITATION_LEN;

/// The address that a neighbour asks for, by ARP or by a solicitation right behind the IPv6 header, as maps hold it.
///
/// An announcement by ARP asks for its own address, and wants no answer. A tag that names a VLAN leads to another
/// interface.
#[inline(always)]
pub fn asked_for<O: Octets + ?Sized>(octets: &O, stripped: u16) -> Option<(Family, [u8; 16])> {
    let (ethertype, at, vlan) = link(octets, stripped).ok()?;
    if vlan != 0 {
        return None;
    }
    match ethertype {
        ethernet::ARP => {
            let arp = ArpRepr::parse(octets, at).filter(|arp| !arp.is_announcement())?;
            Some((Family::V4, widen_ipv4(arp.requested()?.octets())))
        }
        ethernet::IPV6 => Some((Family::V6, ndisc::solicited(octets, at)?)),
        _ => None,
    }
}
