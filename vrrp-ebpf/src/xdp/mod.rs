//! The BPF program: one decision for the XDP and the tcx entry.
//!
//! Enters: a frame. Leaves: a verdict, and updates of the maps and the ring. Absent: the meaning of an advert; states
//! and timers of the protocol are the daemon's, and a priority counts only for budget and lease.
//!
//! ```text
//! dissect ─► not VRRP, not addressed to us, or unknown VRID ─► pass
//!    │   └ ARP, ICMPv6 ─► fence: request for an address of ours without a live lease ─► count it ─► drop
//!    │                       └ with a lease, and the daemon has asked for requests ─► ring ─► pass
//!    ├ the watched advert again ─► watch: refresh its time stamp ─► pass
//!    ├ a failed check ─► count it ─► drop
//!    └ valid ─► record: peers ─► limit ─► ring ─► pass
//! ```
//! [`mld_rewrite`] is a program of its own, for frames that leave interfaces with virtual MAC addresses.

#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths and places lie within a frame, indexes within a map"
)]

/// Logs at level debug in builds with the feature `log`; expands to nothing in all others.
macro_rules! tell {
    ($packet:expr, $format:literal $(, $value:expr)*) => {
        #[cfg(feature = "log")]
        aya_log_ebpf::debug!($packet, $format $(, $value)*);
    };
}

mod fence;
mod limit;
mod locals;
mod maps;
mod message;
mod mld_rewrite;
mod opaque;
mod packet;
mod record;
mod watch;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use vrrp_ebpf::map::{Counter, InstanceKey, InstanceRules, NO_PEER, SenderClass};
use vrrp_ebpf::wire::frame::{Frame, NotAdvert};
use vrrp_ebpf::wire::vrrp::{HEADER_LEN, Header};
use vrrp_ebpf::wire::{AdvertInfo, Family, Octets, Reject, advert, frame, ipv4, judge_sender};

use self::message::NO_SUM;
use self::opaque::launder;
use self::packet::{Packet, View};
use self::record::Sender;

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
    match judge(&context) {
        Verdict::Pass => TC_NEXT,
        Verdict::Drop => TC_DROP,
    }
}

/// No address: the own address of an unknown VRID.
const NO_ADDRESS: [u8; 16] = [0; 16];

/// The verdict; a number between functions that the verifier checks separately.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Verdict {
    Pass = 0,
    Drop = 1,
}

/// The fast path: other traffic and the watched advert end here.
#[inline(always)]
fn judge(packet: &impl Packet) -> Verdict {
    let (frame, view) = match dissect(packet) {
        Ok(dissected) => dissected,
        Err(NotAdvert::Neighbour) => return fence::judge(packet),
        Err(NotAdvert::Nested) => {
            maps::count(None, Counter::NestedTags as u32);
            return Verdict::Drop;
        }
        Err(NotAdvert::Other | NotAdvert::Truncated) => return Verdict::Pass,
    };
    let key = InstanceKey::new(packet.ifindex(), frame.vlan, frame.family, frame.vrid);
    let header = || advert::judge_header(&frame, |at, length| header_sum(packet, &view, at, length));
    let Some(slot) = maps::slot_of(&key) else {
        // An advert that the stack drops may be damaged, and so may its VRID.
        if locals::is_to_us(packet, &view, &frame, &NO_ADDRESS) && header().is_ok() {
            packet.note_unknown_router();
            maps::count(None, Counter::UnknownVrid as u32);
        }
        return Verdict::Pass;
    };
    let Some(rules) = maps::rules(slot) else { return Verdict::Pass };
    if !locals::is_to_us(packet, &view, &frame, &rules.source) {
        return Verdict::Pass;
    }
    let mut judged = header().and_then(|()| advert::judge_envelope(&view, &frame, rules));
    if judged.is_ok() && rules.unicast == InstanceRules::ALLOWED_PEERS_ONLY {
        judged = judge_sender(&frame, maps::allowed_peer(slot, frame.source));
    }
    if let Err(reject) = judged {
        tell!(packet, "slot {}: refused by check {}", slot, reject as u32);
        refuse(slot, reject, &frame, &view);
        return Verdict::Drop;
    }
    // The address of the watched master may be ours by now.
    if frame.source != rules.source && watch::is_steady(view, slot, &frame, now) {
        tell!(packet, "slot {}: the watched advert", slot);
        return Verdict::Pass;
    }
    let info = packet.examine(slot);
    if info == REFUSED || packet.note(slot, info) != 0 { Verdict::Drop } else { Verdict::Pass }
}

/// The result of [`examine`] for an advert that failed a check.
const REFUSED: u64 = 0;

/// Makes the remaining checks of an advert that passed [`advert::judge_envelope`]; returns [`AdvertInfo::to_bits`].
///
/// A BPF global function, like everything with loops or many branches: the verifier checks it once, on its own, and
/// assumes nothing about its result in its callers. It has one context type, hence one per kind of entry.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn examine_xdp(context: *mut xdp_md, slot: u32) -> u64 {
    examine(&XdpContext::new(context), slot)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn examine_skb(skb: *mut __sk_buff, slot: u32) -> u64 {
    examine(&TcContext::new(skb), slot)
}

