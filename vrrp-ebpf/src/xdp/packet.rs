//! Packet memory: the only unsafe code that touches it.
//!
//! Enters: the context of an entry. Leaves: [`Octets`] for the shared dissector, and a message as a whole. Headers are
//! read in place and only from the first buffer; what lies beyond reads as the end of the frame. A message is copied
//! by the kernel's helper, compared and summed in the copy.
//!
//! The inline assembly keeps two hands off. LLVM would turn `p + n > end` into `end - p`, which the verifier
//! refuses, and split the load of an unaligned word into bytes. The verifier would follow each kind of header
//! separately to the end of the program, were the place of the message not made unknown to it.

use core::arch::asm;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::{bpf_skb_load_bytes, bpf_xdp_load_bytes};
use aya_ebpf::programs::{TcContext, XdpContext};
use vrrp_ebpf::map::PAYLOAD_MAX;
use vrrp_ebpf::wire::Octets;

use super::maps;

/// A frame as an entry was given it.
pub(super) trait Packet {
    fn view(&self) -> View;

    fn ifindex(&self) -> u32;

    /// Id of the VLAN whose tag the kernel has taken out of the frame already, or 0.
    fn stripped_vlan(&self) -> u16;

    /// Copies from the whole frame.
    ///
    /// # Safety
    /// `to` must be writable for `length` bytes.
    unsafe fn copy(&self, at: u32, to: *mut u8, length: u32) -> bool;
}

impl Packet for XdpContext {
    #[inline(always)]
    fn view(&self) -> View {
        View { start: self.data(), end: self.data_end() }
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

    #[inline(always)]
    unsafe fn copy(&self, at: u32, to: *mut u8, length: u32) -> bool {
        // SAFETY: the caller's promise; the helper checks the frame's side (Linux 5.18).
        unsafe { bpf_xdp_load_bytes(self.ctx, at, to.cast(), length) == 0 }
    }
}

impl Packet for TcContext {
    #[inline(always)]
    fn view(&self) -> View {
        View { start: self.data(), end: self.data_end() }
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

    #[inline(always)]
    unsafe fn copy(&self, at: u32, to: *mut u8, length: u32) -> bool {
        // SAFETY: the caller's promise; the helper checks the frame's side.
        unsafe { bpf_skb_load_bytes(self.as_ptr(), at, to.cast(), length) == 0 }
    }
}

/// The first buffer of a frame.
#[derive(Clone, Copy)]
pub(super) struct View {
    start: usize,
    end: usize,
}

impl Octets for View {
    #[inline(always)]
    fn get<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        // In one piece, or the parts of `a + b - 8` would be added to the packet pointer one by one.
        let at = pin(at);
        // Beyond, the verifier gives a packet pointer up (its MAX_PACKET_OFF is 65535).
        if at > 0x7fff {
            return None;
        }
        let place = pin(self.start + at);
        if beyond(place, N, self.end) {
            return None;
        }
        let mut bytes = [0; N];
        let to = bytes.as_mut_ptr();
        // SAFETY: N bytes from `place` on lie within the buffer; `bytes` holds N.
        unsafe {
            match N {
                2 => to.cast::<u16>().write_unaligned(half::<0>(place) as u16),
                4 => to.cast::<u32>().write_unaligned(word::<0>(place) as u32),
                8 => to.cast::<u64>().write_unaligned(double::<0>(place)),
                16 => {
                    to.cast::<u64>().write_unaligned(double::<0>(place));
                    to.cast::<u64>().add(1).write_unaligned(double::<8>(place));
                }
                _ => bytes = *(place as *const [u8; N]),
            }
        }
        Some(bytes)
    }
}

/// A VRRP message, copied to where the verifier need not follow it.
#[derive(Clone, Copy)]
pub(super) struct Message {
    length: u32,
}

impl Message {
    /// Copies the message out of the whole frame, into memory of this CPU. `None` where the frame ends before, or
    /// where the message is empty or longer than the maps hold.
    #[inline(always)]
    pub(super) fn copy(packet: &impl Packet, at: usize, length: usize) -> Option<Self> {
        let length = pin(length);
        // The helpers take no empty copy.
        if length == 0 || length > PAYLOAD_MAX {
            return None;
        }
        let scratch = maps::scratch()?;
        // SAFETY: the scratch holds PAYLOAD_MAX bytes.
        unsafe { packet.copy(at as u32, scratch.cast(), length as u32) }
            .then_some(Self { length: length as u32 })
    }

    #[inline(always)]
    pub(super) fn length(self) -> u32 {
        self.length
    }

