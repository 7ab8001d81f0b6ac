//! The VRRP daemon `vrrpx`: drivers, threads and command line, on the crates of the protocol and the configuration.
//!
//! Layers; each uses only those before it: [`protocol`] ─► [`config`] ─► [`driver`] ─► [`daemon`] ─► [`cli`].

pub mod cli;
pub mod daemon;
pub mod driver;

pub use vrrp_conf as config;
pub use vrrp_proto as protocol;
