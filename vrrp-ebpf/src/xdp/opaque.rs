//! Operations opaque to LLVM and the verifier.
//!
//! LLVM would turn `p + n > end` into `end - p`, which the verifier refuses, and would add the parts of an index to a
//! packet pointer one by one. The verifier would follow each kind of header separately to the end of the program if it
//! knew the place of the message.

use core::arch::asm;

/// A value that LLVM neither computes a second time nor merges with another.
#[inline(always)]
pub(super) fn barrier(mut value: usize) -> usize {
    // SAFETY: moves a register; an empty template would confuse the line table.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(nomem, nostack)) };
    value
}

/// LLVM moves no read of memory from before this call to behind it.
#[inline(always)]
pub(super) fn read_before() {
    // SAFETY: moves a register to itself.
    unsafe { asm!("r1 = r1", options(nostack, preserves_flags)) };
}

/// The same value, unknown to the verifier: the code behind is verified once, not once for each value. `unknown` may be
/// any value that the verifier does not know. Not pure, so that LLVM does not move it behind a branch.
#[inline(always)]
pub(super) fn launder(mut value: usize, unknown: u64) -> usize {
    // SAFETY: arithmetic on a register.
    unsafe { asm!("{0} ^= {1}", "{0} ^= {1}", inout(reg) value, in(reg) unknown, options(nomem, nostack)) };
    value
}

/// The smaller one of `value` and `MOST` − `LESS`, bounded by the instruction before its use: kernels before 6.18
/// forget the bound of a register when LLVM compares a copy of it, and those before 6.9 when it was on the stack
/// meanwhile.
///
/// The verifier walks the path within the bound first; it then prunes the other one, whose value lies within the bound.
#[inline(always)]
pub(super) fn at_most<const MOST: usize, const LESS: usize>(mut value: usize) -> usize {
    // SAFETY: compares and moves a register.
    unsafe {
        asm!(
            "if {0} > {1} goto +1",
            "goto +1",
            "{0} = {1}",
            inout(reg) value, const MOST - LESS, options(pure, nomem, nostack)
        );
    }
    value
}

/// The lowest bits of `value`, as many as `MASK` has; bounded as by [`at_most`], in one instruction.
#[inline(always)]
pub(super) fn masked<const MASK: usize>(mut value: usize) -> usize {
    // SAFETY: arithmetic on a register.
    unsafe { asm!("{0} &= {1}", inout(reg) value, const MASK, options(pure, nomem, nostack)) };
    value
}

/// `start` + `at`, bounded by `MASK` as by [`masked`]. In one piece: LLVM would add the parts of an index to a packet
/// pointer one by one.
#[inline(always)]
pub(super) fn place<const MASK: usize>(start: usize, mut at: usize) -> usize {
    // SAFETY: arithmetic on a register. Not pure, so that LLVM does not merge two places.
    unsafe {
        asm!("{0} &= {1}", "{0} += {2}", inout(reg) at, const MASK, in(reg) start, options(nomem, nostack));
    };
    at
}

/// Whether `SIZE` bytes from `place` on reach past `end`.
#[inline(always)]
pub(super) fn past_end<const SIZE: usize>(place: usize, end: usize) -> bool {
    let mut last = place;
    // SAFETY: arithmetic on a register. Opaque, so that LLVM still compares two packet pointers.
    unsafe { asm!("{0} += {1}", inout(reg) last, const SIZE, options(pure, nomem, nostack)) };
    last > end
}

/// [`past_end`] for a size that only the frame knows.
#[inline(always)]
pub(super) fn is_past_end(place: usize, size: usize, end: usize) -> bool {
    let mut last = place;
    // SAFETY: as in `past_end`.
    unsafe { asm!("{0} += {1}", inout(reg) last, in(reg) size, options(pure, nomem, nostack)) };
    last > end
}

/// Loads four bytes at `place` + `AT`.
///
/// # Safety
/// They must be readable.
#[inline(always)]
pub(super) unsafe fn load32<const AT: usize>(place: usize) -> u64 {
    let value: u64;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("{0} = *(u32 *)({1} + {2})", out(reg) value, in(reg) place, const AT, options(pure, readonly, nostack));
    }
    value
}

/// Whether `BYTES` bytes, a multiple of 8 up to 64, differ at the two places.
///
/// In one piece, because LLVM would spread the loads over more registers than there are.
///
/// # Safety
/// They must be readable.
#[inline(always)]
pub(super) unsafe fn bytes_differ<const BYTES: usize>(one: usize, other: usize) -> bool {
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

/// Copies `BYTES` bytes, 4 or a multiple of 8 up to 64; in one piece, as [`bytes_differ`].
///
/// # Safety
/// They must be readable at `from` and writable at `to`.
#[inline(always)]
pub(super) unsafe fn copy<const BYTES: usize>(from: usize, to: usize) {
    macro_rules! pieces {
        ($width:literal $($at:literal)*) => {
            // SAFETY: the caller's promise.
            unsafe {
                asm!(
                    $(
                        concat!("{a} = *(", $width, " *)({p} + ", $at, ")"),
                        concat!("*(", $width, " *)({q} + ", $at, ") = {a}"),
                    )*
                    p = in(reg) from, q = in(reg) to, a = out(reg) _, options(nostack),
                );
            }
        };
    }
    match BYTES {
        4 => pieces!("u32" 0),
        8 => pieces!("u64" 0),
        16 => pieces!("u64" 0 8),
        32 => pieces!("u64" 0 8 16 24),
        _ => pieces!("u64" 0 8 16 24 32 40 48 56),
    }
}
