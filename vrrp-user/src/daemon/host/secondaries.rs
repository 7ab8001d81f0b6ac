//! `promote_secondaries`: keeps the other addresses of a subnet when the first one is removed.
//!
//! Enters: the configuration, and changes of links. Leaves: the kernel's setting on each interface that needs it, while
//! the daemon runs. Runs on the main thread.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::warn;

use super::sysctls::{SECONDARIES, Sysctls};
use crate::config::Config;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::table::Table;
use crate::driver::ownership;

#[derive(Debug)]
pub struct Secondaries {
    socket: RouteSocket,
    sysctls: Sysctls,
    wanted: HashSet<Arc<str>>,
    /// Interfaces on which the setting was refused.
    refused: HashSet<u32>,
}

impl Secondaries {
    /// `folder` is the runtime directory.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn new(config: &Config, folder: &Path) -> io::Result<Self> {
        let sysctls = Sysctls::new(&SECONDARIES, folder);
        let socket = RouteSocket::open()?;
        let mut this = Self { socket, sysctls, wanted: HashSet::new(), refused: HashSet::new() };
        this.adopt(config);
        Ok(this)
    }

    /// Adds the interfaces of another configuration.
    pub fn adopt(&mut self, config: &Config) {
        let wanted = config.instances.iter().filter(|instance| instance.promote_secondaries);
        self.wanted.extend(wanted.map(|instance| Arc::clone(&instance.settings.interface)));
    }

    /// Restores interfaces that only an earlier configuration wanted.
    pub fn prune(&mut self, config: &Config) {
        self.wanted.clear();
        self.adopt(config);
        self.sysctls.retain(|interface| self.wanted.contains(interface));
    }

    /// Changes the setting on interfaces that have come, and restores what an earlier run has left.
    pub fn keep(&mut self, table: &Table) {
        for interface in &self.wanted {
            let Some(ifindex) = table.link(interface).map(|link| link.ifindex) else { continue };
            if self.sysctls.holds(interface, ifindex) || self.refused.contains(&ifindex) {
                continue;
            }
            if let Err(error) = self.sysctls.hold(&mut self.socket, interface) {
                warn!(%interface, %error, "cannot set promote_secondaries");
                self.refused.insert(ifindex);
            }
        }
        self.sysctls.set_back_earlier();
    }
}

impl Drop for Secondaries {
    fn drop(&mut self) {
        if ownership::is_ours() {
            self.sysctls.retain(|_| false);
        }
    }
}
