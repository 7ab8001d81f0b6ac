//! Addresses of names, by DNS servers (RFC 1035).
//!
//! Enters: a name, and the servers to ask. Leaves: its IPv4 and IPv6 addresses, and how long they hold. Absent: the C
//! library, whose lookups block a thread each as long as a server is silent; a cache, which is
//! [`Resolver`](super::probe::attempt::Resolver)'s.
//!
//! All servers are asked at the same time, so that a silent one delays nothing; the first useful answer counts.

mod message;
mod query;
mod system;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::{join, select_ok};
use thiserror::Error;

use self::message::{Answer, MessageError, Record};
pub use self::system::{Servers, hosts};

/// Addresses, at least one, and for how long they hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    pub addresses: Vec<IpAddr>,
    pub holds: Duration,
}

/// Why there are no addresses.
#[derive(Debug, Error)]
pub enum LookupError {
    #[error("not a name")]
    Name,
    #[error("no such name")]
    Unknown,
    #[error("no address")]
    Empty,
    #[error("the server {0} answers {1}")]
    Refused(SocketAddr, message::Code),
    #[error("no answer of the server {0} within {1:?}")]
    Silent(SocketAddr, Duration),
    #[error("the answer of the server {0} cannot be read: {1}")]
    Garbled(SocketAddr, MessageError),
    #[error("the server {0}: {1}")]
    Io(SocketAddr, std::io::Error),
    #[error("no DNS server is known")]
    NoServer,
}

/// Asks for the addresses of a name, also in the domains to be searched.
///
/// # Errors
/// No server answers, or the name has no address.
pub async fn lookup(name: &str, servers: &Servers) -> Result<Found, LookupError> {
    let name = ascii(name)?;
    let mut outcome = Err(LookupError::Name);
    for candidate in servers.candidates(&name) {
        outcome = lookup_one(&candidate, servers).await;
        // A domain to be searched need not have the name.
        if !matches!(outcome, Err(LookupError::Unknown | LookupError::Empty | LookupError::Name)) {
            break;
        }
    }
    outcome
}

async fn lookup_one(name: &str, servers: &Servers) -> Result<Found, LookupError> {
    let (four, six) = join(ask(name, Record::A, servers), ask(name, Record::Aaaa, servers)).await;
    let (mut found, further) = match (four, six) {
        (Ok(four), Ok(six)) => (four, six),
        // The addresses of one family are enough.
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.addresses.is_empty() => {
            (found, Answer::default())
        }
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    found.addresses.extend(further.addresses);
    if found.addresses.is_empty() {
        return Err(LookupError::Empty);
    }
    let holds = Duration::from_secs(found.seconds.min(further.seconds).into());
    Ok(Found { addresses: found.addresses, holds })
}

async fn ask(name: &str, record: Record, servers: &Servers) -> Result<Answer, LookupError> {
    if servers.addresses.is_empty() {
        return Err(LookupError::NoServer);
    }
    let all = servers.addresses.iter().map(|&server| Box::pin(query::ask(name, record, server, servers)));
    let (answer, _) = select_ok(all).await?;
    // All agree that there is no such name, or none has answered before the first that says so.
    answer.ok_or(LookupError::Unknown)
}

/// The name as it goes over the wire.
fn ascii(name: &str) -> Result<String, LookupError> {
    if name.is_ascii() {
        return Ok(name.to_ascii_lowercase());
    }
    idna::domain_to_ascii(name).map_err(|_| LookupError::Name)
}

#[cfg(test)]
mod tests;
