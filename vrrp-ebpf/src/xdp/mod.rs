//! The program: one judgement for two entries.
//!
//! Enters: a frame. Leaves: a verdict, and what the maps and the ring now say. Absent: the meaning of an advert; no
//! priority, state or timer of the protocol is known here.
//!
//! ```text
//! dissect ─► not VRRP, or a VRID of nobody here ─► pass
//!    │
//!    ├ the watched advert again ─► watch: refresh its time stamp ─► pass
//!    ├ a failed check ─► count it ─► drop
//!    └ valid ─► record: peers ─► limit ─► ring ─► pass
//! ```

#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths and places lie within a frame, indexes within a map"
)]

mod limit;
mod maps;
mod message;
mod opaque;
mod packet;
mod record;
mod watch;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use vrrp_ebpf::map::Slot;
use vrrp_ebpf::map::{Counter, InstanceKey};
use vrrp_ebpf::wire::frame::Frame;
use vrrp_ebpf::wire::{Family, Reject, advert, frame};

use self::message::NO_SUM;
use self::opaque::forget;
use self::packet::Packet;

/// Leaves the frame to the next program and then to the stack (Linux 6.6).
const TCX_NEXT: i32 = -1;
const TCX_DROP: i32 = 2;

#[xdp(frags)]
fn vrrp_xdp(context: XdpContext) -> u32 {
    match judge(&context).passes() {
        true => XDP_PASS,
        false => XDP_DROP,
    }
}

#[classifier]
fn vrrp_tcx(context: TcContext) -> i32 {
    match judge(&context).passes() {
        true => TCX_NEXT,
        false => TCX_DROP,
    }
}

enum Outcome {
    Other,
    Unknown,
    Steady,
    Event,
    OverBudget,
    Reject,
}
impl Outcome {
    #[inline(always)]
    fn passes(self) -> bool {
        !matches!(self, Self::OverBudget | Self::Reject)
    }
}

#[inline(always)]
fn judge(packet: &impl Packet) -> Outcome {
    let Ok(frame) = frame::dissect(&packet.headers(), packet.stripped_vlan()) else {
        return Outcome::Other;
    };
    let ifindex = packet.ifindex();
    let key = InstanceKey::new(ifindex, frame.vlan, frame.family, frame.vrid);
    let Some(slot) = maps::slot_of(&key) else {
        maps::count(None, Counter::UnknownVrid as u32);
        return Outcome::Unknown;
    };
    let Some(form) = maps::form(slot) else { return Outcome::Unknown };
    let unknown = u64::from(ifindex) << 32 | u64::from(ifindex);
    let frame = Frame {
        at: forget(frame.at, unknown),
        length: forget(frame.length, unknown),
        family: family(forget(frame.family as usize, unknown)),
        ..frame
    };
    match steps(packet, &frame, slot, form, unknown) {
        Ok(outcome) => outcome,
        Err(reject) => {
            maps::count(Some(slot), forget(reject as usize, unknown) as u32);
            Outcome::Reject
        }
    }
}

#[inline(always)]
fn steps(
    packet: &impl Packet,
    frame: &Frame,
    slot: u32,
    form: &Slot,
    unknown: u64,
) -> Result<Outcome, Reject> {
    let (at, length) = (frame.at as u32, frame.length as u32);
    let view = packet.first(at + length);
    advert::judge_envelope(&view, frame, form)?;
    if watch::is_steady(view, slot, frame, now) {
        return Ok(Outcome::Steady);
    }
    let (sighting, checksum) = advert::judge_message(&view, frame, form, || {
        Some(packet.sum(at, length)).filter(|sum| *sum != NO_SUM)
    })?;
    let now = now();
    let peer = record::peer(slot, &sighting, checksum, now);
    if !limit::spend(slot, now) {
        maps::count(Some(slot), Counter::OverBudget as u32);
        return Ok(Outcome::OverBudget);
    }
    record::event(packet, slot, &sighting.source, peer, checksum, (at, forget(frame.length, unknown)), now);
    Ok(Outcome::Event)
}

/// The reverse of a cast; a `match` would tell the verifier again.
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

#[xdp(frags)]
fn empty_xdp(_context: XdpContext) -> u32 {
    XDP_PASS
}
#[classifier]
fn empty_tcx(_context: TcContext) -> i32 {
    TCX_NEXT
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
