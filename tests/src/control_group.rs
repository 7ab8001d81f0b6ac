//! Control groups with a limit of memory or of processes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::until;

const PATIENCE: Duration = Duration::from_secs(5);

/// A control group; removed when dropped.
#[derive(Debug)]
pub struct ControlGroup {
    path: PathBuf,
    /// File of the number of processes that were killed for lack of memory.
    events: &'static str,
}

impl ControlGroup {
    /// In the hierarchy of version 2 or else of version 1; `None` if groups with a limit cannot be made here.
    #[must_use]
    pub fn new(name: &str, mebibytes: u64) -> Option<Self> {
        let bytes = (mebibytes << 20).to_string();
        let kinds = [
            ("/sys/fs/cgroup", "memory.max", "memory.swap.max", "memory.events"),
            (
                "/sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.memsw.limit_in_bytes",
                "memory.oom_control",
            ),
        ];
        kinds.into_iter().find_map(|(root, limit, swap, events)| {
            let path = Path::new(root).join(format!("vrrpx-{}-{name}", std::process::id()));
            fs::create_dir(&path).ok()?;
            let group = Self { path, events };
            set(&group.path.join(limit), &bytes).ok()?;
            // Absent without swap accounting.
            let _absent = set(&group.path.join(swap), if swap.contains("memsw") { &bytes } else { "0" });
            Some(group)
        })
    }

    /// For a limit of processes, of which it has none yet; `None` if such a group cannot be made here.
    #[must_use]
    pub fn of_processes(name: &str) -> Option<Self> {
        ["/sys/fs/cgroup", "/sys/fs/cgroup/pids"].into_iter().find_map(|root| {
            let path = Path::new(root).join(format!("vrrpx-{}-{name}", std::process::id()));
            fs::create_dir(&path).ok()?;
            let group = Self { path, events: "pids.events" };
            group.limit_processes("max").ok()?;
            Some(group)
        })
    }

    /// Sets how many processes and threads it may have: a number, or `max`.
    pub fn limit_processes(&self, most: &str) -> std::io::Result<()> {
        set(&self.path.join("pids.max"), most)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of its processes that were killed for lack of memory.
    pub fn killed(&self) -> Result<u64> {
        let file = self.path.join(self.events);
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill ")).context("no count")?;
        Ok(line.trim().parse()?)
    }
}

/// Writes to a file of the kernel, and makes none elsewhere.
fn set(file: &Path, value: &str) -> std::io::Result<()> {
    fs::OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // Fails while processes are in it, whose death takes a moment.
        let _busy = until("the control group to be empty", PATIENCE, || fs::remove_dir(&self.path).is_ok());
    }
}
