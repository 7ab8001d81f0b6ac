//! Harness of tests, lab and benches: namespaces, daemons in them, an observer, a prober.
//!
//! [`netns`] and [`lab`] make the network, [`daemon`] runs ours or a peer's daemon on a node, [`observe`] sees every
//! frame of the nodes with the kernel's time stamp, [`probe`] finds the node that answers for a virtual address. Every
//! object is a guard: what it made goes when it is dropped, also on panic. The host's own interfaces are not touched.
//!
//! [`packet`] builds frames, valid ones and faulty ones.
//!
//! The observer has its own parser of adverts on purpose: it must not share a mistake with the daemon.

pub mod arp;
pub mod bench;
pub mod clock;
pub mod control_group;
pub mod daemon;
pub mod flavour;
pub mod flood;
pub mod group;
pub mod hider;
pub mod http;
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
pub mod schema;
mod server;
pub mod service;
pub mod smtp;
pub mod starvation;
pub mod tap;
pub mod terminal;
pub mod tun;
pub mod vm;
pub mod webhook;
pub mod worker;

pub use require::{Skipped, find, member, met, missing, require};
pub use vrrp_tests_needs::{needs, waits};

use vrrp_user::protocol::InstanceId;

/// The first two instances.
pub const FIRST: InstanceId = InstanceId(0);
pub const SECOND: InstanceId = InstanceId(1);

/// Tests of one call each. Attributes before them, `waits` and `needs`, are those of every one.
#[macro_export]
macro_rules! cases {
    (#[waits] $(#[$needs:meta])? $(fn $name:ident = $call:expr;)+) => {
        $crate::cases!(@each [#[$crate::waits]] [$(#[$needs])?] $($name = $call;)+);
    };
    ($(#[$needs:meta])? $(fn $name:ident = $call:expr;)+) => {
        $crate::cases!(@each [] [$(#[$needs])?] $($name = $call;)+);
    };
    (@each $waits:tt $needs:tt $($name:ident = $call:expr;)+) => {
        $($crate::cases!(@one $waits $needs $name = $call);)+
    };
    (@one [$($waits:tt)*] [$($needs:tt)*] $name:ident = $call:expr) => {
        $($waits)*
        #[test]
        $($needs)*
        fn $name() -> ::anyhow::Result<()> {
            $call
        }
    };
}
