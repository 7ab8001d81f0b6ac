//! Code shared by the BPF program and the daemon: the clock, the wire formats and the layouts of the BPF maps.
//!
//! Enters: the bytes of a frame. Leaves: a valid advert, or the [`wire::Reject`] that names the failed check.
//! Absent: sockets, reading a clock, allocation, protocol rules. The program in `main.rs` adds only packet and map
//! access.
//!
//! Read the modules in this order: [`time`], [`wire`], [`map`].

#![cfg_attr(not(test), no_std)]

pub mod map;
pub mod time;
pub mod wire;
