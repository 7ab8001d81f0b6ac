//! A systemd that is process 1 of a machine of its own: its processes, mounts and control groups are in namespaces, and
//! its files are an overlay over those of this machine, which stays unchanged. It runs only what the test starts, and
//! the daemon by the shipped unit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;
use serde_json::Value;

use crate::clock::{poll, until};
use crate::daemon::{Config, standing, vrrpx};
use crate::netns::Namespace;
use crate::process::{Directory, Process};

const SCRIPT: &str = include_str!("machine.sh");
const UNIT: &str = "vrrp-user/dist/vrrpx.service";
const BOOT: Duration = Duration::from_secs(30);

/// Killed with all its processes when dropped.
#[derive(Debug)]
pub struct Machine {
    /// Parent of systemd, in the same namespaces.
    process: Process,
    systemd: Pid,
    /// Name of its control group.
    name: String,
    folder: Directory,
}

impl Machine {
    /// Boots it in the network of `namespace`; the daemon is not started.
    pub fn boot(namespace: &Namespace, config: &Config) -> Result<Self> {
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(UNIT);
        Self::boot_with(namespace, &[vrrpx(), unit], &config.to_string())
    }

    /// Boots it without a daemon, its unit and a configuration: for packages.
    pub fn bare(namespace: &Namespace) -> Result<Self> {
        Self::boot_with(namespace, &[], "")
    }

    fn boot_with(namespace: &Namespace, daemon: &[PathBuf], config: &str) -> Result<Self> {
        let (folder, log) = (Directory::new()?, Directory::new()?);
        let name =
            folder.path().file_name().context("a folder without a name")?.to_string_lossy().into_owned();
        let mut command = namespace.command("unshare")?;
        command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh", "outer"]);
        command.arg(folder.path()).arg(&name).args(daemon);
        command.env("MACHINE", SCRIPT).env("CONFIG", config);
        let process = Process::start_in(command, log)?;
        let first = |pid: &Pid| is_first(*pid).unwrap_or(false);
        let systemd = poll("the first process of a machine", BOOT, || {
            Ok(process.tree().into_iter().find(first).filter(|_| process.is_alive()))
        });
        let systemd = systemd.with_context(|| process.log())?;
        let machine = Self { process, systemd, name, folder };
        until("systemd", BOOT, || machine.run("systemctl", &["show", "--property=Version"]).is_ok())
            .with_context(|| machine.process.log())?;
        Ok(machine)
    }

    /// Runs a program in it to its end.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let Output { status, stdout, stderr } = self.command(program).args(arguments).output()?;
        let said = String::from_utf8_lossy(&stderr);
        ensure!(status.success(), "{program} {arguments:?}: {}\n{}", said.trim(), self.log());
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// A program in it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.systemd.to_string(), "--all", "--root", "--wd=/", program]);
        command
    }

    /// A property of the daemon's unit.
    pub fn unit(&self, property: &str) -> Result<String> {
        let value = self.run("systemctl", &["show", "vrrpx", "--value", "--property", property])?;
        Ok(value.trim().to_owned())
    }

    /// Status of the daemon.
    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.run("vrrpx", &["status", "--json"])?)?)
    }

    /// State and epoch of its first instance.
    pub fn standing(&self) -> Result<(String, u64)> {
        standing(&self.status()?["instances"][0])
    }

    /// Log of the daemon.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("/run/vrrpx.log")).unwrap_or_default()
    }

    /// Starts its journal, which records the daemon's log from the next start on.
    pub fn start_journal(&self) -> Result<()> {
        self.run("systemctl", &["start", "systemd-journald.service"])?;
        self.drop_in("journal", "[Service]\nStandardOutput=journal\nStandardError=journal\n")
    }

    /// Adds a drop-in file to the daemon's unit.
    pub fn drop_in(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.path(&format!("/run/systemd/system/vrrpx.service.d/{name}.conf")), text)?;
        self.run("systemctl", &["daemon-reload"]).map(drop)
    }

    /// Journal entries of the daemon that `journalctl` prints for these arguments.
    pub fn journal(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let all = [&["--unit=vrrpx", "--output=json", "--no-pager", "--quiet"], arguments].concat();
        let lines = self.run("journalctl", &all)?;
        lines.lines().map(|line| serde_json::from_str(line).context("journalctl")).collect()
    }

    /// Writes another configuration file.
    pub fn configure(&self, config: &Config) -> Result<()> {
        self.write_config(&config.to_string())
    }

    /// Writes another configuration file, from text.
    pub fn write_config(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.path("/etc/vrrpx/vrrpx.conf"), text)?)
    }

    /// Path of one of its files on this machine.
    pub fn path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{file}", self.systemd))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.process.kill();
        // Control groups are empty when the last process has ended.
        let script = "mount -t cgroup2 cgroup2 \"$1\" && find \"$1/$2\" -depth -type d -exec rmdir {} +";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
        command.arg(self.folder.path()).arg(&self.name);
        let gone = until("control groups to be empty", Duration::from_secs(5), || {
            command.output().is_ok_and(|output| output.status.success())
        });
        if let Err(error) = gone {
            eprintln!("control groups {} stay: {error:#}", self.name);
        }
    }
}

/// Whether a process is the first of a PID namespace.
fn is_first(pid: Pid) -> Result<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).context("no NSpid")?;
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    let is_systemd = fs::read_to_string(format!("/proc/{pid}/comm"))?.trim() == "systemd";
    Ok(is_systemd && numbers.len() > 1 && numbers.last() == Some(&"1"))
}
