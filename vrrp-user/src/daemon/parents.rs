//! Settings of the kernel for interfaces that macvlans with virtual MAC addresses stand on.
//!
//! Enters: which interfaces those are. Leaves: the settings changed meanwhile and set back afterwards, also by the next
//! run where this one is killed: what they were before is kept in a file of the runtime directory.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vrrp_ebpf::wire::Family;

use crate::driver::netlink::devconf::{self, Setting};
use crate::driver::netlink::link::Link;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::sysctl::Changed;

/// So that it does not answer for addresses that its macvlans carry.
const SETTINGS: [(&str, &str); 2] = [("arp_ignore", "1"), ("arp_filter", "1")];
const BY_NETLINK: [(Setting, u32); 2] = [(Setting::ArpIgnore, 1), (Setting::ArpFilter, 1)];

const FILE: &str = "sysctl";

#[derive(Debug)]
pub(super) struct Parents {
    file: PathBuf,
    held: BTreeMap<Arc<str>, Parent>,
    /// Values before an earlier run that did not set them back, by interface and key.
    earlier: BTreeMap<(String, String), String>,
}

#[derive(Debug)]
struct Parent {
    ifindex: u32,
    changed: Vec<(&'static str, Changed)>,
}

impl Parents {
    /// Of a daemon with this runtime directory.
    pub(super) fn new(folder: &Path) -> Self {
        let file = folder.join(FILE);
        // Missing after a boot, and after a run that has ended well.
        let earlier = fs::read_to_string(&file).unwrap_or_default();
        Self { file, held: BTreeMap::new(), earlier: earlier.lines().filter_map(entry).collect() }
    }

    /// Whether this is the interface that was given its settings, if one of the name was.
    pub(super) fn is_current(&self, parent: &str, ifindex: u32) -> bool {
        self.held.get(parent).is_none_or(|held| held.ifindex == ifindex)
    }

    /// Gives an interface its settings, if it is there and does not have them.
    ///
    /// # Errors
    /// EPERM without CAP_NET_ADMIN.
    pub(super) fn hold(&mut self, socket: &mut RouteSocket, parent: &Arc<str>) -> io::Result<()> {
        let Ok(link) = Link::by_name(socket, parent) else { return Ok(()) };
        if self.held.get(parent).is_some_and(|held| held.ifindex == link.ifindex) {
            return Ok(());
        }
        // Of an interface of this name that is gone.
        self.held.remove(parent);
        let mut changed = Vec::new();
        for (key, value) in SETTINGS {
            let earlier = self.earlier.remove(&(parent.to_string(), key.to_owned()));
            match Changed::of_interface(Family::V4, parent, key, value, earlier) {
                Ok(done) => changed.extend(done.map(|done| (key, done))),
                // A container that may not write here ends with its interfaces: nothing needs to be set back.
                Err(_) => devconf::set(socket, link.ifindex, &BY_NETLINK)?,
            }
        }
        self.held.insert(Arc::clone(parent), Parent { ifindex: link.ifindex, changed });
        self.remember();
        Ok(())
    }

    /// Sets back what an earlier run has left, of interfaces that are not held now.
    pub(super) fn set_back_earlier(&mut self) {
        for ((parent, key), before) in std::mem::take(&mut self.earlier) {
            if let Some((key, value)) = SETTINGS.into_iter().find(|(known, _)| *known == key) {
                // Where the interface is gone, so is the setting.
                drop(Changed::of_interface(Family::V4, &parent, key, value, Some(before)));
            }
        }
        self.remember();
    }

    /// Sets the others back.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&Arc<str>) -> bool) {
        self.held.retain(|parent, _| is_kept(parent));
        self.remember();
    }

    fn remember(&self) {
        let mut text = String::new();
        for (parent, held) in &self.held {
            for (key, changed) in &held.changed {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{parent} {key} {}", changed.before());
            }
        }
        // Without it, a run that is killed leaves the settings as they are, which harms nothing.
        let _ = if text.is_empty() { fs::remove_file(&self.file) } else { fs::write(&self.file, text) };
    }
}

fn entry(line: &str) -> Option<((String, String), String)> {
    let mut words = line.split_whitespace().map(str::to_owned);
    Some(((words.next()?, words.next()?), words.next()?))
}
