//! The VRRP daemon `vrrpx`: protocol, configuration, drivers, threads and command line.
//!
//! Layers; each uses only those before it: [`protocol`] ─► [`config`] ─► [`driver`] ─► [`daemon`] ─► [`cli`].

pub mod cli;
pub mod config;
pub mod daemon;
pub mod driver;
pub mod protocol;
