//! Netlink ports of other processes of this program, remembered beyond their end.
//!
//! Enters: ports that have set something by VRRP's mark, and the processes that are there. Leaves: the process behind a
//! port, also when it has closed the socket or has ended, as daemons do that remove something at their end. A guard
//! acts once, and ends: its port says what it is.

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::fs::{self, read_dir};

use super::removed_by::{RemovedBy, is_kin, ports, sockets};

/// Most ports remembered of each kind: of this program, and of programs that are none of ours; keepalived sets the same
/// mark. Beyond it, only those of processes that are there.
const PORTS_MAX: usize = 1024;
/// The name of guards among processes.
pub const GUARD: &CStr = c"vrrpx-guard";
/// Ports of guards are this plus the process id, which is below 2^22. The kernel itself gives process ids, and numbers
/// above [`i32::MAX`]; libnl gives one socket in 1024 such a port, which counts only if its process has ended.
const GUARDS: u32 = 0x5640_0000;
const PIDS: u32 = 1 << 22;

/// The netlink port for the guard with this process id.
pub fn guard_port(pid: u32) -> u32 {
    GUARDS + pid % PIDS
}

#[derive(Debug, Default)]
pub struct Kin {
    ports: HashMap<u32, RemovedBy>,
    others: HashSet<u32>,
}

impl Kin {
    /// The processes that are there now.
    pub fn new() -> Self {
        let mut this = Self::default();
        this.learn();
        this
    }

    /// Adds what another look has found.
    pub fn add(&mut self, found: Self) {
        self.ports.extend(found.ports);
    }

    /// The process of this program that has or had this port.
    pub fn of(&self, port: u32) -> Option<RemovedBy> {
        let guard = port.checked_sub(GUARDS).filter(|pid| *pid < PIDS);
        let guard = guard.map(|pid| RemovedBy { pid, name: GUARD.to_string_lossy().into_owned() });
        self.ports.get(&port).cloned().or(guard)
    }

    /// Another process has set something by VRRP's mark.
    pub fn notice(&mut self, port: u32) {
        if self.ports.contains_key(&port) || self.others.contains(&port) {
            return;
        }
        self.learn();
        if !self.ports.contains_key(&port) {
            if self.others.len() >= PORTS_MAX {
                self.others.clear();
            }
            self.others.insert(port);
        }
    }

    /// Looks at all processes of this program. A port that another process has got since is that one's.
    pub fn learn(&mut self) {
        if self.ports.len() >= PORTS_MAX {
            self.ports.clear();
        }
        let text = fs::read_to_string("/proc/thread-self/net/netlink").unwrap_or_default();
        let ports: HashMap<u64, u32> = ports(&text).collect();
        let processes = read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        for pid in pids.filter(|pid| *pid != std::process::id() && is_kin(*pid)) {
            let Some(process) = RemovedBy::process(pid) else { continue };
            for inode in sockets(pid) {
                if let Some(port) = ports.get(&inode) {
                    self.ports.insert(*port, process.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_known_by_its_port_after_its_end() {
        let kin = Kin::default();
        for pid in [1, PIDS - 1] {
            let found = kin.of(guard_port(pid)).unwrap();
            assert_eq!(found.to_string(), format!("vrrpx-guard (pid {pid})"));
        }
        for other in [0, PIDS - 1, GUARDS - 1, GUARDS + PIDS, u32::MAX] {
            assert_eq!(kin.of(other), None);
        }
    }
}
