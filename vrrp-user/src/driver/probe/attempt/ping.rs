//! ICMP echo, which takes CAP_NET_RAW or a group of `net.ipv4.ping_group_range`.

use std::net::IpAddr;
use std::time::Duration;

use futures::future::select_ok;
use surge_ping::{Client, Config, ICMP, PingIdentifier, PingSequence, SurgeError};

use super::{Failure, Names};
use crate::config::Host;

/// Bytes behind the ICMP header, as `ping` sends them.
const PAYLOAD: [u8; 56] = [0; 56];

/// Echo requests to one host.
#[derive(Clone, Debug)]
pub struct Ping {
    host: Host,
    names: Names,
    /// Tells the answers of one check from those of others.
    identifier: PingIdentifier,
}

impl Ping {
    pub fn new(host: Host, names: Names, identifier: u16) -> Self {
        Self { host, names, identifier: PingIdentifier(identifier) }
    }

    /// # Errors
    /// A socket is refused, or the host cannot be reached; of a name, at none of its addresses.
    pub async fn attempt(&self, sequence: u16) -> Result<(), Failure> {
        let addresses = self.names.addresses(&self.host).await?;
        // All at once: one that is silent leaves no time for the others.
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
        // Its own limit is 2 s; the check's counts, at which the caller drops the attempt.
        pinger.timeout(Duration::MAX);
        pinger.ping(PingSequence(sequence), &PAYLOAD).await.map(drop)
    }
}
