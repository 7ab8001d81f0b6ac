//! The process behind a change of the kernel's tables.
//!
//! Enters: the port that a notification names as its cause. Leaves: the process that owns the port now. Absent:
//! processes that have ended since, and changes by the kernel itself, which name no port.

use std::fmt;
use std::fs::{self, read_dir};
use std::sync::LazyLock;

/// A process that removed something of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RemovedBy {
    pub pid: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
}

impl fmt::Display for RemovedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

impl RemovedBy {
    /// Whether it runs this program, of any version.
    pub fn is_kin(&self) -> bool {
        is_kin(self.pid)
    }

    /// The owner of a netlink port of this network namespace.
    pub fn of(port: u32) -> Option<Self> {
        let sockets = fs::read_to_string("/proc/net/netlink").ok()?;
        let inode = inode(&sockets, port)?;
        // The kernel gives the first netlink socket of a process its pid as port.
        Self::process(if owns(port, inode) { port } else { search(inode)? })
    }

    pub(super) fn process(pid: u32) -> Option<Self> {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned();
        Some(Self { pid, name })
    }
}

/// Whether a process runs this program, of any version.
pub(super) fn is_kin(pid: u32) -> bool {
    static OWN: LazyLock<Option<String>> = LazyLock::new(|| program("/proc/self/exe"));
    OWN.is_some() && *OWN == program(&format!("/proc/{pid}/exe"))
}

/// The name of a program by the link to it.
fn program(link: &str) -> Option<String> {
    let path = fs::read_link(link).ok()?;
    // The kernel adds " (deleted)" after an upgrade.
    Some(path.file_name()?.to_str()?.split(' ').next()?.to_owned())
}

/// The ports of a table as in `/proc/net/netlink`, by the inodes of their sockets. Columns since Linux 2.6.35: socket,
/// protocol, port, …, inode. Each protocol has its own port numbers.
pub(super) fn ports(sockets: &str) -> impl Iterator<Item = (u64, u32)> {
    sockets.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        (*columns.get(1)? == "0").then_some(())?;
        Some((columns.last()?.parse().ok()?, columns.get(2)?.parse().ok()?))
    })
}

fn inode(sockets: &str, port: u32) -> Option<u64> {
    ports(sockets).find_map(|(inode, known)| (known == port).then_some(inode))
}

/// Inodes of a process's sockets.
pub(super) fn sockets(pid: u32) -> impl Iterator<Item = u64> {
    let descriptors = read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|descriptor| {
        let target = fs::read_link(descriptor.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

fn owns(pid: u32, inode: u64) -> bool {
    sockets(pid).any(|it| it == inode)
}

fn search(inode: u64) -> Option<u32> {
    let processes = read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|pid| owns(*pid, inode))
}

#[cfg(test)]
mod tests {
    use super::super::socket::RouteSocket;
    use super::*;

    #[test]
    fn the_owner_of_a_port_is_found_and_that_of_none_is_not() {
        let _sockets = (RouteSocket::open().unwrap(), RouteSocket::open().unwrap());
        let text = fs::read_to_string("/proc/net/netlink").unwrap();
        let own = std::process::id();
        let ports = text.lines().skip(1).filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let is_route = *columns.get(1)? == "0";
            columns.get(2).filter(|_| is_route)?.parse().ok()
        });
        let found: Vec<u32> = ports.filter_map(RemovedBy::of).map(|removed_by| removed_by.pid).collect();
        assert!(found.iter().filter(|pid| **pid == own).count() >= 2, "{found:?} in {text}");
        assert_eq!(RemovedBy::of(0), None);
        let kin = |pid| RemovedBy { pid, name: String::new() }.is_kin();
        assert!(kin(own) && !kin(u32::MAX));
    }

    #[test]
    fn only_ports_of_rtnetlink_count() {
        let text = "sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode\n\
            0 4 77 0 0 0 0 2 0 1504\n0 0 77 00000000 0 0 0 2 0 1505\n";
        assert_eq!((inode(text, 77), inode(text, 78)), (Some(1505), None));
    }
}
