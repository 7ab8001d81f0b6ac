//! Addresses of hosts: as they are written, or by `/etc/hosts` and the servers of `/etc/resolv.conf`.

use std::net::IpAddr;

use super::Failure;
use crate::config::Host;

#[cfg(feature = "dns")]
pub use of_names::Resolver;

#[cfg(not(feature = "dns"))]
pub use of_addresses::Resolver;

impl Resolver {
    pub fn new() -> Self {
        Self::default()
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
}

#[cfg(feature = "dns")]
mod of_names {
    use std::collections::HashMap;
    use std::net::IpAddr;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use vrrp_ebpf::time::Timestamp;

    use super::Failure;
    use crate::driver::clock;
    use crate::driver::dns::{Found, Servers, hosts, lookup};

    /// Longest time for which addresses are kept, however long they hold.
    const KEPT: Duration = Duration::from_secs(3600);

    /// Most addresses of a family that are used: all are tried at the same time, and a server could name thousands.
    const ADDRESSES_MAX: usize = 8;

    /// Cheap to clone. Keeps addresses for as long as they hold.
    #[derive(Clone, Debug, Default)]
    pub struct Resolver(Arc<Mutex<Kept>>);

    /// By name, with the time of the query.
    type Kept = HashMap<Box<str>, (Timestamp, Found)>;

    impl Resolver {
        pub(super) async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
            let written = hosts(name);
            if !written.is_empty() {
                return Ok(written);
            }
            if let Some(addresses) = self.kept(name) {
                return Ok(addresses);
            }
            let asked = clock::now();
            let found = lookup(name, &Servers::of_system()).await;
            let Found { addresses, holds } = found.map_err(|error| Failure::of(name, &error))?;
            let found = Found { addresses: some(addresses), holds };
            let addresses = found.addresses.clone();
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), (asked, found));
            Ok(addresses)
        }

        fn kept(&self, name: &str) -> Option<Vec<IpAddr>> {
            let now = clock::now();
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|_, (since, found)| now.since(*since) < found.holds.min(KEPT));
            kept.get(name).map(|(_, found)| found.addresses.clone())
        }
    }

    fn some(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let (mut four, mut six): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv4);
        four.truncate(ADDRESSES_MAX);
        six.truncate(ADDRESSES_MAX);
        four.extend(six);
        four
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn addresses_are_kept_while_they_hold() {
            let names = Resolver::default();
            let put = |name: &str, seconds| {
                let addresses = vec![IpAddr::from([192, 0, 2, 7])];
                let found = Found { addresses, holds: Duration::from_secs(seconds) };
                names.0.lock().unwrap().insert(name.into(), (clock::now(), found));
            };
            put("long", 60);
            put("over", 0);
            assert_eq!(names.kept("long").unwrap(), [IpAddr::from([192, 0, 2, 7])]);
            assert_eq!(names.kept("over"), None);
            assert_eq!(names.0.lock().unwrap().len(), 1);
        }
    }
}

#[cfg(not(feature = "dns"))]
mod of_addresses {
    use std::net::IpAddr;

    use super::Failure;

    /// Without the feature `dns`, hosts have addresses only.
    #[derive(Clone, Debug, Default)]
    pub struct Resolver(());

    impl Resolver {
        pub(super) async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
            Err(Failure::new(format_args!("{name}: this build lacks the feature `dns`")))
        }
    }
}
