//! Services for checks, each a guard that ends what it has started.
//!
//! Docker engine, nginx and HAProxy are the real ones. systemd exists twice: a stand-in on a private bus, which answers
//! the calls and sends the signals that the daemon uses and starts nothing, and the real one as the first process of a
//! [`Machine`].

mod docker;
mod haproxy;
mod machine;
mod nginx;
mod systemd;

pub use docker::Engine;
pub use haproxy::Haproxy;
pub use machine::Machine;
pub use nginx::Nginx;
pub use systemd::Systemd;
