//! Single polls of a service over the network or a socket.
//!
//! Enters: the target of a check. Leaves: nothing if the service is well, otherwise a [`Failure`] for display. Absent:
//! interval, time limit and consequences: the caller drops an attempt at its time limit. No attempt keeps a connection,
//! starts a thread or holds more than a bounded answer.

mod connect;
#[cfg(feature = "dns")]
mod dns;
mod failure;
mod haproxy;
#[cfg(feature = "http")]
mod http;
mod names;
mod ping;

use std::path::PathBuf;

#[cfg(feature = "dns")]
pub use dns::Dns;
pub use failure::Failure;
#[cfg(feature = "webhook")]
pub(in crate::daemon) use failure::cause;
#[cfg(feature = "http")]
pub use http::Http;
pub use names::Resolver;
pub use ping::Ping;

use crate::config::{Endpoint, HaproxyTarget};

/// A poll that can be repeated.
#[derive(Clone, Debug)]
pub enum Attempt {
    Tcp(Endpoint, Resolver),
    Unix(PathBuf),
    #[cfg(feature = "http")]
    Http(Box<Http>),
    Haproxy(HaproxyTarget),
    #[cfg(feature = "dns")]
    Dns(Dns),
    Ping(Ping),
}

impl Attempt {
    /// Makes the `nth` attempt.
    ///
    /// # Errors
    /// The service is not well.
    pub async fn make(&self, nth: u64) -> Result<(), Failure> {
        let made = match self {
            Self::Tcp(endpoint, names) => connect::tcp(endpoint, names).await,
            Self::Unix(path) => connect::unix(path).await,
            #[cfg(feature = "http")]
            Self::Http(http) => http.attempt().await,
            Self::Haproxy(target) => haproxy::attempt(target).await,
            #[cfg(feature = "dns")]
            Self::Dns(dns) => dns.attempt().await,
            Self::Ping(ping) => ping.attempt(u16::try_from(nth & 0xffff).unwrap_or_default()).await,
        };
        made.map_err(Failure::or_shortage)
    }
}

#[cfg(test)]
mod tests;
