//! Daemons on nodes: ours in each mode, and keepalived as the peer to work with and to be measured against.
//!
//! Both read the same configuration, which [`Config`] and [`Instance`] write.

mod frr;

use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::lab::{INTERFACE, Node, VIRTUAL_V4, VIRTUAL_V6};
use crate::process::{Directory, Process};

const STOP: Duration = Duration::from_secs(10);

/// Which daemon to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Daemon {
    Keepalived,
    Frr,
    Vrrpx(Mode),
}

/// Rung of the ladder that ours is told to take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    Auto,
    Native,
    Tcx,
    Generic,
    Socket,
}

impl Daemon {
    /// Program that must be there; see [`crate::require`].
    pub fn need(self) -> &'static str {
        match self {
            Self::Keepalived => "keepalived",
            Self::Frr => "vrrpd",
            Self::Vrrpx(_) => "vrrpx",
        }
    }

    /// Name and version, as the program tells it.
    pub fn version(self) -> String {
        let output = match self {
            Self::Keepalived => Command::new("keepalived").arg("--version").output(),
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
    ///
    /// # Errors
    /// When the program or its files cannot be opened.
    pub fn start(self, node: &Node, config: &Config) -> Result<Running> {
        self.start_on(node, config, None)
    }

    /// As [`Daemon::start`], with a configuration as somebody wrote it.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_with(self, node: &Node, config: &str) -> Result<Running> {
        let directory = Directory::new()?;
        let process = self.launch(node, config, &directory, None, &[])?;
        Ok(Running { daemon: self, process, _beside: None, directory })
    }

    /// As [`Daemon::start`], held on one processor if told so.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_on(self, node: &Node, config: &Config, cpu: Option<usize>) -> Result<Running> {
        self.start_in(node, config, cpu, &[])
    }

    /// As [`Daemon::start_on`], with these variables in its environment.
    ///
    /// # Errors
    /// As [`Daemon::start`].
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
        let process = self.launch(node, &config.to_string(), &directory, cpu, environment)?;
        Ok(Running { daemon: self, process, _beside: None, directory })
    }

    /// Whether a node holds an address of this instance so that it answers for it.
    ///
    /// # Errors
    /// Those of `ip`.
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
    ) -> Result<Process> {
        use std::os::unix::process::CommandExt;
        let path = dir.path();
        std::fs::write(path.join("keepalived.conf"), config)?;
        let mut command = self.command(node, path)?;
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
                let mut command = node.namespace.command("keepalived")?;
                command
                    .args(["--dont-fork", "--log-console", "--log-detail", "--vrrp", "--use-file"])
                    .arg(&file);
                command.arg("--pid").arg(path.join("parent.pid"));
                command.arg("--vrrp_pid").arg(path.join("vrrp.pid"));
                command
            }
            Self::Frr => bail!("FRR is two processes"),
            Self::Vrrpx(mode) => {
                let mut command = node.namespace.command(vrrpx())?;
                command.args(["run", "--xdp-mode", mode.word(), "--config"]).arg(&file);
                command.arg("--runtime-dir").arg(path);
                command
            }
        };
        command.env_remove("NOTIFY_SOCKET");
        Ok(command)
    }
}

impl Mode {
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Tcx => "tcx",
            Self::Generic => "generic",
            Self::Socket => "socket",
        }
    }
}