#[inline(always)]
fn examine(packet: &impl Packet, slot: u32) -> u64 {
    let (Ok((frame, view)), Some(rules)) = (dissect(packet), maps::rules(slot)) else {
        return REFUSED;
    };
    let sum = |length| Some(packet.sum(frame.at as u32, length as u32)).filter(|sum| *sum != NO_SUM);
    match advert::judge_message(&view, &frame, rules, sum) {
        Ok((info, checksum)) => info.to_bits(checksum),
        Err(reject) => {
            if reject == Reject::Carp {
                packet.note_unknown_router();
            }
            tell!(packet, "slot {}: refused by check {}", slot, reject as u32);
            refuse(slot, reject, &frame, &view);
            REFUSED
        }
    }
}

/// Records a valid advert that is not the watched one, and wakes the daemon. Global functions, as [`examine_xdp`] is:
/// the verifier does not carry over what it learned from the checks.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn note_xdp(context: *mut xdp_md, slot: u32, info: u64) -> u32 {
    note(&XdpContext::new(context), slot, info) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn note_skb(skb: *mut __sk_buff, slot: u32, info: u64) -> u32 {
    note(&TcContext::new(skb), slot, info) as u32
}

#[inline(always)]
fn note(packet: &impl Packet, slot: u32, info: u64) -> Verdict {
    let (Ok((frame, view)), Some(rules)) = (dissect(packet), maps::rules(slot)) else {
        return Verdict::Pass;
    };
    let (info, checksum) = AdvertInfo::of_bits(info, frame.source, frame.vrid);
    tell!(packet, "slot {}: an advert of priority {}", slot, info.priority);
    let now = now();
    // Only the daemon can verify a signature: until then the advert adds no peer.
    let peer = if rules.is_signed() { NO_PEER } else { record::peer(slot, &info, checksum, now) };
    let class = limit::class(slot, &info, rules.priority, view.unknown);
    if !limit::spend(slot, class, rules.is_signed(), view.unknown, now) {
        maps::count(Some(slot), Counter::OverBudget as u32);
        if rules.is_signed() {
            maps::miss(slot, class, now);
        }
        return Verdict::Drop;
    }
    // The IPsec header authenticates the IP header, so the daemon needs both.
    let from = frame.at.wrapping_sub(frame.prefix);
    let place = (launder(from, view.unknown), launder(frame.length + frame.prefix, view.unknown));
    // An unverified signature ends no lease: any host can have sent it.
    let may_be_better = matches!(SenderClass::of(info.priority, rules.priority, false), SenderClass::Better);
    let sender = Sender { source: &info.source, peer, challenges: may_be_better && !rules.is_signed() };
    if !record::event(packet.headers(), slot, sender, checksum, place, now) && rules.is_signed() {
        maps::miss(slot, class, now);
    }
    Verdict::Pass
}

/// The sum of an IPv4 header; a header with options takes a loop.
#[inline(always)]
fn header_sum(packet: &impl Packet, view: &View, at: usize, length: usize) -> Option<u64> {
    match length {
        ipv4::HEADER_LEN => view.sum_of_header(at),
        _ => Some(packet.sum(at as u32, length as u32)).filter(|sum| *sum != NO_SUM),
    }
}

/// Counts a rejected advert and records its sender: a router that should be a peer may be a second master.
#[inline(always)]
fn refuse(slot: u32, reject: Reject, frame: &Frame, view: &View) {
    let source = u128::from_ne_bytes(frame.source);
    let reject = launder(reject as usize, view.unknown) as u32;
    record::reject(slot, reject, source as u64, (source >> 64) as u64);
}

/// Records an unknown router. Global functions, as [`examine_xdp`] is.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn unknown_router_xdp(context: *mut xdp_md) -> u32 {
    note_unknown_router(&XdpContext::new(context))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn unknown_router_skb(skb: *mut __sk_buff) -> u32 {
    note_unknown_router(&TcContext::new(skb))
}

#[inline(always)]
fn note_unknown_router(packet: &impl Packet) -> u32 {
    let Ok((frame, view)) = dissect(packet) else { return 0 };
    let key = InstanceKey::new(packet.ifindex(), frame.vlan, frame.family, frame.vrid);
    let Some(header) = view.get::<HEADER_LEN>(frame.at) else { return 0 };
    if let Some(unknown_router) = record::unknown_router(&key) {
        unknown_router.note(Header(header), &view, &frame, now());
    }
    0
}

/// A frame and its bytes that can be read in place: the whole message, if the frame has it. The kind of its headers is
/// made unknown to the verifier: the code behind is verified once, not once for each kind.
#[inline(always)]
fn dissect(packet: &impl Packet) -> Result<(Frame, View), NotAdvert> {
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
    Ok((frame, packet.headers()))
}

/// The reverse of a cast; a `match` would make the value known to the verifier again.
#[inline(always)]
fn family(number: usize) -> Family {
    // SAFETY: the number was made from a family.
    unsafe { core::mem::transmute(number as u8) }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_ktime_get_ns() }
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
