//! Name resolution by `/etc/hosts` and the servers of `/etc/resolv.conf`.
//!
//! Absent: the C library, whose lookups block a thread each as long as a server is silent.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Failure, cause};
use crate::config::Host;

/// Cheap to clone. The first name makes it read the system's files: most configurations have addresses only.
#[derive(Clone, Debug, Default)]
pub struct Resolver(Arc<OnceLock<Result<TokioResolver, Box<str>>>>);

impl Resolver {
    pub fn new() -> Self {
        Self::default()
    }

    /// If the system's files cannot be read, every lookup fails with the same error.
    fn made(&self) -> &Result<TokioResolver, Box<str>> {
        self.0.get_or_init(|| {
            let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
            resolver.map_err(|error| cause(&error).into())
        })
    }

    /// At least one address, IPv4 and IPv6.
    ///
    /// # Errors
    /// The name has none, or no server answers.
    pub async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, Failure> {
        match host {
            Host::Address(address) => Ok(vec![*address]),
            Host::Name(name) => self.lookup(name).await,
        }
    }

    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        let resolver = self.made().as_ref().map_err(|why| Failure::new(format_args!("{name}: {why}")))?;
        let found = resolver.lookup_ip(name).await;
        let found = found.map_err(|error| Failure::of(name, &error))?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() {
            Err(Failure::new(format_args!("{name}: no address")))
        } else {
            Ok(addresses)
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        let addresses: BoxFuture<'static, _> = Box::pin(async move {
            let found = names.lookup(name.as_str()).await?;
            // The client replaces port 0 by the port of the URL.
            Ok(Box::new(found.into_iter().map(|address| (address, 0_u16).into())) as Addrs)
        });
        addresses
    }
}