    /// Whether the message equals the first `length` bytes of the watched one of this slot.
    #[inline(always)]
    pub(super) fn is_watched(self, slot: u32) -> bool {
        equals_watch(slot, self.length) != 0
    }

    /// The one's complement sum of the message's words in the machine's byte order, not folded.
    #[inline(always)]
    pub(super) fn sum(self) -> u64 {
        sum_scratch(self.length)
    }

    /// Copies the message on and returns its length.
    ///
    /// # Safety
    /// `to` must be writable for PAYLOAD_MAX bytes.
    #[inline(always)]
    pub(super) unsafe fn copy_to(self, packet: &impl Packet, at: usize, to: *mut u8) -> Option<u32> {
        let length = pin(self.length as usize);
        if length == 0 || length > PAYLOAD_MAX {
            return None;
        }
        // SAFETY: the caller's promise.
        unsafe { packet.copy(at as u32, to, length as u32) }.then_some(length as u32)
    }
}

const WORDS: usize = PAYLOAD_MAX / 8;

/// A global function: the verifier walks its loop once, not once for each way that leads to it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn equals_watch(slot: u32, length: u32) -> u64 {
    let (Some(message), Some(watch)) = (maps::scratch(), maps::watch(slot)) else { return 0 };
    // SAFETY: the kernel keeps array elements for ever.
    let theirs = unsafe { (&raw const (*watch).payload).cast::<u64>() };
    let words = length as usize / 8;
    let mut index = 0;
    // Pinned, or LLVM would fold both bounds into one that the verifier does not know.
    while index < WORDS && pin(index) < words {
        // SAFETY: both hold WORDS words.
        if unsafe { message.add(index).read_volatile() != theirs.add(index).read_volatile() } {
            return 0;
        }
        index = pin(index + 1);
    }
    if length & 4 == 0 {
        return 1;
    }
    let words = pin(words);
    if words >= WORDS {
        return 0;
    }
    // SAFETY: a word is left behind the last whole one.
    let (ours, theirs) = unsafe {
        (message.add(words).cast::<u32>().read_volatile(), theirs.add(words).cast::<u32>().read_volatile())
    };
    u64::from(ours == theirs)
}

/// Global for the same reason. The length is taken for a multiple of 4, as that of every valid message is.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sum_scratch(length: u32) -> u64 {
    let Some(message) = maps::scratch() else { return 0 };
    let message = message.cast::<u32>();
    let mut sum = 0;
    let mut index = 0;
    while index < 2 * WORDS && pin(index) < length as usize / 4 {
        // SAFETY: the scratch holds twice WORDS half-words.
        sum += u64::from(unsafe { message.add(index).read_volatile() });
        index = pin(index + 1);
    }
    sum
}

/// A value that LLVM neither computes a second time nor merges with another.
#[inline(always)]
fn pin(mut value: usize) -> usize {
    // SAFETY: moves a register; an empty template would confuse the line table.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack)) };
    value
}

/// The same value, of which the verifier knows nothing any more: what follows is verified once, not once for each
/// value. `unknown` may be any value that the verifier does not know.
#[inline(always)]
pub(super) fn forget(mut value: usize, unknown: u32) -> usize {
    let unknown = unknown as usize;
    // SAFETY: arithmetic on a register.
    unsafe {
        asm!("{0} ^= {1}", "{0} ^= {1}", inout(reg) value, in(reg) unknown, options(pure, nomem, nostack));
    };
    value
}

/// Whether `size` bytes from `place` on reach past `end`.
#[inline(always)]
fn beyond(place: usize, size: usize, end: usize) -> bool {
    let mut last = place;
    // SAFETY: arithmetic on a register. It is opaque, so that the comparison stays one of two packet pointers.
    unsafe { asm!("{0} += {1}", inout(reg) last, in(reg) size, options(pure, nomem, nostack)) };
    last > end
}

/// # Safety
/// Two bytes from `place` + `AT` on can be read; so for the functions below.
#[inline(always)]
unsafe fn half<const AT: usize>(place: usize) -> u64 {
    let value: u64;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("{0} = *(u16 *)({1} + {2})", out(reg) value, in(reg) place, const AT, options(pure, readonly, nostack));
    }
    value
}

#[inline(always)]
unsafe fn word<const AT: usize>(place: usize) -> u64 {
    let value: u64;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("{0} = *(u32 *)({1} + {2})", out(reg) value, in(reg) place, const AT, options(pure, readonly, nostack));
    }
    value
}

#[inline(always)]
unsafe fn double<const AT: usize>(place: usize) -> u64 {
    let value: u64;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("{0} = *(u64 *)({1} + {2})", out(reg) value, in(reg) place, const AT, options(pure, readonly, nostack));
    }
    value
}
