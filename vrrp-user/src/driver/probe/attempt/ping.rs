//! Ping checks: ICMP echo, which needs CAP_NET_RAW or a group of `net.ipv4.ping_group_range`.

use std::net::IpAddr;
use std::time::Duration;

use futures::future::select_ok;
use surge_ping::{Client, Config, ICMP, PingIdentifier, PingSequence, SurgeError};

use super::{Failure, Resolver};
use crate::config::Host;

/// Bytes after the ICMP header, as many as `ping` sends.
const PAYLOAD: [u8; 56] = [0; 56];

/// Echo requests to one host.
#[derive(Clone, Debug)]
pub struct Ping {
    host: Host,
    names: Resolver,
    /// Distinguishes the replies of this check from those of others.
    identifier: PingIdentifier,
}

impl Ping {
    pub fn new(host: Host, names: Resolver, identifier: u16) -> Self {
        Self { host, names, identifier: PingIdentifier(identifier) }
    }

    /// # Errors
    /// The socket is refused, or the host is unreachable; for a name, at all of its addresses.
    pub async fn attempt(&self, sequence: u16) -> Result<(), Failure> {
        let addresses = self.names.addresses(&self.host).await?;
        // All at once: a silent address would leave no time for the others.
        let attempts = addresses.into_iter().map(|address| Box::pin(self.at(address, sequence)));
        select_ok(attempts).await.map(drop)
    }

    async fn at(&self, address: IpAddr, sequence: u16) -> Result<(), Failure> {
        let answered = self.echo(address, sequence).await;
        answered.map_err(|error| Failure::of(address, &error))
    }

    async fn echo(&self, address: IpAddr, sequence: u16) -> Result<(), SurgeError> {
        let kind = if address.is_ipv4() { ICMP::V4 } else { ICMP::V6 };
        let client = Client::new(&Config::builder().kind(kind).build())?;
        let mut pinger = client.pinger(address, self.identifier).await;
        // Replaces its own limit of 2 s: the caller drops the attempt at the check's limit.
        pinger.timeout(Duration::MAX);
        pinger.ping(PingSequence(sequence), &PAYLOAD).await.map(drop)
    }
}
