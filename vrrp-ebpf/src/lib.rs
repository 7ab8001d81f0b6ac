//! What kernel and user share: the clock, the wire formats and the layouts of the BPF maps.
//!
//! Enters: bytes of a frame. Leaves: a judged advert, or the one [`wire::Reject`] that names the failed check.
//! Absent: sockets, clocks, allocation, protocol rules. The program in `main.rs` adds only packet and map access.
//!
//! The order of use is the order of the modules: [`time`], [`wire`], [`map`].

#![cfg_attr(not(test), no_std)]

pub mod map;
pub mod time;
pub mod wire;
