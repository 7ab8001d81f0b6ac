//! nftables rules for instances that do not accept: their addresses answer nothing while this node is their master.
//!
//! Enters: the configuration. Leaves: the table, from before the first election until the last address is gone. It does
//! not depend on the state of an instance, as an address that is not here gets no traffic. A run that is killed leaves
//! the table, and its name in a file of the runtime directory, for the next one. A table of another daemon in this
//! network namespace stays as it is: this one gets another name. Runs on the main thread.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use crate::config::{Config, FirewallSettings};
use crate::daemon::host_faults::{Finder, HostFault, HostFaults};
use crate::daemon::neighbours::{self, Neighbour};
use crate::driver::firewall::{self, Denied};
use crate::driver::ownership;

#[derive(Debug)]
pub struct Firewall {
    /// Holds the name of the table while there is one.
    file: PathBuf,
    /// As configured.
    set: Option<(FirewallSettings, Vec<Denied>)>,
    /// The name of the table that is set; it differs from the configured one if that is another daemon's.
    table: Option<Arc<str>>,
    /// Why it could not be set again.
    fault: Option<String>,
    /// Why the rules for the present configuration could not be set, and the name of their table.
    refused: Option<(Arc<str>, String)>,
    /// Tables that could not be removed, by name, each with the reason.
    left: BTreeMap<Arc<str>, String>,
    faults: HostFaults,
}

/// The runtime directory of another living daemon that has this table. One in another mount namespace may have the
/// table of the configuration; names with a number differ.
fn holder(folder: &Path, table: &str) -> Option<PathBuf> {
    let is_numbered =
        table.rsplit_once('_').is_some_and(|(_, end)| end.bytes().all(|it| it.is_ascii_digit()));
    let has_it = |folder: &Path| fs::read_to_string(file(folder)).is_ok_and(|theirs| theirs.trim() == table);
    let is_theirs =
        |other: &Neighbour| if other.is_apart() { !is_numbered } else { has_it(&other.runtime_dir) };
    neighbours::find(folder).into_iter().find(is_theirs).map(|other| other.runtime_dir)
}

/// A number that no other daemon of this network namespace has: pids repeat in another pid namespace.
fn own_number() -> String {
    let mounts = fs::metadata("/proc/self/ns/mnt").map_or(0, |file| file.ino());
    format!("{mounts}{}", std::process::id())
}

impl Firewall {
    /// Sets the rules for `config`; `folder` is the runtime directory.
    pub fn new(folder: &Path, config: &Config, faults: &HostFaults) -> Self {
        let (file, faults) = (file(folder), faults.clone());
        let (set, table, fault, refused, left) = (None, None, None, None, BTreeMap::new());
        let mut this = Self { file, set, table, fault, refused, left, faults };
        // The table of a daemon that still runs is replaced as a whole, or is the same.
        if ownership::is_ours()
            && let Ok(table) = fs::read_to_string(&this.file)
        {
            match holder(folder, table.trim()) {
                // It has taken the name since the run that was killed.
                Some(_) => drop(fs::remove_file(&this.file)),
                None => this.remove(&table.trim().into()),
            }
        }
        this.adopt(config);
        this
    }

    /// Sets the rules for another configuration, if they differ.
    pub fn adopt(&mut self, config: &Config) {
        self.refused = None;
        self.change_over(config);
        self.report();
    }

    /// Tries again to set and to remove what was refused.
    pub fn retry(&mut self, config: &Config) {
        let left: Vec<Arc<str>> = self.left.keys().cloned().collect();
        left.iter().for_each(|table| self.remove(table));
        self.adopt(config);
    }

    /// Reports what was refused, until it is done.
    fn report(&self) {
        let refused = self.refused.iter().map(|(table, error)| {
            format!(
                "cannot set the table {table}: {error}; traffic to addresses is accepted despite strict mode or \
                 `no_accept`"
            )
        });
        let left = self.left.iter().map(|(table, error)| {
            format!(
                "cannot remove the table {table} of an earlier configuration: {error}; it drops traffic to that one's \
                 addresses (nft delete table inet {table})"
            )
        });
        let lost = self.table.iter().zip(&self.fault).map(|(table, error)| {
            format!(
                "cannot set the table {table} again, which another process has removed: {error}; traffic to addresses is \
                 accepted despite strict mode or `no_accept`"
            )
        });
        let faults =
            refused.chain(lost).chain(left).map(|text| HostFault { about: "nftables".to_owned(), text });
        for HostFault { about, text } in self.faults.set(Finder::Firewall, faults.collect()) {
            warn!("{about}: {text}");
        }
    }

