//! The contexts of XDP and tcx as packets, and the global functions of each.
//!
//! A BPF global function is for everything with loops or many branches: the verifier checks it once, on its own, and
//! assumes nothing about its result in its callers. It has one context type, hence one per kind of entry.

use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::helpers::generated::bpf_skb_pull_data;
use aya_ebpf::programs::{TcContext, XdpContext};
use vrrp_ebpf::wire::frame::is_to_mac;

use super::opaque::{is_past_end, masked};
use super::packet::{Packet, View};
use super::{fence, locals, message};

/// The kernel's `pkt_type` of a frame that the link layer addresses to another host.
const PACKET_OTHERHOST: u32 = 3;

impl Packet for XdpContext {
    #[inline(always)]
    fn headers(&self) -> View {
        View::of_xdp(self.ctx)
    }

    #[inline(always)]
    fn first(&self, _length: u32) -> View {
        View::of_xdp(self.ctx)
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: the context is the kernel's.
        unsafe { (*self.ctx).ingress_ifindex }
    }

    #[inline(always)]
    fn stripped_vlan(&self) -> u16 {
        0
    }

    /// Compared here, because drivers and generic XDP pass every frame on while a card is promiscuous.
    #[inline(always)]
    fn is_to_mac(&self, view: &View) -> bool {
        is_to_mac(view, |mac| locals::has_mac(self.ifindex(), mac))
    }

    #[inline(always)]
    fn examine(&self, slot: u32, generation: u64) -> u64 {
        examine_xdp(self.ctx, slot, generation)
    }

    #[inline(always)]
    fn note(&self, slot: u32, generation: u64, info: u64) -> u32 {
        note_xdp(self.ctx, slot, generation, info)
    }

    #[inline(always)]
    fn note_unknown_router(&self) -> u32 {
        unknown_router_xdp(self.ctx)
    }

    #[inline(always)]
    fn fence(&self) -> u32 {
        fence_xdp(self.ctx)
    }

    #[inline(always)]
    fn sum(&self, at: u32, length: u32) -> u64 {
        sum_xdp(self.ctx, at, length)
    }
}

impl Packet for TcContext {
    #[inline(always)]
    fn headers(&self) -> View {
        View::of_skb(self.skb.skb)
    }

    #[inline(always)]
    fn first(&self, length: u32) -> View {
        let skb = self.skb.skb;
        let view = View::of_skb(skb);
        let length = masked::<0xffff>(length as usize) as u32;
        if !is_past_end(view.start, length as usize, view.end) {
            return view;
        }
        // SAFETY: the context is the kernel's. A shorter frame is pulled whole.
        unsafe {
            if (*skb).data_end - (*skb).data < (*skb).len {
                bpf_skb_pull_data(skb, length.min((*skb).len));
            }
        }
        View::of_skb(skb)
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: the context is the kernel's.
        unsafe { (*self.skb.skb).ifindex }
    }

    #[inline(always)]
    fn stripped_vlan(&self) -> u16 {
        // SAFETY: as above.
        unsafe { if (*self.skb.skb).vlan_present == 0 { 0 } else { (*self.skb.skb).vlan_tci as u16 & 0xfff } }
    }

    /// The kernel has already compared the address.
    #[inline(always)]
    fn is_to_mac(&self, _view: &View) -> bool {
        // SAFETY: as above.
        unsafe { (*self.skb.skb).pkt_type != PACKET_OTHERHOST }
    }

    #[inline(always)]
    fn examine(&self, slot: u32, generation: u64) -> u64 {
        examine_skb(self.skb.skb, slot, generation)
    }

    #[inline(always)]
    fn note(&self, slot: u32, generation: u64, info: u64) -> u32 {
        note_skb(self.skb.skb, slot, generation, info)
    }

    #[inline(always)]
    fn note_unknown_router(&self) -> u32 {
        unknown_router_skb(self.skb.skb)
    }

    #[inline(always)]
    fn fence(&self) -> u32 {
        fence_skb(self.skb.skb)
    }

    #[inline(always)]
    fn sum(&self, at: u32, length: u32) -> u64 {
        sum_skb(self.skb.skb, at, length)
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn examine_xdp(context: *mut xdp_md, slot: u32, generation: u64) -> u64 {
    super::examine(&XdpContext::new(context), slot, generation)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn examine_skb(skb: *mut __sk_buff, slot: u32, generation: u64) -> u64 {
    super::examine(&TcContext::new(skb), slot, generation)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn note_xdp(context: *mut xdp_md, slot: u32, generation: u64, info: u64) -> u32 {
    super::note(&XdpContext::new(context), slot, generation, info) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn note_skb(skb: *mut __sk_buff, slot: u32, generation: u64, info: u64) -> u32 {
    super::note(&TcContext::new(skb), slot, generation, info) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn unknown_router_xdp(context: *mut xdp_md) -> u32 {
    super::note_unknown_router(&XdpContext::new(context))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn unknown_router_skb(skb: *mut __sk_buff) -> u32 {
    super::note_unknown_router(&TcContext::new(skb))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn fence_xdp(context: *mut xdp_md) -> u32 {
    fence::fence(&XdpContext::new(context)) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn fence_skb(skb: *mut __sk_buff) -> u32 {
    fence::fence(&TcContext::new(skb)) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sum_xdp(context: *mut xdp_md, at: u32, length: u32) -> u64 {
    message::sum(View::of_xdp(context), at, length)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sum_skb(skb: *mut __sk_buff, at: u32, length: u32) -> u64 {
    message::sum(View::of_skb(skb), at, length)
}