/// A daemon at work. Dropped, it is killed without a goodbye.
#[derive(Debug)]
pub struct Running {
    daemon: Daemon,
    process: Process,
    /// Ends after it.
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

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Where its configuration, pid files and control socket are.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// When it has not after ten seconds.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(STOP)
    }

    /// Writes another configuration and has it read: ours by `vrrpx reload`, whose outcome is returned; keepalived by
    /// SIGHUP.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn reload(&mut self, config: &str) -> Result<Output> {
        std::fs::write(self.directory.path().join("keepalived.conf"), config)?;
        if let Daemon::Vrrpx(_) = self.daemon {
            let mut command = Command::new(vrrpx());
            command.args(["reload", "--runtime-dir"]).arg(self.directory.path());
            return command.output().context("cannot run vrrpx reload");
        }
        self.process.signal(Signal::SIGHUP)?;
        Command::new("true").output().context("cannot run true")
    }

    /// Ends it by this signal, and starts it again with what it has left in its directory.
    ///
    /// # Errors
    /// When it does not end, or cannot be run.
    pub fn restart(&mut self, node: &Node, config: &Config, by: Signal) -> Result<()> {
        self.process.signal(by)?;
        self.process.wait(STOP)?;
        self.process = self.daemon.launch(node, &config.to_string(), &self.directory, None, &[])?;
        Ok(())
    }

    /// Starts another one that takes over from it, with these further arguments, and waits for its end. Ours only.
    ///
    /// # Errors
    /// When it does not end, or cannot be run.
    pub fn take_over(&mut self, node: &Node, arguments: &[&str]) -> Result<ExitStatus> {
        let mut next = self.successor(node, arguments)?;
        std::mem::swap(&mut self.process, &mut next);
        next.wait(STOP).with_context(|| format!("{}\n--- its successor\n{}", next.log(), self.process.log()))
    }

    /// Starts another one beside it that is to take over.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn successor(&self, node: &Node, arguments: &[&str]) -> Result<Process> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let path = self.directory.path();
        let mut command = self.daemon.command(node, path)?;
        command.arg("--takeover").args(arguments);
        Process::start(command, path.join(format!("log.{}", COUNT.fetch_add(1, Ordering::Relaxed))))
    }

    /// Kills it, its children too, without a goodbye.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Processor time so far, see [`Process::cpu_time`].
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu_time(&self) -> Result<Duration> {
        self.process.cpu_time()
    }

    /// What `vrrpx status --json` says.
    ///
    /// # Errors
    /// When it is not ours, does not answer, or answers with something else than JSON.
    pub fn status(&self) -> Result<serde_json::Value> {
        ensure!(matches!(self.daemon, Daemon::Vrrpx(_)), "only ours has a status");
        let output = Command::new(vrrpx())
            .args(["status", "--json", "--runtime-dir"])
            .arg(self.directory.path())
            .output()
            .context("cannot run vrrpx status")?;
        ensure!(output.status.success(), "vrrpx status: {}", String::from_utf8_lossy(&output.stderr).trim());
        serde_json::from_slice(&output.stdout).context("vrrpx status --json")
    }
}

/// The built daemon: `VRRPX` if set, else beside this program in the build directory.
pub fn vrrpx() -> PathBuf {
    if let Some(path) = std::env::var_os("VRRPX") {
        return path.into();
    }
    let mut directory = std::env::current_exe().unwrap_or_default();
    directory.pop();
    // Test programs lie one deeper.
    if directory.ends_with("deps") {
        directory.pop();
    }
    directory.join("vrrpx")
}

/// A configuration file.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Lines of `global_defs`.
    pub globals: Vec<String>,
    /// Blocks before the instances, such as `vrrp_script`.
    pub blocks: String,
    pub instances: Vec<Instance>,
}

impl Config {
    /// Of one instance.
    pub fn of(instance: Instance) -> Self {
        Self { instances: vec![instance], ..Self::default() }
    }
}

impl std::fmt::Display for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "global_defs {{\n    router_id lab")?;
        for line in &self.globals {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "}}\n{}", self.blocks)?;
        self.instances.iter().try_for_each(|instance| instance.fmt(f))
    }
}

/// A `vrrp_instance`.
#[derive(Clone, Debug)]
pub struct Instance {
    name: String,
    interface: &'static str,
    version: u8,
    vrid: u8,
    priority: u8,
    interval: Duration,
    state: &'static str,
    addresses: Vec<String>,
    lines: Vec<String>,
}

impl Instance {
    /// Version 3 over IPv4, VRID 51, adverts each 100 ms, one virtual address.
    pub fn v3(priority: u8) -> Self {
        Self {
            name: "VI_1".to_owned(),
            interface: INTERFACE,
            version: 3,
            vrid: 51,
            priority,
            interval: Duration::from_millis(100),
            state: "BACKUP",
            addresses: vec![format!("{VIRTUAL_V4}/24")],
            lines: Vec::new(),
        }
    }

