//! The BPF program: one decision for the XDP and the tcx entry.
//!
//! Enters: a frame. Leaves: a verdict, and updates of the maps and the ring. Absent: the order of the checks, which
//! [`vrrp_ebpf::path`] has; the meaning of an advert: states and timers of the protocol are the daemon's, and a
//! priority counts only for budget and lease.
//!
//! ```text
//! dissect ─► not VRRP ─► pass
//!    │   └ ARP, ICMPv6 ─► fence: request for an address of ours without a live lease ─► count it ─► drop
//!    │                       └ with a lease, and the daemon has asked for requests ─► ring ─► pass
//!    └ VRRP ─► path::admit ─► path::examine ─► path::note
//! ```
//! [`mld_rewrite`] is a program of its own, for frames that leave interfaces with virtual MAC addresses.

#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths and places lie within a frame, indexes within a map"
)]

/// Logs at level debug in builds with the feature `log`; expands to nothing in all others.
macro_rules! log {
    ($packet:expr, $format:literal $(, $value:expr)*) => {
        #[cfg(feature = "log")]
        aya_log_ebpf::debug!($packet, $format $(, $value)*);
    };
}

mod clock;
mod context;
mod fence;
mod limit;
mod locals;
mod maps;
mod message;
mod mld_rewrite;
mod opaque;
mod packet;
mod reach;
mod record;
mod watch;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use vrrp_ebpf::map::{Counter, InstanceKey, UnknownRouter};
use vrrp_ebpf::path::{self, FastPathResult, Verdict};
use vrrp_ebpf::wire::frame::{Frame, NoMessage};
use vrrp_ebpf::wire::vrrp::{HEADER_LEN, Header};
use vrrp_ebpf::wire::{AdvertInfo, ByteAccess, Family, frame};

use self::clock::now;
use self::opaque::launder;
use self::packet::{Packet, pull_headers};
use self::reach::Reach;

/// Leaves the frame to the next program and then to the stack: TCX_NEXT at tcx (Linux 6.6), TC_ACT_UNSPEC of a filter.
const TC_NEXT: i32 = -1;
/// Drops the frame: TCX_DROP, TC_ACT_SHOT.
const TC_DROP: i32 = 2;

#[xdp(frags)]
fn vrrp_xdp(context: XdpContext) -> u32 {
    judge_xdp(&context)
}

/// For kernels before 5.18, which have no XDP frames of several buffers: their drivers refuse XDP if frames could need
/// them.
#[xdp]
fn vrrp_xdp_linear(context: XdpContext) -> u32 {
    judge_xdp(&context)
}

#[inline(always)]
fn judge_xdp(context: &XdpContext) -> u32 {
    match judge(context) {
        Verdict::Pass => XDP_PASS,
        Verdict::Drop => XDP_DROP,
    }
}

#[classifier]
fn vrrp_tc(context: TcContext) -> i32 {
    pull_headers(&context);
    match judge(&context) {
        Verdict::Pass => TC_NEXT,
        Verdict::Drop => TC_DROP,
    }
}

/// The fast path: other traffic and the watched advert end here.
#[inline(always)]
fn judge(packet: &impl Packet) -> Verdict {
    let (frame, reach) = match dissect(packet) {
        Ok(dissected) => dissected,
        Err(NoMessage::Neighbour) => return fence::judge(packet),
        Err(NoMessage::Nested) => {
            maps::count(None, Counter::NestedTags as u32);
            return Verdict::Drop;
        }
        Err(NoMessage::Other | NoMessage::Truncated) => return Verdict::Pass,
    };
    let (slot, generation) = match path::admit(&reach, &frame) {
        FastPathResult::Done(verdict) => return verdict,
        FastPathResult::Examine { slot, generation } => (slot, generation),
    };
    let info = packet.examine(slot, generation);
    let refused = info == Verdict::Drop as u64;
    // The bits of a valid advert are no verdict.
    if refused || info != Verdict::Pass as u64 && packet.note(slot, generation, info) != 0 {
        Verdict::Drop
    } else {
        Verdict::Pass
    }
}

/// [`path::examine`]; returns [`AdvertInfo::to_bits`], or else the verdict, which no such bits equal.
#[inline(always)]
fn examine(packet: &impl Packet, slot: u32, generation: u64) -> u64 {
    let Ok((frame, reach)) = dissect(packet) else { return Verdict::Drop as u64 };
    match path::examine(&reach, &frame, slot, generation) {
        Ok((info, checksum)) => info.to_bits(checksum),
        Err(verdict) => verdict as u64,
    }
}

/// [`path::note`], apart from the checks: the verifier does not carry over what it learned from them.
#[inline(always)]
fn note(packet: &impl Packet, slot: u32, generation: u64, info: u64) -> Verdict {
    let Ok((frame, reach)) = dissect(packet) else { return Verdict::Pass };
    let (info, checksum) = AdvertInfo::of_bits(info, frame.source, frame.vrid);
    path::note(&reach, &frame, slot, generation, (&info, checksum))
}

/// Records an unknown router.
#[inline(always)]
fn note_unknown_router(packet: &impl Packet) -> u32 {
    let Ok((frame, Reach { view, .. })) = dissect(packet) else { return 0 };
    let key = InstanceKey::new(packet.ifindex(), frame.vlan, frame.family, frame.vrid);
    let Some(header) = view.get::<HEADER_LEN>(frame.at) else { return 0 };
    if let Some(unknown_router) = record::unknown_router(&key) {
        // SAFETY: the daemon removes none.
        unsafe { UnknownRouter::note_at(unknown_router, Header(header), &view, &frame, now()) };
    }
    0
}

/// A frame and its bytes that can be read in place: the whole message, if the frame has it. The kind of its headers is
/// made unknown to the verifier: the code behind is verified once, not once for each kind.
#[inline(always)]
fn dissect<P: Packet>(packet: &P) -> Result<(Frame, Reach<'_, P>), NoMessage> {
    let headers = frame::headers(&packet.headers(), packet.stripped_vlan())?;
    let view = packet.first(headers.end() as u32);
    let frame = headers.frame(&view)?;
    let frame = Frame {
        at: launder(frame.at, view.unknown),
        length: launder(frame.length, view.unknown),
        prefix: launder(frame.prefix, view.unknown),
        ip: launder(frame.ip, view.unknown),
        family: family(launder(frame.family as usize, view.unknown)),
        ..frame
    };
    // Not the view that the headers were read from: the verifier knows too much of it.
    Ok((frame, Reach { packet, view: packet.headers() }))
}

/// The reverse of a cast; a `match` would make the value known to the verifier again.
#[inline(always)]
fn family(number: usize) -> Family {
    // SAFETY: the number was made from a family.
    unsafe { core::mem::transmute(number as u8) }
}

/// Does nothing: measures the cost of a run itself.
#[xdp]
fn empty_xdp(_context: XdpContext) -> u32 {
    XDP_PASS
}

#[classifier]
fn empty_tc(_context: TcContext) -> i32 {
    TC_NEXT
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
