//! DNS checks: one server, or the system's servers together, resolve a name.

use super::Failure;
use crate::config::DnsTarget;
use crate::driver::dns::{Servers, lookup};

/// A query that can be repeated. Each attempt asks a server: neither a cache nor `/etc/hosts` answers.
#[derive(Clone, Debug)]
pub struct Dns(DnsTarget);

impl Dns {
    pub fn new(target: &DnsTarget) -> Self {
        Self(target.clone())
    }

    /// # Errors
    /// No server answers, or the name has no address.
    pub async fn attempt(&self) -> Result<(), Failure> {
        let servers = self.0.server.map_or_else(Servers::of_system, |server| Servers::one(server.into()));
        let found = lookup(&self.0.name, &servers).await;
        found.map(drop).map_err(|error| Failure::of(&self.0.name, &error))
    }
}
