//! Hosts as in the recipes: `eth0`, and separate files below /etc, /srv, /var, /usr/local and /run.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vrrp_tests::clock::{poll, until};
use vrrp_tests::daemon::vrrpx;
use vrrp_tests::lab::{INTERFACE, Lab};
use vrrp_tests::netns::Namespace;
use vrrp_tests::process::{Directory, Process};

/// Time for the start of a service, or for a takeover after it: with containers on a busy machine that is much. Nothing
/// here is judged by its time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Seconds until it ends by itself, should the test be killed.
const LIFETIME: &str = "600";

/// Hosts and a client with the files of a recipe.
pub(crate) struct Recipe {
    // Fields drop in this order: processes before the namespaces they are in.
    pub(crate) hosts: Vec<Host>,
    pub(crate) lab: Lab,
}

/// One of its hosts.
pub(crate) struct Host {
    pub(crate) name: &'static str,
    /// Services, the latest first: the last one started ends first.
    running: Vec<(&'static str, Process)>,
    holder: Process,
    files: File,
    _root: Directory,
    recipe: PathBuf,
}

impl Recipe {
    /// Hosts at 192.0.2.11 and up, and a client at 192.0.2.100.
    pub(crate) fn new(recipe: &str, names: &[&'static str]) -> Result<Self> {
        let lab = Lab::new(names.len())?;
        for node in &lab.nodes {
            node.namespace.ip(&format!(
                "link set {INTERFACE} down\nlink set {INTERFACE} name eth0\nlink set eth0 up\n\
                 address add 192.0.2.{}/24 dev eth0",
                node.index + 11
            ))?;
        }
        lab.client.ip(&format!("address add 192.0.2.100/24 dev {INTERFACE}"))?;
        let hosts = names.iter().zip(&lab.nodes);
        let hosts = hosts.map(|(name, node)| Host::new(name, recipe, &node.namespace));
        Ok(Self { hosts: hosts.collect::<Result<_>>()?, lab })
    }

    /// Runs `scenario`, and adds the output of the hosts to its error.
    pub(crate) fn check(mut self, scenario: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        scenario(&mut self).map_err(|error| {
            let logs: String = self.hosts.iter().map(Host::logs).collect();
            anyhow!("{error:#}\n{logs}")
        })
    }

    pub(crate) fn namespace(&self, host: usize) -> &Namespace {
        &self.lab.nodes[host].namespace
    }

    /// Installs a file of the recipe on all hosts.
    pub(crate) fn install(&self, file: &str, place: &str) -> Result<()> {
        (0..self.hosts.len()).try_for_each(|host| self.install_on(host, file, place))
    }

    pub(crate) fn install_on(&self, host: usize, file: &str, place: &str) -> Result<()> {
        let from = self.hosts[host].recipe.join(file);
        let mode = if place.contains("bin/") { "755" } else { "644" };
        self.run(host, "install", &["-D", "-m", mode, &from.display().to_string(), place]).map(drop)
    }

    /// Runs a program on a host to its end and returns its output.
    pub(crate) fn run(&self, host: usize, program: &str, args: &[&str]) -> Result<String> {
        let mut command = self.command(host, program)?;
        let output = command.args(args).output().with_context(|| format!("cannot run {program}"))?;
        let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
        ensure!(
            output.status.success(),
            "{program} {args:?}: {}{}",
            text(&output.stderr),
            text(&output.stdout)
        );
        Ok(text(&output.stdout))
    }

    /// Runs a shell command.
    pub(crate) fn sh(&self, host: usize, line: &str) -> Result<String> {
        self.run(host, "sh", &["-ec", line])
    }

    /// Starts a service on a host.
    pub(crate) fn start(&mut self, host: usize, program: &'static str, args: &[&str]) -> Result<()> {
        let mut command = self.command(host, program)?;
        command.args(args);
        let host = &mut self.hosts[host];
        let process = Process::start_in(command, Directory::new()?)?;
        host.running.insert(0, (program, process));
        Ok(())
    }

    /// Starts the daemon of a host, with the configuration at its default path.
    pub(crate) fn start_vrrpx(&mut self, host: usize) -> Result<()> {
        self.run(host, &vrrpx().display().to_string(), &["check", "--strict", "/etc/vrrpx/vrrpx.conf"])?;
        let mut command = self.command(host, &vrrpx().display().to_string())?;
        let host = &mut self.hosts[host];
        command.args(["run", "--config-id", host.name]);
        host.running.insert(0, ("vrrpx", Process::start_in(command, Directory::new()?)?));
        Ok(())
    }

    /// Ends a service by this signal.
    pub(crate) fn end(&mut self, host: usize, program: &str, signal: Signal) -> Result<()> {
        let mut process = self.hosts[host].take(program)?;
        if signal == Signal::SIGKILL {
            process.kill();
            return Ok(());
        }
        process.signal(signal)?;
        process.wait(PATIENCE).map(drop)
    }

    /// Stops or continues a service with all its processes.
    pub(crate) fn signal_all(&self, host: usize, program: &str, signal: Signal) -> Result<()> {
        let process = self.hosts[host].running.iter().find(|(name, _)| *name == program);
        let (_, process) = process.context("the service does not run")?;
        process.tree().into_iter().try_for_each(|pid| Ok(kill(pid, signal)?))
    }

    /// Waits until only this host has the address.
    pub(crate) fn serves(&self, host: usize, address: &str) -> Result<()> {
        until(&format!("{address} on {} alone", self.hosts[host].name), PATIENCE, || {
            let holds = |node| self.lab.has_address(node, address).unwrap_or(node != host);
            (0..self.hosts.len()).all(|node| holds(node) == (node == host))
        })
    }

    /// Body that the client receives.
    pub(crate) fn get(&self, address: &str) -> Result<String> {
        get(&self.lab.client, address)
    }

    /// Waits until the client receives `expected`.
    pub(crate) fn gets(&self, address: &str, expected: &str) -> Result<()> {
        let mut last = String::new();
        let got = until("an answer", PATIENCE, || {
            last = self.get(address).unwrap_or_else(|error| format!("{error:#}"));
            last.trim() == expected
        });
        got.with_context(|| format!("{address}: {expected:?} is expected, got {last:?}"))
    }

    fn command(&self, host: usize, program: &str) -> Result<Command> {
        let files = self.hosts[host].files.try_clone()?;
        let mut command = self.namespace(host).command(program)?;
        // SAFETY: setns is a bare system call, fit for the time between fork and exec.
        unsafe {
            command.pre_exec(move || Ok(setns(&files, CloneFlags::CLONE_NEWNS)?));
        }
        command.current_dir("/");
        Ok(command)
    }
}

impl Host {
    fn new(name: &'static str, recipe: &str, namespace: &Namespace) -> Result<Self> {
        let root = Directory::new()?;
        let path = root.path().display();
        // Overlays need a separate file system for the changes.
        let script = format!(
            "mount -t tmpfs tmpfs {path}\n\
             for folder in etc srv var usr/local; do\n\
             mkdir -p {path}/$folder/upper {path}/$folder/work\n\
             mount -t overlay -o lowerdir=/$folder,upperdir={path}/$folder/upper,workdir={path}/$folder/work \
             overlay /$folder\ndone\n\
             mount -t tmpfs tmpfs /run\n\
             echo ready\nexec sleep {LIFETIME}"
        );
        let mut command = namespace.command("unshare")?;
        command.args(["--mount", "--propagation", "private", "sh", "-ec", &script]);
        let holder = Process::start_in(command, Directory::new()?)?;
        until("files of a host", PATIENCE, || holder.log().contains("ready"))
            .with_context(|| holder.log())?;
        let files = File::open(format!("/proc/{}/ns/mnt", holder.pid()))?;
        let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recipes").join(recipe);
        let recipe = recipe.canonicalize()?;
        Ok(Self { name, running: Vec::new(), holder, files, _root: root, recipe })
    }

