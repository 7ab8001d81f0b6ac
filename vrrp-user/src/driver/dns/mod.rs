//! Addresses of names, by DNS servers (RFC 1035).
//!
//! Enters: a name, and the servers to ask. Leaves: its IPv4 and IPv6 addresses, and how long they hold. Absent: the C
//! library, whose lookups block a thread each as long as a server is silent; a cache, which is
//! [`Resolver`](crate::daemon::probe::attempt::Resolver)'s.
//!
//! All servers are asked at the same time, so that a silent one delays little. The first answer with addresses counts;
//! one without any counts only if the servers that are named before do not know better within a moment.

mod message;
mod query;
mod system;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use futures_util::stream::{FuturesUnordered, StreamExt};
use thiserror::Error;
use tokio::time::{Instant, timeout, timeout_at};

use self::message::{Answer, MessageError, Record};
pub use self::system::{Servers, hosts};

/// How long an answer without addresses waits for the servers that are named before.
const PREFERENCE: Duration = Duration::from_millis(300);

/// How long addresses of one family wait for those of the other.
const OTHER_FAMILY: Duration = Duration::from_millis(200);

/// Addresses, at least one, and for how long they hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    pub addresses: Vec<IpAddr>,
    pub holds: Duration,
}

/// Why there are no addresses.
#[derive(Debug, Error)]
pub enum LookupError {
    #[error("not a valid DNS name")]
    Name,
    #[error("no such name")]
    Unknown,
    #[error("no address")]
    Empty,
    #[error("the server {0} answers {1}")]
    Refused(SocketAddr, message::ResponseCode),
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
        match lookup_one(&candidate, servers).await {
            // A domain to be searched need not have the name, nor a server that answers for it.
            Err(error @ LookupError::Refused(..)) => outcome = Err(error),
            Err(error @ (LookupError::Unknown | LookupError::Empty | LookupError::Name)) => {
                if !matches!(outcome, Err(LookupError::Refused(..))) {
                    outcome = Err(error);
                }
            }
            other => return other,
        }
    }
    outcome
}

async fn lookup_one(name: &str, servers: &Servers) -> Result<Found, LookupError> {
    let four = pin!(ask(name, Record::A, servers));
    let six = pin!(ask(name, Record::Aaaa, servers));
    let (first, rest) = select(four, six).await.factor_first();
    let second = match &first {
        // The addresses of one family are enough.
        Ok(found) if !found.addresses.is_empty() => {
            timeout(OTHER_FAMILY, rest).await.unwrap_or_else(|_| Ok(Answer::default()))
        }
        _ => rest.await,
    };
    let (mut found, further) = match (first, second) {
        (Ok(first), Ok(second)) => (first, second),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.addresses.is_empty() => {
            (found, Answer::default())
        }
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    found.addresses.extend(further.addresses);
    // IPv4 first, whichever came first.
    found.addresses.sort_by_key(IpAddr::is_ipv6);
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
    let numbered = servers.addresses.iter().enumerate();
    let mut asked: FuturesUnordered<_> = numbered
        .map(|(place, &server)| async move { (place, query::ask(name, record, server, servers).await) })
        .collect();
    let mut open: BTreeSet<usize> = (0..servers.addresses.len()).collect();
    // An answer without addresses, its server's place, and until when those before it are waited for.
    let mut negative: Option<(usize, Option<Answer>, Instant)> = None;
    let mut failure = LookupError::NoServer;
    loop {
        let next = match &negative {
            Some((place, ..)) if open.range(..*place).next().is_none() => break,
            Some((.., until)) => timeout_at(*until, asked.next()).await.unwrap_or(None),
            None => asked.next().await,
        };
        let Some((place, outcome)) = next else { break };
        open.remove(&place);
        match outcome {
            Ok(Some(answer)) if !answer.addresses.is_empty() => return Ok(answer),
            Ok(answer) => {
                let until = negative.as_ref().map_or_else(|| Instant::now() + PREFERENCE, |it| it.2);
                if negative.as_ref().is_none_or(|it| place < it.0) {
                    negative = Some((place, answer, until));
                }
            }
            Err(error) => failure = error,
        }
    }
    match negative {
        Some((_, answer, _)) => answer.ok_or(LookupError::Unknown),
        None => Err(failure),
    }
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