    fn change_over(&mut self, config: &Config) {
        let denied = denied(config);
        let wanted = (!denied.is_empty()).then(|| (config.globals.firewall.clone(), denied));
        if wanted == self.set {
            return;
        }
        let (before, earlier, fault) = (self.set.take(), self.table.take(), self.fault.take());
        if let Some((settings, denied)) = wanted {
            let is_same = before.as_ref().is_some_and(|(before, _)| before.table == settings.table);
            let table = earlier.clone().filter(|_| is_same).unwrap_or_else(|| self.free(&settings.table));
            let named = FirewallSettings { table: Arc::clone(&table), ..settings.clone() };
            match firewall::set(&named, &denied) {
                Ok(()) => {
                    info!(table = &*table, addresses = denied.len(), "traffic to addresses is dropped");
                    let _ = fs::write(&self.file, &*table);
                    self.left.remove(&table);
                    (self.set, self.table) = (Some((settings, denied)), Some(table));
                }
                Err(error) => {
                    self.refused = Some((table, error.to_string()));
                    // The earlier rules are still set, and better than none.
                    (self.set, self.table, self.fault) = (before, earlier, fault);
                    return;
                }
            }
        }
        if let Some(left) = earlier.filter(|left| self.table.as_ref() != Some(left)) {
            self.remove(&left);
        }
    }

    /// Sets the rules again if another process has removed the table, as a reload of nftables' own rules does. Returns
    /// whether there is a table to keep.
    pub fn keep(&mut self) -> bool {
        let (Some(table), Some((settings, denied))) = (&self.table, &self.set) else { return false };
        // Where the kernel cannot be asked, nothing is known.
        if firewall::is_there(table).unwrap_or(true) {
            if self.fault.take().is_some() {
                self.report();
            }
            return true;
        }
        let named = FirewallSettings { table: Arc::clone(table), ..settings.clone() };
        let again = firewall::set(&named, denied).map_err(|error| error.to_string());
        let fault = again.as_ref().err().cloned();
        if fault != self.fault || fault.is_none() {
            match &fault {
                None => warn!(
                    table = &**table,
                    "the nftables table was removed by another process; it is set again"
                ),
                Some(error) => warn!(
                    table = &**table,
                    error,
                    "the nftables table was removed by another process, and cannot be set again: traffic to addresses \
                     is accepted despite strict mode or `no_accept`"
                ),
            }
        }
        self.fault = fault;
        self.report();
        true
    }

    /// The name for the table: this one, unless another daemon has it.
    fn free(&self, table: &Arc<str>) -> Arc<str> {
        // In a hot restart, the table of the other process is the one.
        let known = fs::read_to_string(&self.file).ok().filter(|_| !ownership::is_ours());
        let own = format!("{table}_{}", own_number());
        let is_variant = |known: &str| {
            let number = known.strip_prefix(&**table).map(|rest| rest.strip_prefix('_').unwrap_or(rest));
            number.is_some_and(|number| number.chars().all(|it| it.is_ascii_digit()))
        };
        if let Some(known) = known.as_deref().map(str::trim).filter(|known| is_variant(known)) {
            return known.into();
        }
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        match holder(folder, table) {
            Some(other) => {
                let other = other.display();
                info!(
                    table = &**table,
                    "the nftables table is that of the vrrpx in {other}; this one uses {own}"
                );
                own.into()
            }
            None => Arc::clone(table),
        }
    }

    fn remove(&mut self, table: &Arc<str>) {
        match firewall::remove(table) {
            Ok(()) => {
                self.left.remove(table);
                if self.set.is_none() {
                    let _ = fs::remove_file(&self.file);
                }
            }
            Err(error) => drop(self.left.insert(Arc::clone(table), error.to_string())),
        }
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        if let Some(table) = self.table.take()
            && ownership::is_ours()
        {
            self.set = None;
            self.remove(&table);
            self.report();
        }
    }
}

/// The file of a runtime directory with the name of the table.
fn file(folder: &Path) -> PathBuf {
    folder.join("firewall")
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
