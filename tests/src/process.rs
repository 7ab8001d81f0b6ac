//! A process with its log, killed when dropped.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::clock::poll;
use crate::netns::{PREFIX, is_leftover};

static COUNT: AtomicU32 = AtomicU32::new(0);
const PRIVATE: &str = "/run";
/// Where daemons pin their programs and maps.
pub(crate) const PINS: &str = "/sys/fs/bpf/vrrpx";
static REAP: Once = Once::new();

/// A running process and its output. It dies with its owner, even if the owner is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
    /// Directory of the log, if it is to be removed with the process.
    _directory: Option<Directory>,
}

impl Process {
    /// Starts `command` with both outputs in the file `log`, in its own process group: the terminal's Ctrl-C reaches
    /// only the owner, which then cleans up.
    pub fn start(mut command: Command, log: PathBuf) -> Result<Self> {
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        // SAFETY: prctl is a bare system call, fit for the time between fork and exec.
        unsafe {
            command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
        }
        let child =
            command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
        Ok(Self { child, log, ended: None, _directory: None })
    }

    /// As [`Process::start`], with the log in a directory that is removed with the process.
    pub fn start_in(command: Command, directory: Directory) -> Result<Self> {
        let mut process = Self::start(command, directory.path().join("log"))?;
        process._directory = Some(directory);
        Ok(process)
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// It and all its descendants.
    pub fn tree(&self) -> Vec<Pid> {
        tree(self.pid())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).with_context(|| format!("{signal} to {}", self.pid()))
    }

    /// Whether it still runs; does not take its exit status.
    pub fn is_alive(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        poll("the end of a process", within, || self.ended())
    }

    /// Kills it and its descendants at once, without a clean stop.
    pub fn kill(&mut self) {
        if self.ended().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        // A survivor could react to another's death: each is stopped before, the youngest first.
        let tree = self.tree();
        let stops = tree.iter().rev().map(|pid| (pid, Signal::SIGSTOP));
        for (pid, signal) in stops.chain(tree.iter().map(|pid| (pid, Signal::SIGKILL))) {
            // It may be gone already.
            let _gone = kill(*pid, signal);
        }
        self.ended = Some(self.child.wait().unwrap_or_else(|_| ExitStatus::from_raw(Signal::SIGKILL as i32)));
    }

    /// CPU time of the process alone so far, all threads, to the moment.
    pub fn own_cpu_time(&self) -> Result<Duration> {
        Ok(Duration::from(ClockId::pid_cpu_clock_id(self.pid())?.now()?))
    }

    /// CPU time of it and its descendants so far, all threads.
    pub fn cpu_time(&self) -> Result<Duration> {
        self.tree().into_iter().map(cpu_time).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A directory below the temporary one, removed when dropped.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    /// Below a directory that only root can write to, as scripts run by root require.
    pub fn private() -> Result<Self> {
        Self::within(Path::new(PRIVATE))
    }

    fn within(parent: &Path) -> Result<Self> {
        REAP.call_once(reap);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{PREFIX}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a shell script that can be run, and returns its path.
    pub fn script(&self, name: &str, body: &str) -> Result<String> {
        let path = self.0.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n"))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(path.display().to_string())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

/// Removes the leftovers of killed runs.
fn reap() {
    let parents = [std::env::temp_dir(), PRIVATE.into()];
    for entry in parents.into_iter().flat_map(std::fs::read_dir).flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_leftover) {
            // Another run may be reaping the same one.
            let _gone = std::fs::remove_dir_all(entry.path());
        }
    }
    // Those of this run may still be in use. The name ends with the path, with a plus for each slash.
    unpin(|name| name.rsplit('+').next().is_some_and(is_leftover));
}

/// Removes the pins of daemons, by the name of their folder.
pub(crate) fn unpin(is_meant: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(PINS).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(&is_meant) {
            // Its guard may be removing it.
            let _gone = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A process and all its descendants.
pub fn tree(root: Pid) -> Vec<Pid> {
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&pid) = tree.get(next) {
        tree.extend(children(pid));
        next += 1;
    }
    tree
}

fn children(pid: Pid) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .map(Pid::from_raw)
        .collect()
}

/// Run time of all threads of a process, from `schedstat`: exact, while `stat` counts in steps of 10 ms.
fn cpu_time(pid: Pid) -> Result<Duration> {
    let mut total = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let line = std::fs::read_to_string(task.path().join("schedstat"))?;
        total += line.split(' ').next().context("form of schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}
