//! Operations that neither LLVM nor the verifier sees through.
//!
//! LLVM would turn `p + n > end` into `end - p`, which the verifier refuses, and would add the parts of an index to a
//! packet pointer one by one. The verifier would follow each kind of header separately to the end of the program, were
//! the place of the message not made unknown to it.

use core::arch::asm;

/// A value that LLVM neither computes a second time nor merges with another.
#[inline(always)]
pub(super) fn pin(mut value: usize) -> usize {
    // SAFETY: moves a register; an empty template would confuse the line table.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(nomem, nostack)) };
    value
}

/// The same value, of which the verifier knows nothing any more: what follows is verified once, not once for each
/// value. `unknown` may be any value that the verifier does not know.
#[inline(always)]
pub(super) fn forget(mut value: usize, unknown: u64) -> usize {
    // SAFETY: arithmetic on a register.
    unsafe { asm!("{0} ^= {1}", "{0} ^= {1}", inout(reg) value, in(reg) unknown, options(nomem, nostack)) };
    value
}

/// Whether `size` bytes from `place` on reach past `end`.
#[inline(always)]
pub(super) fn beyond(place: usize, size: usize, end: usize) -> bool {
    let mut last = place;
    // SAFETY: arithmetic on a register. It is opaque, so that the comparison stays one of two packet pointers.
    unsafe { asm!("{0} += {1}", inout(reg) last, in(reg) size, options(pure, nomem, nostack)) };
    last > end
}

/// # Safety
/// Four bytes from `place` + `AT` on can be read.
#[inline(always)]
pub(super) unsafe fn word<const AT: usize>(place: usize) -> u64 {
    let value: u64;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("{0} = *(u32 *)({1} + {2})", out(reg) value, in(reg) place, const AT, options(pure, readonly, nostack));
    }
    value
}

/// # Safety
/// Eight bytes from `place` + `AT` on can be read.
#[inline(always)]
pub(super) unsafe fn double<const AT: usize>(place: usize) -> u64 {
    let value: u64;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("{0} = *(u64 *)({1} + {2})", out(reg) value, in(reg) place, const AT, options(pure, readonly, nostack));
    }
    value
}
