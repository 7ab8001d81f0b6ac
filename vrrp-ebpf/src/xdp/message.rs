//! Whole messages: comparison with the watched one, checksum, copy.
//!
//! These are loops over packet memory, which global functions call: the verifier checks each once, on its own, instead
//! of once per path that leads to it.

use vrrp_ebpf::map::{PAYLOAD_MAX, WatchedMessage};

use super::opaque::{self, at_most, barrier, bytes_differ, launder, load32, past_end, place};
use super::packet::View;

/// The result of [`sum`] for a message that is not completely in reach. No sum of PAYLOAD_MAX bytes comes near it.
pub(super) const NO_SUM: u64 = u64::MAX;

/// Headers before a message: Ethernet, two tags, the longest IPv4 header; rounded up.
const HEADERS_MAX: usize = 127;
const BLOCK: usize = 64;

/// No byte of a message lies beyond; also a mask, as HEADERS_MAX is.
const REST_MASK: usize = 2047;
const _: () = assert!(HEADERS_MAX + PAYLOAD_MAX <= REST_MASK && (HEADERS_MAX + 1).is_power_of_two());

/// Whether the message of `length` bytes at `at` equals the watched one.
///
/// # Safety
/// `watched` must be an element of the map.
#[inline(always)]
pub(super) unsafe fn equals(view: View, at: usize, length: usize, watched: *const WatchedMessage) -> bool {
    let mut difference = Difference { theirs: watched.cast() };
    // Made unknown to the verifier again: each comparison before has narrowed the values.
    let (at, length) = (launder(at, view.unknown), launder(length, view.unknown));
    visit(view, at, length, &mut difference)
}

/// The one's complement sum of the message's words in the machine's byte order, not folded; [`NO_SUM`] if the
/// message is not completely in the first buffer or is longer than the maps hold.
#[inline(always)]
pub(super) fn sum(view: View, at: u32, length: u32) -> u64 {
    let mut sum = Sum(0);
    match visit(view, barrier(at as usize), barrier(length as usize), &mut sum) {
        true => sum.0,
        false => NO_SUM,
    }
}

/// Copies the message of `length` bytes at `at` to `to`. False if it is longer than the maps hold, or is not completely
/// in the first buffer.
///
/// # Safety
/// `to` must be writable for [`PAYLOAD_MAX`] bytes.
#[inline(always)]
pub(super) unsafe fn copy(view: View, at: usize, length: usize, to: *mut u8) -> bool {
    visit(view, at, length, &mut Copy { to })
}

/// Passes a message of up to [`PAYLOAD_MAX`] bytes to `visitor` in pieces of 64, then 32, 16, 8 and 4 bytes. False as
/// soon as a piece is refused or lies beyond the buffer. The length is assumed to be a multiple of 4, as for each valid
/// message.
#[inline(always)]
fn visit(view: View, from: usize, length: usize, visitor: &mut impl Visitor) -> bool {
    if from > HEADERS_MAX || length > PAYLOAD_MAX {
        return false;
    }
    let mut place = place::<HEADERS_MAX>(view.start, from);
    let mut at = 0;
    // The loop counts the remaining bytes down: kernels before 6.8 see the end of a loop only if a range is compared
    // with a constant.
    let mut left = at_most::<PAYLOAD_MAX, 0>(length);
    while left >= BLOCK {
        if past_end::<BLOCK>(place, view.end) {
            return false;
        }
        // SAFETY: BLOCK bytes from `place` on lie within the buffer; `at` + BLOCK is at most PAYLOAD_MAX.
        if !unsafe { visitor.visit::<BLOCK>(place, at) } {
            return false;
        }
        place = barrier(place + BLOCK);
        at = barrier(at + BLOCK);
        left = barrier(left - BLOCK);
    }
    // Otherwise the rest would be verified again for each number of blocks before it.
    let mut rest = Rest { view, from, at: launder(at, view.unknown), length: launder(left, view.unknown) };
    visitor.launder(view.unknown);
    rest.visit::<32>(visitor)
        && rest.visit::<16>(visitor)
        && rest.visit::<8>(visitor)
        && rest.visit::<4>(visitor)
}

struct Rest {
    view: View,
    from: usize,
    at: usize,
    length: usize,
}

impl Rest {
    #[inline(always)]
    fn visit<const SIZE: usize>(&mut self, visitor: &mut impl Visitor) -> bool {
        if self.length & SIZE == 0 {
            return true;
        }
        if self.at > PAYLOAD_MAX - SIZE {
            return false;
        }
        // Not relative to `place` of the blocks, which by now differs with their number.
        let place = place::<REST_MASK>(self.view.start, self.from + self.at);
        if past_end::<SIZE>(place, self.view.end) {
            return false;
        }
        // SAFETY: SIZE bytes from `place` on lie within the buffer; `at` + SIZE is at most PAYLOAD_MAX.
        let taken = unsafe { visitor.visit::<SIZE>(place, at_most::<PAYLOAD_MAX, SIZE>(self.at)) };
        self.at = barrier(self.at + SIZE);
        taken
    }
}

trait Visitor {
    /// # Safety
    /// `SIZE` bytes from `place` on must be readable; they lie at `at` in the message.
    unsafe fn visit<const SIZE: usize>(&mut self, place: usize, at: usize) -> bool;

    /// Makes the state unknown to the verifier.
    fn launder(&mut self, _unknown: u64) {}
}

/// Refuses a piece that differs from `theirs`, which is aligned to 8 and has room for the longest message.
struct Difference {
    theirs: *const u8,
}

impl Visitor for Difference {
    #[inline(always)]
    unsafe fn visit<const SIZE: usize>(&mut self, place: usize, at: usize) -> bool {
        // SAFETY: the caller's promise; `theirs` holds the longest message.
        unsafe {
            let theirs = self.theirs.add(at).addr();
            match SIZE {
                4 => load32::<0>(place) == load32::<0>(theirs),
                _ => !bytes_differ::<SIZE>(place, theirs),
            }
        }
    }
}

struct Copy {
    to: *mut u8,
}

impl Visitor for Copy {
    #[inline(always)]
    unsafe fn visit<const SIZE: usize>(&mut self, place: usize, at: usize) -> bool {
        // SAFETY: the caller's promise; `to` has room for the longest message.
        unsafe { opaque::copy::<SIZE>(place, self.to.add(at).addr()) };
        true
    }
}

struct Sum(u64);

impl Visitor for Sum {
    #[inline(always)]
    unsafe fn visit<const SIZE: usize>(&mut self, place: usize, _at: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            self.0 += load32::<0>(place);
            if SIZE >= 8 {
                self.0 += load32::<4>(place);
            }
            if SIZE >= 16 {
                self.0 += load32::<8>(place) + load32::<12>(place);
            }
            if SIZE >= 32 {
                self.0 +=
                    load32::<16>(place) + load32::<20>(place) + load32::<24>(place) + load32::<28>(place);
            }
            if SIZE >= 64 {
                self.0 +=
                    load32::<32>(place) + load32::<36>(place) + load32::<40>(place) + load32::<44>(place);
                self.0 +=
                    load32::<48>(place) + load32::<52>(place) + load32::<56>(place) + load32::<60>(place);
            }
        }
        true
    }

    #[inline(always)]
    fn launder(&mut self, unknown: u64) {
        self.0 = launder(self.0 as usize, unknown) as u64;
    }
}
