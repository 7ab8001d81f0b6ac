//! Who asks for an address of ours is heard only while its lease runs.
//!
//! Enters: ARP, and ICMPv6. Leaves: a verdict. The lease is the daemon's to renew; see `vrrp-user/src/daemon/engine`.
//! Tagged frames are those of a VLAN interface, which stands for itself.

use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::programs::{TcContext, XdpContext};
use vrrp_ebpf::map::{Counter, LeaseKey};
use vrrp_ebpf::wire::frame::Neighbour;

use super::packet::Packet;
use super::{Verdict, family, maps, now};

#[inline(always)]
pub(super) fn judge(packet: &impl Packet, neighbour: Neighbour) -> Verdict {
    if neighbour.vlan != 0 {
        return Verdict::Pass;
    }
    match packet.fence(neighbour.family, neighbour.at as u32) {
        0 => Verdict::Pass,
        _ => Verdict::Drop,
    }
}

/// Global functions, as [`super::examine_xdp`] is.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn fence_xdp(context: *mut xdp_md, kind: u32, at: u32) -> u32 {
    fence(&XdpContext::new(context), kind, at) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn fence_skb(skb: *mut __sk_buff, kind: u32, at: u32) -> u32 {
    fence(&TcContext::new(skb), kind, at) as u32
}

#[inline(always)]
fn fence(packet: &impl Packet, kind: u32, at: u32) -> Verdict {
    let neighbour = Neighbour { family: family(kind as usize), vlan: 0, at: at as usize };
    let view = packet.first(at.wrapping_add(neighbour.length() as u32));
    let Some(address) = neighbour.asks_for(&view) else { return Verdict::Pass };
    let key = LeaseKey { ifindex: packet.ifindex(), family: kind, address };
    match maps::lease(&key) {
        Some((slot, until)) if until <= now() => {
            tell!(packet, "slot {}: asked for without a lease", slot);
            maps::count(Some(slot), Counter::Fenced as u32);
            Verdict::Drop
        }
        _ => Verdict::Pass,
    }
}
