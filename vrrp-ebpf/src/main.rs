//! The XDP and tcx programs. They are built for BPF only; for the host this file is an empty program, so that cargo
//! commands on the whole workspace work.

#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod xdp;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
