//! How many processes a run has become.
//!
//! Enters: its process group. Leaves: that there are more than [`CROWD`]. Absent: ending them, and those who have left
//! the group for a session of their own, as daemons do.

use std::fs;
use std::time::Duration;

use nix::sys::signal::killpg;
use nix::unistd::Pid;
use procfs::process::all_processes;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Processes that one run may be at a time.
pub(super) const CROWD: usize = 256;

/// Between two counts of a run.
const PERIOD: Duration = Duration::from_millis(50);

/// Ends when a run that goes on has become too many: its leader and everybody below.
pub(super) async fn gathers(leader: Pid) {
    loop {
        sleep(PERIOD).await;
        if family(leader) > CROWD {
            return;
        }
    }
}

/// Whether too many are left of a run whose leader has ended.
pub(super) async fn is_left(group: Pid) -> bool {
    // Mostly nobody is.
    if killpg(group, None).is_err() {
        return false;
    }
    spawn_blocking(move || members(group) > CROWD).await.unwrap_or(false)
}

/// A process and its descendants, counted no further than needed. Kernels without `CONFIG_PROC_CHILDREN` tell of
/// none.
fn family(leader: Pid) -> usize {
    let mut found = vec![leader.as_raw()];
    let mut next = 0;
    while let Some(&pid) = found.get(next)
        && found.len() <= CROWD
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
