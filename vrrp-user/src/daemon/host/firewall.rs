//! nftables rules for instances that do not accept: their addresses answer nothing while this node is their master.
//!
//! Enters: the configuration. Leaves: the table, from before the first election until the last address is gone. It does
//! not depend on the state of an instance, as an address that is not here gets no traffic. A run that is killed leaves
//! the table, and its name in a file of the runtime directory, for the next one. Runs on the main thread.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use crate::config::{Config, FirewallSettings};
use crate::driver::firewall::{self, Denied};
use crate::driver::ownership;

#[derive(Debug)]
pub struct Firewall {
    /// Holds the name of the table while there is one.
    file: PathBuf,
    set: Option<(FirewallSettings, Vec<Denied>)>,
}

impl Firewall {
    /// Sets the rules for `config`; `folder` is the runtime directory.
    pub fn new(folder: &Path, config: &Config) -> Self {
        let mut this = Self { file: folder.join("firewall"), set: None };
        // The table of a daemon that still runs is replaced as a whole, or is the same.
        if ownership::is_ours()
            && let Ok(table) = fs::read_to_string(&this.file)
        {
            this.remove(table.trim());
        }
        this.adopt(config);
        this
    }

    /// Sets the rules for another configuration, if they differ.
    pub fn adopt(&mut self, config: &Config) {
        let denied = denied(config);
        let wanted = (!denied.is_empty()).then(|| (config.globals.firewall.clone(), denied));
        if wanted == self.set {
            return;
        }
        let before = self.set.take();
        if let Some((settings, denied)) = wanted {
            match firewall::set(&settings, &denied) {
                Ok(()) => {
                    info!(
                        table = &*settings.table,
                        addresses = denied.len(),
                        "traffic to addresses is dropped"
                    );
                    let _ = fs::write(&self.file, &*settings.table);
                    self.set = Some((settings, denied));
                }
                Err(error) => {
                    warn!(
                        %error,
                        "cannot set the firewall: traffic to addresses is accepted despite strict mode or `no_accept`"
                    );
                    // The earlier rules are still set, and better than none.
                    self.set = before;
                    return;
                }
            }
        }
        let left = before.map(|(settings, _)| settings.table);
        let table = |it: &Self| it.set.as_ref().map(|(settings, _)| Arc::clone(&settings.table));
        if let Some(left) = left.filter(|left| table(self).as_ref() != Some(left)) {
            self.remove(&left);
        }
    }

    fn remove(&self, table: &str) {
        match firewall::remove(table) {
            Ok(()) if self.set.is_none() => drop(fs::remove_file(&self.file)),
            Ok(()) => {}
            Err(error) => warn!(table, %error, "cannot remove the nftables table"),
        }
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        if let Some((settings, _)) = self.set.take()
            && ownership::is_ours()
        {
            self.remove(&settings.table);
        }
    }
}

/// An owner accepts in any case (RFC 9568 §6.1).
fn denied(config: &Config) -> Vec<Denied> {
    let refusing =
        config.instances.iter().map(|instance| &instance.settings).filter(|settings| !settings.accept);
    let denied = refusing.flat_map(|settings| {
        settings.addresses.all().map(|address| Denied {
            address: address.address,
            interface: Arc::clone(address.device.as_ref().unwrap_or_else(|| settings.address_interface())),
        })
    });
    let mut denied: Vec<Denied> = denied.collect();
    denied.sort_unstable();
    denied.dedup();
    denied
}
