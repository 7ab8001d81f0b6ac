//! Single polls of a service over the network or a socket.
//!
//! Enters: the target of a check. Leaves: nothing if the service is well, otherwise a [`Failure`] for display. Absent:
//! interval, time limit and consequences: the caller drops an attempt at its time limit. No attempt keeps a connection,
//! starts a thread or holds more than a bounded answer.

mod connect;
#[cfg(feature = "dns")]
mod dns;
mod haproxy;
#[cfg(feature = "http")]
mod http;
mod names;
mod ping;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

#[cfg(feature = "dns")]
pub use dns::Dns;
#[cfg(feature = "http")]
pub use http::Http;
pub use names::Resolver;
pub use ping::Ping;

use crate::config::{Endpoint, HaproxyTarget};
use crate::driver::shortage;

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

/// Why a service is not well.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    text: Box<str>,
    is_shortage: bool,
}

/// Longest text of a failure, in bytes; a service must not fill the status output with its answers.
const LONGEST: usize = 200;

impl Failure {
    pub fn new(text: impl fmt::Display) -> Self {
        let mut text: String = text.to_string().chars().flat_map(escaped).collect();
        if text.len() > LONGEST {
            text.truncate(text.floor_char_boundary(LONGEST));
            text.push('…');
        }
        Self { text: text.into(), is_shortage: false }
    }

    /// The failed operation and the innermost cause.
    pub(in crate::driver) fn of(what: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        let is_shortage = shortage::has_shortage(error);
        Self { is_shortage, ..Self::new(format_args!("{what}: {}", cause(error))) }
    }

    /// If no descriptor can be opened, there is no result: not every library reports the reason for its failure.
    pub(in crate::driver) fn or_shortage(self) -> Self {
        match shortage::of_descriptors() {
            Some(error) if !self.is_shortage => Self::of("no descriptor", &error),
            _ => self,
        }
    }

    /// No result, for lack of descriptors or memory.
    pub fn is_shortage(&self) -> bool {
        self.is_shortage
    }
}

impl Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A service's answer must not control the terminal that shows it.
fn escaped(letter: char) -> impl Iterator<Item = char> {
    let (plain, code) =
        if letter.is_control() { (None, Some(letter.escape_default())) } else { (Some(letter), None) };
    plain.into_iter().chain(code.into_iter().flatten())
}

/// The innermost cause of an error, the useful part for a reader; libraries wrap it in their own words.
pub(in crate::driver) fn cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests;
