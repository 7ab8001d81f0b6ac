//! Sockets and netlink against the kernel: two namespaces connected by a cable, the drivers on its left end, and a tap
//! or a listener on its right.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod addresses;
mod adverts;
mod allocation;
mod announcements;
mod cable;
mod cards;
mod cleanup_plan;
mod effect;
mod entries;
mod frags;
mod listener;
mod monitor;
mod pause;
mod refusals;
mod scripts;
mod vmacs;
