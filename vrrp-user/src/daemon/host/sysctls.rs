//! Kernel settings of interfaces and of the host, changed for a time.
//!
//! Enters: the interfaces that need them, and whether the host does. Leaves: the settings changed meanwhile and
//! restored afterwards, by the next run if this one is killed: the values from before are kept in files of the runtime
//! directory.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vrrp_ebpf::wire::Family;

use crate::driver::netlink::devconf::{self, DevconfSetting};
use crate::driver::netlink::link::Link;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::ownership;
use crate::driver::sysctl::ChangedSysctl;

/// Settings that go together.
#[derive(Debug)]
pub(crate) struct Purpose {
    /// By name in `/proc/sys`, and by number for netlink: containers may not write the one and may send the other.
    settings: &'static [(&'static str, &'static str, (DevconfSetting, u32))],
    file: &'static str,
}

/// Keeps a parent from answering for addresses on its macvlans.
pub(crate) const PARENT: Purpose = Purpose {
    settings: &[
        ("arp_ignore", "1", (DevconfSetting::ArpIgnore, 1)),
        ("arp_filter", "1", (DevconfSetting::ArpFilter, 1)),
    ],
    file: "sysctl",
};

/// Has the kernel keep the other addresses of a subnet when the first one is removed.
pub(crate) const SECONDARIES: Purpose = Purpose {
    settings: &[("promote_secondaries", "1", (DevconfSetting::PromoteSecondaries, 1))],
    file: "sysctl-secondaries",
};

#[derive(Debug)]
pub(crate) struct Sysctls {
    purpose: &'static Purpose,
    file: PathBuf,
    held: BTreeMap<Arc<str>, Held>,
    /// Values from before an earlier run that did not restore them, by interface and key.
    earlier: BTreeMap<(String, String), String>,
}

#[derive(Debug)]
struct Held {
    ifindex: u32,
    changed: Vec<(&'static str, ChangedSysctl)>,
}

impl Sysctls {
    /// `folder` is the runtime directory.
    pub(crate) fn new(purpose: &'static Purpose, folder: &Path) -> Self {
        let file = folder.join(purpose.file);
        // Missing after a boot, and after a run that has ended well.
        let earlier = fs::read_to_string(&file).unwrap_or_default();
        Self { purpose, file, held: BTreeMap::new(), earlier: earlier.lines().filter_map(entry).collect() }
    }

    /// Whether this interface has been given its settings, or no interface of this name has.
    pub(crate) fn is_current(&self, interface: &str, ifindex: u32) -> bool {
        self.held.get(interface).is_none_or(|held| held.ifindex == ifindex)
    }

    pub(crate) fn holds(&self, interface: &str, ifindex: u32) -> bool {
        self.held.get(interface).is_some_and(|held| held.ifindex == ifindex)
    }

    /// Gives an interface its settings, if it is there and does not have them.
    ///
    /// # Errors
    /// EPERM without CAP_NET_ADMIN.
    pub(crate) fn hold(&mut self, socket: &mut RouteSocket, interface: &Arc<str>) -> io::Result<()> {
        let Ok(link) = Link::by_name(socket, interface) else { return Ok(()) };
        if self.held.get(interface).is_some_and(|held| held.ifindex == link.ifindex) {
            return Ok(());
        }
        // The entry of an earlier interface of this name.
        self.held.remove(interface);
        let mut changed = Vec::new();
        for (key, value, by_netlink) in self.purpose.settings {
            let earlier = self.earlier.remove(&(interface.to_string(), (*key).to_owned()));
            match ChangedSysctl::of_interface(Family::V4, interface, key, value, earlier) {
                Ok(done) => changed.extend(done.map(|done| (*key, done))),
                // The interfaces of a container that may not write there end with it: nothing needs to be restored.
                Err(_) => devconf::set(socket, link.ifindex, &[*by_netlink])?,
            }
        }
        self.held.insert(Arc::clone(interface), Held { ifindex: link.ifindex, changed });
        self.remember();
        Ok(())
    }