    /// Version 3 over IPv6, with a link-local address first.
    pub fn v6(priority: u8) -> Self {
        let addresses = vec!["fe80::200/64".to_owned(), format!("{VIRTUAL_V6}/64")];
        Self { addresses, ..Self::v3(priority) }
    }

    /// Version 2, which counts in seconds.
    pub fn v2(priority: u8) -> Self {
        Self { version: 2, interval: Duration::from_secs(1), ..Self::v3(priority) }
    }

    /// `state MASTER`, which matters to owners only.
    #[must_use]
    pub fn master(mut self) -> Self {
        self.state = "MASTER";
        self
    }

    #[must_use]
    pub fn interval(mut self, millis: u64) -> Self {
        self.interval = Duration::from_millis(millis);
        self
    }

    #[must_use]
    pub fn vrid(mut self, vrid: u8) -> Self {
        self.vrid = vrid;
        self.name = format!("VI_{vrid}");
        self
    }

    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    #[must_use]
    pub fn addresses(mut self, addresses: &[&str]) -> Self {
        self.addresses = addresses.iter().map(|&address| address.to_owned()).collect();
        self
    }

    /// On another interface than the lab's.
    #[must_use]
    pub fn on(mut self, interface: &'static str) -> Self {
        self.interface = interface;
        self
    }

    /// Authentication with a password, of version 2.
    #[must_use]
    pub fn pass(self, password: &str) -> Self {
        self.line(&format!("authentication {{\n        auth_type PASS\n        auth_pass {password}\n    }}"))
    }

    /// Authentication by a header of IPsec, of version 2.
    #[must_use]
    pub fn ah(self, password: &str) -> Self {
        self.line(&format!("authentication {{\n        auth_type AH\n        auth_pass {password}\n    }}"))
    }

    /// Signed adverts, with these lines in the block.
    #[must_use]
    pub fn hmac(self, lines: &[&str]) -> Self {
        self.line(&format!("auth_hmac {{\n        {}\n    }}", lines.join("\n        ")))
    }

    /// Speaks to `peer` alone instead of to the group.
    #[must_use]
    pub fn unicast(self, own: &str, peer: &str) -> Self {
        self.line(&format!("unicast_src_ip {own}\n    unicast_peer {{\n        {peer}\n    }}"))
    }

    /// One more line, or block, as it stands in the file.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// How long a backup of `self`'s priority bears silence: three intervals and the skew (RFC 9568 §6.1; one
    /// second's part in version 2).
    pub fn master_down_interval(&self) -> Duration {
        let base = if self.version == 2 { Duration::from_secs(1) } else { self.interval };
        3 * self.interval + self.skew_of(base)
    }

    /// How long it waits when the master leaves with priority 0.
    pub fn skew(&self) -> Duration {
        let base = if self.version == 2 { Duration::from_secs(1) } else { self.interval };
        self.skew_of(base)
    }

    pub fn advert_interval(&self) -> Duration {
        self.interval
    }

    fn is_ipv6(&self) -> bool {
        self.virtual_addresses().first().is_some_and(IpAddr::is_ipv6)
    }

    fn skew_of(&self, base: Duration) -> Duration {
        base * (256 - u32::from(self.priority)) / 256
    }

    /// Its virtual addresses without prefix lengths and options.
    pub fn virtual_addresses(&self) -> Vec<IpAddr> {
        self.addresses.iter().filter_map(|text| text.split(['/', ' ']).next()?.parse().ok()).collect()
    }
}

impl std::fmt::Display for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, interface, version, vrid, priority, state, .. } = self;
        writeln!(f, "vrrp_instance {name} {{\n    state {state}\n    interface {interface}")?;
        writeln!(f, "    version {version}\n    virtual_router_id {vrid}\n    priority {priority}")?;
        writeln!(f, "    advert_int {}", self.interval.as_secs_f64())?;
        for line in &self.lines {
            writeln!(f, "    {line}")?;
        }
        let mut block = String::new();
        for address in &self.addresses {
            writeln!(block, "        {address}")?;
        }
        writeln!(f, "    virtual_ipaddress {{\n{block}    }}\n}}")
    }
}
