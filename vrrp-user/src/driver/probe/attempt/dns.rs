//! DNS checks: one server, or the system's servers together, resolve a name.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::{Failure, cause};
use crate::config::DnsTarget;

/// A query that can be repeated.
#[derive(Clone, Debug)]
pub struct Dns {
    resolver: TokioResolver,
    target: DnsTarget,
}

impl Dns {
    /// # Errors
    /// The system's list of servers cannot be read.
    pub fn new(target: &DnsTarget) -> Result<Self, Failure> {
        let builder = match target.server {
            None => TokioResolver::builder_tokio(),
            Some((address, port)) => {
                let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
                (udp.port, tcp.port) = (port, port);
                let servers = vec![NameServerConfig::new(address, true, vec![udp, tcp])];
                let config = ResolverConfig::from_name_servers(servers);
                Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
            }
        };
        let resolver = builder.and_then(|mut builder| {
            // Each attempt queries a server, not a cache.
            let options = builder.options_mut();
            options.cache_size = 0;
            options.use_hosts_file = ResolveHosts::Never;
            builder.build()
        });
        let resolver = resolver.map_err(|error| Failure::new(cause(&error)))?;
        Ok(Self { resolver, target: target.clone() })
    }

    /// # Errors
    /// No server answers, or the name has no address.
    pub async fn attempt(&self) -> Result<(), Failure> {
        let name = &self.target.name;
        let found = self.resolver.lookup_ip(&**name).await;
        let found = found.map_err(|error| Failure::of(name, &error))?;
        if found.iter().next().is_none() {
            return Err(Failure::new(format_args!("{name}: no address")));
        }
        Ok(())
    }
}
