//! What tests, the lab and the benches share: namespaces, daemons in them, an observer, a prober.
//!
//! [`netns`] and [`lab`] make the network, [`daemon`] runs ours or a peer's daemon on a node of it, [`observe`] sees
//! every frame the nodes send with the kernel's time, [`probe`] asks the virtual address who serves it. Everything is
//! a guard: what it made goes when it is dropped, also on panic. Nothing here touches the host's own interfaces.
//!
//! [`packet`] builds frames, right ones and wrong ones.
//!
//! The observer reads adverts with a parser of its own on purpose: it must not share a mistake with the daemon.

pub mod arp;
pub mod bench;
pub mod bench_xdp;
pub mod clock;
pub mod daemon;
pub mod flavour;
pub mod flood;
pub mod group;
pub mod hider;
pub mod lab;
pub mod leave;
pub mod malformed;
pub mod netns;
pub mod observe;
pub mod packet;
pub mod pair;
pub mod probe;
pub mod process;
mod require;
mod server;
pub mod service;
pub mod smtp;
pub mod tap;
pub mod vm;
pub mod webhook;
pub mod worker;

pub use require::{missing, require};
