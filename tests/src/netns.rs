//! Network namespaces as guards.
//!
//! Names carry the pid of their maker, so that the next run recognises and removes what a killed run left behind. Only
//! the network is separate: a process entered here keeps the host's mounts, including bpffs, which `ip netns exec`
//! would hide. Commands may run with a shifted clock.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, setns, unshare};

use crate::process::unpin;

/// Prefix of the names of everything of ours that could outlive us.
pub(crate) const PREFIX: &str = "vrrpx";
const NAMES: &str = "/run/netns";
const CLONE_NEWTIME: CloneFlags = CloneFlags::from_bits_retain(libc::CLONE_NEWTIME);

static COUNT: AtomicU32 = AtomicU32::new(0);
static REAP: Once = Once::new();

/// A network namespace; deleted when dropped, with all that is in it, and with the pins of its daemons.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: File,
    /// Time namespace of its commands.
    clock: Option<File>,
}

impl Namespace {
    /// An empty namespace with its loopback up; `role` is part of its name.
    pub fn new(role: &str) -> Result<Self> {
        REAP.call_once(reap);
        let name =
            format!("{PREFIX}-{}-{}-{role}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name])?;
        let file = File::open(Path::new(NAMES).join(&name)).with_context(|| format!("namespace {name}"))?;
        let namespace = Self { name, file, clock: None };
        // Duplicate address detection would keep every IPv6 address unusable for a second.
        for scope in ["all", "default"] {
            namespace.sysctl(&format!("ipv6/conf/{scope}/accept_dad"), "0")?;
            namespace.sysctl(&format!("ipv6/conf/{scope}/dad_transmits"), "0")?;
            namespace.sysctl(&format!("ipv6/conf/{scope}/accept_ra"), "0")?;
        }
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs lines of `ip` commands here, in one process.
    pub fn ip(&self, lines: &str) -> Result<()> {
        let mut child = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run ip (iproute2)")?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(lines.as_bytes())?;
            input.write_all(b"\n")?;
        }
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "ip in {}: {}\nin: {lines}",
            self.name,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Later commands run in a time namespace that is `seconds` ahead of this process, or behind it.
    ///
    /// # Errors
    /// Without root; before Linux 5.6; when the machine has been up for less than that.
    pub fn shift_clock(&mut self, seconds: i64) -> Result<()> {
        self.clock = Some(time_namespace(seconds)?);
        Ok(())
    }

    /// A command to be run here.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        let (file, clock) = (self.file.try_clone()?, self.clock.as_ref().map(File::try_clone).transpose()?);
        let mut command = Command::new(program);
        // SAFETY: setns is a bare system call, fit for the time between fork and exec.
        unsafe {
            command.pre_exec(move || {
                if let Some(clock) = &clock {
                    setns(clock, CLONE_NEWTIME)?;
                }
                Ok(setns(&file, CloneFlags::CLONE_NEWNET)?)
            });
        }
        Ok(command)
    }

    /// Runs a program here to its end and returns its standard output.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let output =
            self.command(program)?.args(args).output().with_context(|| format!("cannot run {program}"))?;
        if !output.status.success() {
            bail!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Does `work` on a thread in this namespace. Sockets made there stay in it.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let entered = scope.spawn(|| {
                setns(&self.file, CloneFlags::CLONE_NEWNET)
                    .with_context(|| format!("enter {}", self.name))?;
                work()
            });
            match entered.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Sets the sysctl `key`, a path below `/proc/sys/net`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys/net").join(key);
        self.enter(|| std::fs::write(&path, value).with_context(|| path.display().to_string()))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "del", &self.name]) {
            eprintln!("namespace {} stays: {error:#}", self.name);
        }
        // Those of daemons that were killed here. A folder's name begins with the namespace.
        if let Ok(here) = self.file.metadata() {
            let here = format!("{}+", here.ino());
            unpin(|folder| folder.starts_with(&here));
        }
    }
}

/// On its own thread: CLONE_NEWTIME affects the children of the thread that unshares.
fn time_namespace(seconds: i64) -> Result<File> {
    let make = || {
        unshare(CLONE_NEWTIME).context("a time namespace")?;
        let process = Path::new("/proc").join(nix::unistd::gettid().to_string());
        let offsets = process.join("timens_offsets");
        std::fs::write(&offsets, format!("monotonic {seconds} 0"))
            .with_context(|| offsets.display().to_string())?;
        Ok(File::open(process.join("ns/time_for_children"))?)
    };
    std::thread::scope(|scope| match scope.spawn(make).join() {
        Ok(made) => made,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Removes the leftovers of killed runs.
fn reap() {
    for entry in std::fs::read_dir(NAMES).into_iter().flatten().flatten() {
        if let Some(name) = entry.file_name().to_str().filter(|name| is_leftover(name)) {
            // Another run may be reaping the same one.
            let _gone = ip(&["netns", "del", name]);
        }
    }
}

/// Whether a name is one of ours whose process is gone.
pub(crate) fn is_leftover(name: &str) -> bool {
    let mut parts = name.split('-');
    let (Some(PREFIX), Some(Ok(pid))) = (parts.next(), parts.next().map(str::parse::<u32>)) else {
        return false;
    };
    !Path::new("/proc").join(pid.to_string()).exists()
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output().context("cannot run ip (iproute2)")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_after_dead_processes_are_leftovers() {
        assert!(!is_leftover(&format!("{PREFIX}-{}-0-lan", std::process::id())));
        // Above the highest pid the kernel gives.
        assert!(is_leftover(&format!("{PREFIX}-4194305-0-lan")));
        assert!(!is_leftover("another-4194305-0-lan"));
        assert!(!is_leftover(PREFIX));
    }
}