    fn take(&mut self, program: &str) -> Result<Process> {
        let index = self.running.iter().position(|(name, _)| *name == program);
        Ok(self.running.remove(index.with_context(|| format!("{program} does not run on {}", self.name))?).1)
    }

    fn logs(&self) -> String {
        let log = |(program, process): &(&str, Process)| {
            let log = process.log();
            let from = log.len().saturating_sub(6000);
            format!("--- {program} of {}\n{}\n", self.name, log.get(from..).unwrap_or(&log))
        };
        self.running.iter().map(log).collect()
    }
}

/// Finds services in the background by the mount namespace that they share, and containers by their parent processes.
impl Drop for Host {
    fn drop(&mut self) {
        let network = std::fs::metadata(format!("/proc/{}/ns/net", self.holder.pid()));
        self.running.clear();
        if let Ok(network) = network {
            // A killed daemon leaves its pins.
            let _none = std::fs::remove_dir_all(format!("/sys/fs/bpf/vrrpx/{}+run+vrrpx", network.ino()));
        }
        let view = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        let Some(own) = view(self.holder.pid().as_raw()) else { return };
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let all: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        let mut ours: Vec<i32> =
            all.iter().copied().filter(|pid| view(*pid).as_ref() == Some(&own)).collect();
        let mut next = 0;
        while let Some(parent) = ours.get(next).copied() {
            ours.extend(all.iter().copied().filter(|pid| parent_of(*pid) == Some(parent)));
            next += 1;
        }
        for pid in ours {
            // It may be gone already.
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// The body of `http://ADDRESS/` as seen from a namespace.
pub(crate) fn get(namespace: &Namespace, address: &str) -> Result<String> {
    let to: SocketAddr =
        if address.contains(':') { address.parse() } else { format!("{address}:80").parse() }?;
    namespace.enter(|| {
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(format!("GET / HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").context("no end of the head")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        if status != "200" {
            bail!("status {status}");
        }
        Ok(body.to_owned())
    })
}

/// Starts the Docker engine of a host.
pub(crate) fn start_engine(recipe: &mut Recipe, host: usize) -> Result<()> {
    let options = ["--bridge", "none", "--iptables=false", "--ip-forward=false", "--storage-driver", "vfs"];
    recipe.start(host, "dockerd", &options)
}

/// Waits for the Docker engine of a host.
pub(crate) fn answers(recipe: &Recipe, host: usize) -> Result<()> {
    until("the Docker engine", PATIENCE, || recipe.run(host, "docker", &["version"]).is_ok())
}

/// Value of an operation that succeeds after some time.
pub(crate) fn eventually<T>(what: &str, value: impl Fn() -> Result<T>) -> Result<T> {
    poll(what, PATIENCE, || Ok(value().ok()))
}
