//! Local addresses: frames that are not addressed to this host pass, whatever they contain.
//!
//! Enters: a dissected frame. Leaves: whether the stack of this host would accept it. The daemon maintains the map of
//! the host's addresses.

use vrrp_ebpf::map::LocalKey;
use vrrp_ebpf::wire::frame::Frame;

use super::maps;
use super::packet::{Packet, View};

/// Whether the frame is addressed to this host. `own` is known to be an address of it; most unicast goes there.
#[inline(always)]
pub(super) fn is_to_us(packet: &impl Packet, view: &View, frame: &Frame, own: &[u8; 16]) -> bool {
    packet.is_to_mac(view)
        && frame
            .is_to_us(own, || holds(&LocalKey::of_address(packet.ifindex(), frame.family, frame.destination)))
}

#[inline(always)]
pub(super) fn has_mac(ifindex: u32, mac: [u8; 6]) -> bool {
    // As a number, because bytes would be put on the stack one by one.
    let [a, b, c, d, e, f] = mac;
    is_local(ifindex, LocalKey::LINK, u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]), 0) != 0
}

#[inline(always)]
fn holds(key: &LocalKey) -> bool {
    let address = u128::from_ne_bytes(key.address);
    is_local(key.ifindex, key.kind, address as u64, (address >> 64) as u64) != 0
}

/// A global function: the verifier assumes nothing about its result in its callers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_local(ifindex: u32, kind: u32, low: u64, high: u64) -> u32 {
    let address = (u128::from(high) << 64 | u128::from(low)).to_ne_bytes();
    u32::from(maps::is_local(&LocalKey { ifindex, kind, address }))
}
