//! A Docker engine for tests: private socket, data in a directory that is removed with it, no bridge, no firewall
//! rules, no change of the host's forwarding. Containers have no network.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::clock::until;
use crate::netns::Namespace;
use crate::process::{Directory, Process, tree};

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(10);

/// In the image; statically linked, as the image has no libraries.
const BUSYBOX: &str = "/bin/busybox";
const IMAGE: &str = "busybox";

/// Seconds until containers end by themselves, should the test be killed.
const LIFETIME: &str = "300";

/// A running `dockerd` with an image of busybox.
#[derive(Debug)]
pub struct Engine {
    // Dropped before its directory.
    process: Process,
    directory: Directory,
}

impl Engine {
    pub fn start() -> Result<Self> {
        Self::start_by(Command::new("dockerd"))
    }

    /// As [`Self::start`], in a network namespace: that of a container with `--network host`.
    pub fn start_in(namespace: &Namespace) -> Result<Self> {
        Self::start_by(namespace.command("dockerd")?)
    }

    fn start_by(mut command: Command) -> Result<Self> {
        let directory = Directory::new()?;
        let path = directory.path();
        command.arg("--host").arg(format!("unix://{}", path.join("socket").display()));
        for (option, file) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(option).arg(path.join(file));
        }
        command.args(["--bridge", "none", "--iptables=false", "--ip-forward=false"]);
        command.args(["--storage-driver", "vfs"]);
        let process = Process::start(command, path.join("log"))?;
        let engine = Self { process, directory };
        let ready = until("the Docker engine", START, || engine.docker(&["version"]).is_ok());
        ready.with_context(|| engine.process.log())?;
        engine.import()?;
        Ok(engine)
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Starts a container that sleeps.
    pub fn run(&self, name: &str, options: &[&str]) -> Result<()> {
        let before = ["run", "--detach", "--network", "none", "--name", name];
        let after = [IMAGE, "/bin/sleep", LIFETIME];
        self.docker(&[&before, options, &after].concat()).map(drop)
    }

    /// Runs `docker` and returns its output.
    pub fn docker(&self, args: &[&str]) -> Result<String> {
        let output = self.command().args(args).output().context("cannot run docker")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "docker {args:?}: {}", complaint.trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// `docker`, directed to this engine.
    pub fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket().display()));
        command
    }

    /// Kills the engine; its containers continue.
    pub fn die(&mut self) {
        self.process.kill();
    }

    fn import(&self) -> Result<()> {
        let tree = self.directory.path().join("tree");
        std::fs::create_dir_all(tree.join("bin"))?;
        std::fs::copy(BUSYBOX, tree.join("bin/busybox")).context(BUSYBOX)?;
        for word in ["sh", "sleep", "test"] {
            std::os::unix::fs::symlink("busybox", tree.join("bin").join(word))?;
        }
        let archive = self.directory.path().join("image.tar");
        let packed = Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&tree).arg(".").status()?;
        ensure!(packed.success(), "tar has failed");
        self.docker(&["import", &archive.display().to_string(), IMAGE]).map(drop)
    }

    fn end(&mut self) -> Result<()> {
        let all = self.docker(&["ps", "--all", "--quiet"])?;
        let all: Vec<&str> = all.split_whitespace().collect();
        if !all.is_empty() {
            self.docker(&[&["rm", "--force"], &all[..]].concat())?;
        }
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(STOP).map(drop)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.process.is_alive()
            && let Err(error) = self.end()
        {
            eprintln!("the Docker engine: {error:#}");
        }
        sweep(self.directory.path());
    }
}

/// Ends what a killed engine has left: the shims of its containers, found by its directory in their command lines, with
/// the containers below them, its mounts, and the control groups, which have the containers' names.
fn sweep(directory: &Path) {
    let containers = std::fs::read_dir(directory.join("data/containers")).into_iter().flatten().flatten();
    let containers: Vec<_> = containers.map(|entry| entry.file_name()).collect();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(Pid::from_raw);
        if let Some(pid) = pid
            && String::from_utf8_lossy(&line).contains(&*directory.to_string_lossy())
        {
            for pid in tree(pid) {
                // It may have ended.
                let _gone = kill(pid, Signal::SIGKILL);
            }
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for place in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)).map(Path::new) {
        if place.starts_with(directory) {
            let _busy = umount2(place, MntFlags::MNT_DETACH);
        }
    }
    // Killed processes take a moment to end.
    let gone = until("control groups to be empty", Duration::from_secs(3), || {
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let folders = hierarchies.map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
        let groups =
            folders.flat_map(|folder| containers.iter().map(move |id| folder.join("docker").join(id)));
        groups.filter(|group| group.exists() && std::fs::remove_dir(group).is_err()).count() == 0
    });
    if let Err(error) = gone {
        eprintln!("control groups of containers stay: {error:#}");
    }
}
