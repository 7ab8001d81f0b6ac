//! MLD reports that leave a macvlan: their source becomes the MAC address of the parent.
//!
//! The host sends them, not the virtual router. A switch that saw the virtual MAC address in one, sent by a master that
//! has just left, would send the new master's traffic there.

use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use vrrp_ebpf::wire::ethernet::field::SOURCE;
use vrrp_ebpf::wire::mld;

use super::packet::Packet;
use super::{TC_NEXT, maps};

#[classifier]
fn vrrp_mld_rewrite(context: TcContext) -> i32 {
    if mld::is_report(&context.first(mld::RECOGNISED_LEN as u32))
        && let Some(mac) = maps::mld_source_mac(context.ifindex())
    {
        // If the kernel refuses, the frame leaves as it is.
        let _ = context.store(SOURCE, &mac, 0);
    }
    TC_NEXT
}
