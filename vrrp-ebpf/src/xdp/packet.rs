//! Packets of either kind of entry, and access to their bytes, which there is no other way to.
//!
//! Enters: the context of an entry. Leaves: [`View`] for the shared dissector. Absent: the two kinds, see
//! [`super::context`].
//! Bytes are read in place and only from the first buffer; its end counts as the end of the frame. Drivers and generic
//! XDP put far more than a VRRP message there; for tcx the headers and the message are pulled in.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{__sk_buff, xdp_md};
use vrrp_ebpf::wire::ByteAccess;
use vrrp_ebpf::wire::ipv4::HEADER_LEN;
use vrrp_ebpf::wire::{ethernet, ipv6};

use super::opaque::{load32, past_end, place};

/// Bytes up to the end of the longest headers that are read: Ethernet, two tags and IPv6.
const HEADERS_LEN: u32 = (ethernet::HEADER_LEN + 2 * ethernet::TAG_LEN + ipv6::HEADER_LEN) as u32;

/// Makes the headers readable in place. A driver that uses `napi_gro_frags` puts no more than Ethernet there, and GRO
/// adds the rest only for protocols that it merges: not for VRRP or neighbour discovery.
#[inline(always)]
pub(super) fn pull_headers(context: &impl Packet) {
    let _view = context.first(HEADERS_LEN);
}

/// A frame, as its entry received it.
pub(super) trait Packet: EbpfContext {
    /// The bytes that can be read in place: the headers at least. Drivers put them there for XDP; for tcx see
    /// [`pull_headers`].
    fn headers(&self) -> View;

    /// The bytes that can be read in place: the first `length` at least if the frame is long enough. Invalidates all
    /// earlier views.
    fn first(&self, length: u32) -> View;

    fn ifindex(&self) -> u32;

    /// Id of the VLAN whose tag the kernel has already removed from the frame, or 0.
    fn stripped_vlan(&self) -> u16;

    /// Whether the link layer addresses the frame to this host or to a group.
    fn is_to_mac(&self, view: &View) -> bool;

    /// See [`super::examine`].
    fn examine(&self, slot: u32, generation: u64) -> u64;

    /// See [`super::note`].
    fn note(&self, slot: u32, generation: u64, info: u64) -> u32;

    /// See [`super::note_unknown_router`].
    fn note_unknown_router(&self) -> u32;

    /// See [`super::fence`].
    fn fence(&self) -> u32;

    /// See [`super::message::sum`].
    fn sum(&self, at: u32, length: u32) -> u64;
}

/// The first buffer of a frame.
#[derive(Clone, Copy)]
pub(super) struct View {
    pub(super) start: usize,
    pub(super) end: usize,
    /// A value that the verifier does not know: the index of the interface.
    pub(super) unknown: u64,
}

impl View {
    #[inline(always)]
    pub(super) fn of_xdp(context: *mut xdp_md) -> Self {
        // SAFETY: the context is the kernel's. Volatile, so that a second view does not reuse the first.
        let (start, end) = unsafe {
            ((&raw const (*context).data).read_volatile(), (&raw const (*context).data_end).read_volatile())
        };
        // SAFETY: as above.
        let unknown = unsafe { (*context).ingress_ifindex };
        Self { start: start as usize, end: end as usize, unknown: unknown.into() }
    }

    #[inline(always)]
    pub(super) fn of_skb(skb: *mut __sk_buff) -> Self {
        // SAFETY: as above.
        let (start, end) = unsafe {
            ((&raw const (*skb).data).read_volatile(), (&raw const (*skb).data_end).read_volatile())
        };
        // SAFETY: as above.
        let unknown = unsafe { (*skb).ifindex };
        Self { start: start as usize, end: end as usize, unknown: unknown.into() }
    }
}

impl View {
    /// The one's complement sum of an IPv4 header without options, in the machine's byte order, not folded.
    #[inline(always)]
    pub(super) fn sum_of_header(&self, at: usize) -> Option<u64> {
        let place = place::<REACH>(self.start, at);
        if past_end::<HEADER_LEN>(place, self.end) {
            return None;
        }
        // SAFETY: HEADER_LEN bytes from `place` on lie within the buffer.
        Some(unsafe {
            load32::<0>(place)
                + load32::<4>(place)
                + load32::<8>(place)
                + load32::<12>(place)
                + load32::<16>(place)
        })
    }
}

/// How far into a frame bytes are read: beyond any header; also a mask.
const REACH: usize = 0x7fff;

impl ByteAccess for View {
    #[inline(always)]
    fn get<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        // Beyond, the verifier no longer tracks a packet pointer (its MAX_PACKET_OFF is 65535).
        if at > REACH {
            return None;
        }
        let place = place::<REACH>(self.start, at);
        if past_end::<N>(place, self.end) {
            return None;
        }
        // SAFETY: N bytes from `place` on lie within the buffer.
        Some(unsafe { *(place as *const [u8; N]) })
    }
}
