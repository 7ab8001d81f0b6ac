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

/// Whether `BYTES` bytes, a multiple of 8 up to 64, differ at the two places.
///
/// In one piece, for LLVM would spread the loads over more registers than there are.
///
/// # Safety
/// They can be read.
#[inline(always)]
pub(super) unsafe fn differ<const BYTES: usize>(one: usize, other: usize) -> bool {
    macro_rules! pieces {
        ($($at:literal)*) => {{
            let mut difference: u64;
            // SAFETY: the caller's promise.
            unsafe {
                asm!(
                    "{d} = 0",
                    $(
                        concat!("{a} = *(u64 *)({p} + ", $at, ")"),
                        concat!("{b} = *(u64 *)({q} + ", $at, ")"),
                        "{a} ^= {b}",
                        "{d} |= {a}",
                    )*
                    p = in(reg) one, q = in(reg) other,
                    d = out(reg) difference, a = out(reg) _, b = out(reg) _,
                    options(pure, readonly, nostack),
                );
            }
            difference != 0
        }};
    }
    match BYTES {
        8 => pieces!(0),
        16 => pieces!(0 8),
        32 => pieces!(0 8 16 24),
        _ => pieces!(0 8 16 24 32 40 48 56),
    }
}