    /// Restores what an earlier run has left, on interfaces that are not held now.
    pub(crate) fn set_back_earlier(&mut self) {
        if self.earlier.is_empty() {
            return;
        }
        for ((interface, key), before) in std::mem::take(&mut self.earlier) {
            if let Some((key, value, _)) = self.purpose.settings.iter().find(|(known, ..)| *known == key) {
                // If the interface is gone, so is the setting.
                drop(ChangedSysctl::of_interface(Family::V4, &interface, key, value, Some(before)));
            }
        }
        self.remember();
    }

    /// Restores the settings of all other interfaces.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(&Arc<str>) -> bool) {
        self.held.retain(|interface, _| is_kept(interface));
        self.remember();
    }

    fn remember(&self) {
        let mut text = String::new();
        for (interface, held) in &self.held {
            for (key, changed) in &held.changed {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{interface} {key} {}", changed.before());
            }
        }
        // Without the file, a run that is killed leaves the settings changed, which harms nothing.
        let _ = if text.is_empty() { fs::remove_file(&self.file) } else { fs::write(&self.file, text) };
    }
}

/// Suppresses IGMP reports for link-local groups; Linux 4.3.
pub(crate) const SILENT_IGMP: HostPurpose =
    HostPurpose { key: "ipv4/igmp_link_local_mcast_reports", value: "0", file: "sysctl-igmp" };

/// A setting of the whole network namespace.
#[derive(Debug)]
pub(crate) struct HostPurpose {
    key: &'static str,
    value: &'static str,
    file: &'static str,
}

#[derive(Debug)]
pub(crate) struct HostSysctl {
    purpose: &'static HostPurpose,
    file: PathBuf,
    is_wanted: bool,
    changed: Option<ChangedSysctl>,
    /// The value from before an earlier run that did not restore it, or from before the daemon that this one replaces.
    earlier: Option<String>,
}

impl HostSysctl {
    /// `folder` is the runtime directory.
    pub(crate) fn new(purpose: &'static HostPurpose, folder: &Path) -> Self {
        let file = folder.join(purpose.file);
        // Missing after a boot, and after a run that has ended well.
        let earlier = fs::read_to_string(&file).unwrap_or_default().trim().to_owned();
        let earlier = Some(earlier).filter(|earlier| !earlier.is_empty());
        Self { purpose, file, is_wanted: false, changed: None, earlier }
    }

    /// Changes the setting, or restores it.
    ///
    /// # Errors
    /// The kernel lacks it, or `/proc/sys` may not be written.
    pub(crate) fn want(&mut self, is_wanted: bool) -> io::Result<()> {
        self.is_wanted = is_wanted;
        if !is_wanted {
            self.set_back();
        } else if self.changed.is_none() {
            let HostPurpose { key, value, .. } = *self.purpose;
            self.changed = ChangedSysctl::of_host(key, value, self.earlier.clone())?;
            self.earlier = None;
            if let Some(changed) = &self.changed {
                // Without the file, a run that is killed leaves the setting changed, which harms nothing.
                let _ = fs::write(&self.file, changed.before());
            }
        }
        Ok(())
    }

    /// Restores what the replaced daemon has left, if this configuration does not want it.
    pub(crate) fn keep(&mut self) {
        if !self.is_wanted {
            self.set_back();
        }
    }

    /// Restores the setting, unless another daemon still owns it.
    pub(crate) fn set_back(&mut self) {
        if !ownership::is_ours() {
            return;
        }
        if let Some(before) = self.earlier.take() {
            let HostPurpose { key, value, .. } = *self.purpose;
            self.changed = ChangedSysctl::of_host(key, value, Some(before)).unwrap_or_default();
        }
        if let Some(changed) = self.changed.take() {
            drop(changed);
            let _ = fs::remove_file(&self.file);
        }
    }
}

fn entry(line: &str) -> Option<((String, String), String)> {
    let mut words = line.split_whitespace().map(str::to_owned);
    Some(((words.next()?, words.next()?), words.next()?))
}
