//! The XDP and tcx programs. Built for bpf only; on the host this is an empty program, so that the workspace's
//! commands work with all targets.

#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod xdp;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
