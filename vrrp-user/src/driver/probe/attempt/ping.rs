//! ICMP echo, which takes CAP_NET_RAW or a group of `net.ipv4.ping_group_range`.

use std::net::IpAddr;

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
    /// The host does not answer, or a socket for it is refused.
    pub async fn attempt(&self, sequence: u16) -> Result<(), Failure> {
        let mut last = Failure::new("no address");
        for address in self.names.addresses(&self.host).await? {
            match self.echo(address, sequence).await {
                Ok(()) => return Ok(()),
                Err(error) => last = Failure::new(format_args!("{address}: {error}")),
            }
        }
        Err(last)
    }

    async fn echo(&self, address: IpAddr, sequence: u16) -> Result<(), SurgeError> {
        let kind = if address.is_ipv4() { ICMP::V4 } else { ICMP::V6 };
        let client = Client::new(&Config::builder().kind(kind).build())?;
        let mut pinger = client.pinger(address, self.identifier).await;
        pinger.ping(PingSequence(sequence), &PAYLOAD).await.map(drop)
    }
}
