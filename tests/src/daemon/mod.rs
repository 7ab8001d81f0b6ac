//! Daemons on nodes: ours in each mode, and keepalived as the peer to work with and to be measured against.
//!
//! Both read the same configuration, which [`Config`] and [`Instance`] write.

mod config;
mod frr;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;
pub use vrrp_user::daemon::process::options::XdpMode as Mode;

pub use config::{Config, Instance, many};

use crate::clock::{poll, until};
use crate::lab::Node;
use crate::process::{Directory, PINS, Process};
use crate::schema;

const STOP: Duration = Duration::from_secs(10);

/// Which daemon to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Daemon {
    Keepalived,
    Frr,
    Vrrpx(Mode),
}

/// The daemon under test, which `VRRPX_SUBJECT` selects: `keepalived`, or a receive path of ours.
pub fn subject() -> Daemon {
    match std::env::var("VRRPX_SUBJECT").as_deref() {
        Ok("keepalived") => Daemon::Keepalived,
        Ok(mode) => Daemon::Vrrpx(mode.parse().unwrap_or_default()),
        Err(_) => Daemon::Vrrpx(Mode::Auto),
    }
}

impl Daemon {
    /// Program that must be present; see [`crate::require`].
    pub fn need(self) -> &'static str {
        match self {
            Self::Keepalived => "keepalived",
            Self::Frr => "vrrpd",
            Self::Vrrpx(_) => "vrrpx",
        }
    }

    /// Name and version, as the program prints them.
    pub fn version(self) -> String {
        let output = match self {
            Self::Keepalived => Command::new(keepalived()).arg("--version").output(),
            Self::Frr => Command::new(frr::path("vrrpd")).arg("--version").output(),
            Self::Vrrpx(_) => Command::new(vrrpx()).arg("--version").output(),
        };
        let Ok(output) = output else { return self.need().to_owned() };
        let text = [output.stdout, output.stderr].concat();
        let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
        let line = line.split(" (").next().unwrap_or_default().to_lowercase().replace(" v", " ");
        if line.is_empty() { self.need().to_owned() } else { line }
    }

    /// Starts it on a node.
    pub fn start(self, node: &Node, config: &Config) -> Result<Running> {
        self.start_in(node, config, None, &[])
    }

    /// As [`Daemon::start`], with the text of a configuration file.
    pub fn start_with(self, node: &Node, config: &str) -> Result<Running> {
        let directory = Directory::new()?;
        let process = self.launch(node, config, &directory, None, &[], &[])?;
        Ok(Running { daemon: self, process, _beside: None, directory })
    }

    /// As [`Daemon::start`], with further arguments. Ours only.
    pub fn start_by(self, node: &Node, config: &Config, arguments: &[&str]) -> Result<Running> {
        let directory = Directory::new()?;
        let process = self.launch(node, &config.to_string(), &directory, None, &[], arguments)?;
        Ok(Running { daemon: self, process, _beside: None, directory })
    }

    /// As [`Daemon::start`], pinned to processor `cpu` if there is one, and with these variables in its environment.
    pub fn start_in(
        self,
        node: &Node,
        config: &Config,
        cpu: Option<usize>,
        environment: &[(&'static str, String)],
    ) -> Result<Running> {
        let directory = Directory::new()?;
        if self == Self::Frr {
            let (zebra, process) = frr::start(node, config, &directory)?;
            return Ok(Running { daemon: self, process, _beside: Some(zebra), directory });
        }
        let process = self.launch(node, &config.to_string(), &directory, cpu, environment, &[])?;
        Ok(Running { daemon: self, process, _beside: None, directory })
    }

    /// Whether a node holds an address of this instance and answers for it.
    pub fn holds(self, node: &Node, instance: &Instance, address: IpAddr) -> Result<bool> {
        if self == Self::Frr && !frr::serves(node, instance)? {
            return Ok(false);
        }
        Ok(node.addresses()?.iter().any(|held| held.address == address.to_string()))
    }

    fn launch(
        self,
        node: &Node,
        config: &str,
        dir: &Directory,
        cpu: Option<usize>,
        environment: &[(&'static str, String)],
        arguments: &[&str],
    ) -> Result<Process> {
        use std::os::unix::process::CommandExt;
        let path = dir.path();
        std::fs::write(path.join("keepalived.conf"), config)?;
        let mut command = self.command(node, path)?;
        command.args(arguments);
        if let Some(cpu) = cpu {
            let mut set = CpuSet::new();
            set.set(cpu)?;
            // SAFETY: sched_setaffinity is a bare system call, fit for the time between fork and exec.
            unsafe {
                command.pre_exec(move || Ok(sched_setaffinity(Pid::from_raw(0), &set)?));
            }
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Process::start(command, path.join("log"))
    }

    fn command(self, node: &Node, path: &std::path::Path) -> Result<Command> {
        let file = path.join("keepalived.conf");
        let mut command = match self {
            Self::Keepalived => {
                let mut command = node.namespace.command(keepalived())?;
                command
                    .args(["--dont-fork", "--log-console", "--log-detail", "--no-syslog"])
                    .args(["--vrrp", "--use-file"])
                    .arg(&file);
                command.arg("--pid").arg(path.join("parent.pid"));
                command.arg("--vrrp_pid").arg(path.join("vrrp.pid"));
                command
            }
            Self::Frr => bail!("FRR is two processes"),
            Self::Vrrpx(mode) => {
                let mut command = node.namespace.command(vrrpx())?;
                command.args(["run", "--xdp-mode", mode.as_str(), "--config"]).arg(&file);
                command.arg("--runtime-dir").arg(path);
                command
            }
        };
        command.env_remove("NOTIFY_SOCKET");
        Ok(command)
    }
}

/// A running daemon, killed when dropped: it sends no release.
#[derive(Debug)]
pub struct Running {
    daemon: Daemon,
    process: Process,
    /// Dropped after it.
    _beside: Option<Process>,
    directory: Directory,
}

impl Running {
    pub fn daemon(&self) -> Daemon {
        self.daemon
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    /// Whether its instances have a state: ours reports them, keepalived has logged the first one. Of FRR only whether
    /// it runs.
    pub fn is_up(&self) -> bool {
        match self.daemon {
            Daemon::Vrrpx(_) => self.status().is_ok(),
            Daemon::Frr => self.is_alive(),
            Daemon::Keepalived => self.log().contains(" STATE"),
        }
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Directory of its configuration, pid files and control socket.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Sends SIGTERM and waits for its end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::SIGTERM)?;
        let ended = self.process.wait(STOP)?;
        self.has_no_numbers(&self.log())?;
        Ok(ended)
    }

    /// Our texts have errors of the system in words, without numbers.
    fn has_no_numbers(&self, text: &str) -> Result<()> {
        let numbered = text.lines().find(|line| line.contains("(os error "));
        let is_ours = matches!(self.daemon, Daemon::Vrrpx(_));
        numbered.filter(|_| is_ours).map_or(Ok(()), |line| bail!("a number for a person: {line}"))
    }

    /// Writes another configuration and reloads it: ours by `vrrpx reload`, whose outcome is returned; keepalived by
    /// SIGHUP.
    pub fn reload(&mut self, config: &str) -> Result<Output> {
        std::fs::write(self.directory.path().join("keepalived.conf"), config)?;
        if let Daemon::Vrrpx(_) = self.daemon {
            return self.ask(&["reload"]);
        }
        self.process.signal(Signal::SIGHUP)?;
        Command::new("true").output().context("cannot run true")
    }

    /// Ends it by this signal, if it runs, and starts it again in the same directory.
    pub fn restart(&mut self, node: &Node, config: &Config, by: Signal) -> Result<()> {
        if self.process.ended()?.is_none() {
            self.process.signal(by)?;
        }
        self.process.wait(STOP)?;
        self.process = self.daemon.launch(node, &config.to_string(), &self.directory, None, &[], &[])?;
        Ok(())
    }

    /// Starts a newer process for a hot restart, with these arguments added, and waits for the old one's end and for
    /// the newer one's first answer. Ours only.
    pub fn hot_restart(&mut self, node: &Node, arguments: &[&str]) -> Result<ExitStatus> {
        let mut next = self.successor(node, arguments)?;
        std::mem::swap(&mut self.process, &mut next);
        let status = next.wait(STOP);
        let logs = || format!("{}\n--- its successor\n{}", next.log(), self.process.log());
        let status = status.with_context(logs)?;
        // The old process may end a moment before the newer one answers.
        let pid = self.process.pid().as_raw();
        until("an answer of the newer process, or its end", STOP, || {
            !self.is_alive() || self.status().is_ok_and(|status| status["node"]["pid"] == pid)
        })
        .with_context(logs)?;
        Ok(status)
    }

    /// Starts a newer process beside it for a hot restart.
    pub fn successor(&self, node: &Node, arguments: &[&str]) -> Result<Process> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let path = self.directory.path();
        let mut command = self.daemon.command(node, path)?;
        command.arg("--hot-restart").args(arguments);
        Process::start(command, path.join(format!("log.{}", COUNT.fetch_add(1, Ordering::Relaxed))))
    }

    /// Pid of its guard, as the daemon reports it.
    pub fn guard(&self) -> Result<Pid> {
        let pid = self.status()?["fence"]["guard"].as_i64().context("there is no guard")?;
        Ok(Pid::from_raw(i32::try_from(pid)?))
    }

    /// Folders of its pinned BPF objects; their names contain its directory.
    pub fn pins(&self) -> Vec<PathBuf> {
        let directory = self.directory().to_string_lossy().replace('/', "+");
        let folders = std::fs::read_dir(PINS).into_iter().flatten().flatten().map(|folder| folder.path());
        folders.filter(|path| path.to_string_lossy().ends_with(&directory)).collect()
    }

    /// Kills it and its children: it sends no release.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// CPU time so far, see [`Process::cpu_time`].
    pub fn cpu_time(&self) -> Result<Duration> {
        self.process.cpu_time()
    }

    /// Output of `vrrpx status --json`.
    pub fn status(&self) -> Result<Value> {
        ensure!(matches!(self.daemon, Daemon::Vrrpx(_)), "only ours has a status");
        let output = self.ask(&["status", "--json"])?;
        ensure!(output.status.success(), "vrrpx status: {}", String::from_utf8_lossy(&output.stderr).trim());
        self.has_no_numbers(&String::from_utf8_lossy(&output.stdout))?;
        let status: Value = serde_json::from_slice(&output.stdout).context("vrrpx status --json")?;
        // An older program has none.
        if status.get("schema").is_some() {
            schema::validate(&status)?;
        }
        Ok(status)
    }

    /// The only instance of its status, or the first one.
    pub fn instance(&self) -> Result<Value> {
        Ok(self.status()?["instances"][0].take())
    }

    /// Number of adverts that instance has sent, by its own count: a flood may crowd them out on the wire.
    pub fn adverts_sent(&self) -> Result<u64> {
        self.instance()?["counters"]["adverts_sent"].as_u64().context("no `adverts_sent`")
    }

    /// State and epoch of that instance.
    pub fn standing(&self) -> Result<(String, u64)> {
        standing(&self.instance()?)
    }

    /// Receive path of its first interface, once the status has it.
    pub fn rx_path(&self) -> Result<String> {
        let found = poll("a receive path in the status", STOP, || {
            let status = self.status().ok();
            Ok(status.and_then(|status| Some(status["interfaces"][0]["receive_path"].as_str()?.to_owned())))
        });
        found.with_context(|| self.log())
    }

    /// What `vrrpx` answers to a command that asks this daemon, such as `status`.
    pub fn ask(&self, arguments: &[&str]) -> Result<Output> {
        self.client(arguments).output().context("cannot run vrrpx")
    }

    /// Starts a command whose output and errors the caller reads.
    pub fn follow(&self, arguments: &[&str]) -> Result<Child> {
        self.client(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run vrrpx")
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(vrrpx());
        command.args(arguments).arg("--runtime-dir").arg(self.directory.path());
        command
    }
}

/// State and epoch of an instance in a status.
pub fn standing(instance: &Value) -> Result<(String, u64)> {
    let state = instance["state"].as_str().context("no state")?.to_owned();
    Ok((state, instance["epoch"].as_u64().context("no epoch")?))
}

/// The built daemon: `VRRPX` if set, else that of [`built`].
pub fn vrrpx() -> PathBuf {
    std::env::var_os("VRRPX").map_or_else(|| built("vrrpx"), PathBuf::from)
}

/// keepalived's program: `KEEPALIVED`, or that in PATH.
fn keepalived() -> PathBuf {
    std::env::var_os("KEEPALIVED").map_or_else(|| "keepalived".into(), PathBuf::from)
}

/// A program beside this one in the build directory.
pub(crate) fn built(program: &str) -> PathBuf {
    let mut directory = std::env::current_exe().unwrap_or_default();
    directory.pop();
    // Test programs are one directory deeper.
    if directory.ends_with("deps") {
        directory.pop();
    }
    directory.join(program)
}
