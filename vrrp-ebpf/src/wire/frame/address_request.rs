//! ARP requests and neighbour solicitations: the address that they ask for.
//!
//! Enters: a frame that is [`NoMessage::Neighbour`](super::NoMessage::Neighbour) by [`headers`](super::headers).
//! Leaves: the address. Absent: whose it is.

use super::link;
use crate::wire::address::widen_ipv4;
use crate::wire::arp::ArpRepr;
use crate::wire::{ByteAccess, Family, ethernet, ndisc};

/// Bytes of a frame that [`asked_for`] reads at most.
pub const ADDRESS_REQUEST_LEN: usize = ethernet::HEADER_LEN + 2 * ethernet::TAG_LEN + ndisc::SOLICITATION_LEN;

/// The address, in map form, of an ARP request, or of a neighbour solicitation directly behind the IPv6 header.
/// `stripped` is as in [`headers`](super::headers).
///
/// `None` for gratuitous ARP, which asks for its own address and wants no answer, and for a tag that names a VLAN: the
/// frame is for another interface.
#[inline(always)]
pub fn asked_for<O: ByteAccess + ?Sized>(octets: &O, stripped: u16) -> Option<(Family, [u8; 16])> {
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
