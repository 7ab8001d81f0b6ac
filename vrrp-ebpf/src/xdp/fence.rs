//! The fence: drops ARP requests and neighbour solicitations for an instance's addresses while its lease does not run.
//!
//! Enters: ARP and ICMPv6 frames. Leaves: a verdict, and a wake-up if the daemon asked for it. The daemon renews the
//! lease with the adverts that it sends; an advert that may be a better master's ends it until the daemon has handled
//! it. Tagged frames belong to a VLAN interface and pass here.

use vrrp_ebpf::map::{Counter, LeaseKey};
use vrrp_ebpf::path::Verdict;
use vrrp_ebpf::wire::frame;

use super::clock::now;
use super::packet::Packet;
use super::{maps, record};

#[inline(always)]
pub(super) fn judge(packet: &impl Packet) -> Verdict {
    match packet.fence() {
        0 => Verdict::Pass,
        _ => Verdict::Drop,
    }
}

#[inline(always)]
pub(super) fn fence(packet: &impl Packet) -> Verdict {
    let view = packet.first(frame::ADDRESS_REQUEST_LEN as u32);
    let Some((family, address)) = frame::asked_for(&view, packet.stripped_vlan()) else {
        return Verdict::Pass;
    };
    let key = LeaseKey { ifindex: packet.ifindex(), family: family as u32, address };
    let Some((slot, lease)) = maps::lease(&key) else { return Verdict::Pass };
    let now = now();
    if !lease.holds(now) {
        log!(packet, "slot {}: asked for without a lease", slot);
        maps::count(Some(slot), Counter::Fenced as u32);
        return Verdict::Drop;
    }
    if lease.heeds(now) {
        record::address_request(slot, now);
    }
    Verdict::Pass
}
