//! Packet memory: the only unsafe code that touches it.
//!
//! Enters: the context of an entry. Leaves: [`Octets`] for the shared dissector, comparison and sum of a message, a
//! copy of it. Bytes are read in place and only from the first buffer; what lies beyond reads as the end of the
//! frame. Drivers and generic XDP put far more than a VRRP message there; for tcx it is pulled in.
//!
//! The inline assembly keeps two hands off. LLVM would turn `p + n > end` into `end - p`, which the verifier
//! refuses, and split the load of an unaligned word into bytes. The verifier would follow each kind of header
//! separately to the end of the program, were the place of the message not made unknown to it.

use core::arch::asm;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::{bpf_skb_load_bytes, bpf_skb_pull_data, bpf_xdp_load_bytes};
use aya_ebpf::programs::{TcContext, XdpContext};
use vrrp_ebpf::map::PAYLOAD_MAX;
use vrrp_ebpf::wire::Octets;

/// A frame as an entry was given it.
pub(super) trait Packet {
    fn view(&self) -> View;

    fn ifindex(&self) -> u32;

    /// Id of the VLAN whose tag the kernel has taken out of the frame already, or 0.
    fn stripped_vlan(&self) -> u16;

    /// Brings `length` bytes into the first buffer. Views taken before are void then.
    fn pull(&self, length: u32) -> bool;

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
    fn pull(&self, _length: u32) -> bool {
        false
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
    fn pull(&self, length: u32) -> bool {
        // SAFETY: as above.
        unsafe { bpf_skb_pull_data(self.skb.skb, length) == 0 }
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

/// A VRRP message in the first buffer.
#[derive(Clone, Copy)]
pub(super) struct Message {
    view: View,
    at: usize,
    length: usize,
    unknown: u32,
}

/// Headers before a message: Ethernet, two tags, the longest IPv4 header; rounded up.
const HEADERS_MAX: usize = 127;
const BLOCK: usize = 32;

impl Message {
    /// `unknown` may be any value that the verifier does not know.
    #[inline(always)]
    pub(super) fn new(view: View, at: usize, length: usize, unknown: u32) -> Self {
        Self { view, at, length, unknown }
    }

    #[inline(always)]
    pub(super) fn length(&self) -> u32 {
        self.length as u32
    }

    /// Whether the message equals the first `length` bytes of `other`, which lies at a multiple of 8.
    #[inline(always)]
    pub(super) fn equals(&self, other: &[u8; PAYLOAD_MAX]) -> bool {
        self.visit(&mut Difference { other: core::ptr::from_ref(other).cast() })
    }

    /// The one's complement sum of the message's words in the machine's byte order, not folded; `None` where the
    /// message does not lie in the first buffer or is longer than the maps hold.
    #[inline(always)]
    pub(super) fn sum(&self) -> Option<u64> {
        let mut sum = Sum(0);
        self.visit(&mut sum).then_some(sum.0)
    }

    /// Copies the message to `to` and returns its length; `None` where that fails.
    ///
    /// # Safety
    /// `to` must be writable for PAYLOAD_MAX bytes.
    #[inline(always)]
    pub(super) unsafe fn copy(&self, packet: &impl Packet, to: *mut u8) -> Option<u32> {
        let length = pin(self.length);
        // The helper takes no empty copy.
        if length == 0 || length > PAYLOAD_MAX {
            return None;
        }
        // SAFETY: the caller's promise.
        unsafe { packet.copy(self.at as u32, to, length as u32) }.then_some(length as u32)
    }

    /// Hands the message out in pieces of 32, then 16, 8 and 4 bytes. False as soon as one is refused or lies beyond
    /// the buffer. The length is taken for a multiple of 4, as that of every valid message is.
    #[inline(always)]
    fn visit(&self, visitor: &mut impl Visitor) -> bool {
        if self.at > HEADERS_MAX || self.length > PAYLOAD_MAX {
            return false;
        }
        let mut place = pin(self.view.start + self.at);
        let mut at = 0;
        while at + BLOCK <= self.length {
            if !self.piece::<BLOCK>(place, at, visitor) {
                return false;
            }
            place = pin(place + BLOCK);
            at = pin(at + BLOCK);
        }
        // Else the rest would be verified anew for each number of blocks before it.
        at = forget(at, self.unknown);
        self.rest::<16>(&mut at, visitor)
            && self.rest::<8>(&mut at, visitor)
            && self.rest::<4>(&mut at, visitor)
    }

    #[inline(always)]
    fn rest<const SIZE: usize>(&self, at: &mut usize, visitor: &mut impl Visitor) -> bool {
        if self.length & SIZE == 0 {
            return true;
        }
        if *at > PAYLOAD_MAX - SIZE {
            return false;
        }
        let place = pin(self.view.start + self.at + *at);
        let taken = self.piece::<SIZE>(place, *at, visitor);
        *at = pin(*at + SIZE);
        taken
    }

    #[inline(always)]
    fn piece<const SIZE: usize>(&self, place: usize, at: usize, visitor: &mut impl Visitor) -> bool {
        if beyond(place, SIZE, self.view.end) {
            return false;
        }
        // SAFETY: SIZE bytes from `place` on lie within the buffer; `at` + SIZE is at most PAYLOAD_MAX.
        unsafe { visitor.visit::<SIZE>(place, at) }
    }
}

trait Visitor {
    /// # Safety
    /// `SIZE` bytes from `place` on can be read, which lie at `at` in the message.
    unsafe fn visit<const SIZE: usize>(&mut self, place: usize, at: usize) -> bool;
}

struct Difference {
    other: *const u8,
}

impl Visitor for Difference {
    #[inline(always)]
    unsafe fn visit<const SIZE: usize>(&mut self, place: usize, at: usize) -> bool {
        // SAFETY: the caller's promise; `other` holds the longest message.
        unsafe {
            let theirs = self.other.add(at).addr();
            let mut difference = if SIZE == 4 { word::<0>(place) ^ word::<0>(theirs) } else { 0 };
            if SIZE >= 8 {
                difference |= double::<0>(place) ^ double::<0>(theirs);
            }
            if SIZE >= 16 {
                difference |= double::<8>(place) ^ double::<8>(theirs);
            }
            if SIZE >= 32 {
                difference |= double::<16>(place) ^ double::<16>(theirs);
                difference |= double::<24>(place) ^ double::<24>(theirs);
            }
            difference == 0
        }
    }
}

struct Sum(u64);

impl Visitor for Sum {
    #[inline(always)]
    unsafe fn visit<const SIZE: usize>(&mut self, place: usize, _at: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            self.0 += word::<0>(place);
            if SIZE >= 8 {
                self.0 += word::<4>(place);
            }
            if SIZE >= 16 {
                self.0 += word::<8>(place) + word::<12>(place);
            }
            if SIZE >= 32 {
                self.0 += word::<16>(place) + word::<20>(place) + word::<24>(place) + word::<28>(place);
            }
        }
        true
    }
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
        asm!("{0} ^= {1}", "{0} ^= {1}", inout(reg) value, in(reg) unknown, options(pure, nomem, nostack))
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
