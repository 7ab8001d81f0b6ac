//! Limit on the number of processes of one run.
//!
//! Enters: the run's process group. Leaves: whether it has more than [`PROCESSES_MAX`] processes. Absent: ending them,
//! and processes that moved to a session of their own, as daemons do.

use std::fs;
use std::time::Duration;

use nix::sys::signal::killpg;
use nix::unistd::Pid;
use procfs::process::all_processes;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Most processes of one run at a time.
pub(super) const PROCESSES_MAX: usize = 256;

/// Time between two counts of a run.
const PERIOD: Duration = Duration::from_millis(50);

/// Returns when a run in progress, its leader and all descendants, exceeds [`PROCESSES_MAX`] processes.
pub(super) async fn gathers(leader: Pid) {
    loop {
        sleep(PERIOD).await;
        if family(leader) > PROCESSES_MAX {
            return;
        }
    }
}

/// Whether more than [`PROCESSES_MAX`] processes remain of a run whose leader has ended.
pub(super) async fn is_left(group: Pid) -> bool {
    // Usually none remains.
    if killpg(group, None).is_err() {
        return false;
    }
    spawn_blocking(move || members(group) > PROCESSES_MAX).await.unwrap_or(false)
}

/// Number of a process and its descendants, counted only until it exceeds [`PROCESSES_MAX`]. 1 on kernels without
/// `CONFIG_PROC_CHILDREN`.
fn family(leader: Pid) -> usize {
    let mut found = vec![leader.as_raw()];
    let mut next = 0;
    while let Some(&pid) = found.get(next)
        && found.len() <= PROCESSES_MAX
    {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        found.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        next += 1;
    }
    found.len()
}

fn members(group: Pid) -> usize {
    let Ok(all) = all_processes() else { return 0 };
    let is_member = |stat: &procfs::process::Stat| stat.pgrp == group.as_raw();
    all.flatten().filter_map(|process| process.stat().ok()).filter(is_member).count()
}
