//! Netlink ports of other processes of this program, remembered beyond their end.
//!
//! Enters: ports that have set something by VRRP's mark, and the processes that are there. Leaves: the process behind a
//! port, also when it has closed the socket or has ended, as daemons do that remove something at their end.

use std::collections::{HashMap, HashSet};
use std::fs::{self, read_dir};

use super::removed_by::RemovedBy;

/// Most ports remembered of each kind: of this program, and of programs that are none of ours; keepalived sets the same
/// mark. Beyond it, only those of processes that are there.
const PORTS_MAX: usize = 1024;

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

    /// The process of this program that has or had this port.
    pub fn of(&self, port: u32) -> Option<&RemovedBy> {
        self.ports.get(&port)
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
        let sockets = fs::read_to_string("/proc/thread-self/net/netlink").unwrap_or_default();
        let ports: HashMap<u64, u32> = super::removed_by::ports(&sockets).collect();
        let processes = read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        for pid in pids.filter(|pid| *pid != std::process::id()) {
            let Some(process) = RemovedBy::process(pid).filter(RemovedBy::is_kin) else { continue };
            for inode in super::removed_by::sockets(pid) {
                if let Some(port) = ports.get(&inode) {
                    self.ports.insert(*port, process.clone());
                }
            }
        }
    }
}
