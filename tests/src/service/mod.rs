//! Services for checks to look at, each a guard that ends what it has started.
//!
//! Docker engine, nginx and HAProxy are the real ones. systemd is a stand-in on a private bus: it answers the calls
//! and sends the signals that the daemon uses, and starts nothing.

mod docker;
mod haproxy;
mod nginx;
mod systemd;

pub use docker::Engine;
pub use haproxy::Haproxy;
pub use nginx::Nginx;
pub use systemd::Systemd;
