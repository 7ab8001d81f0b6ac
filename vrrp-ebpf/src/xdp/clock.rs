//! The kernel's clock.

use aya_ebpf::helpers::bpf_ktime_get_ns;

/// ns of CLOCK_MONOTONIC.
#[inline(always)]
pub(super) fn now() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_ktime_get_ns() }
}
