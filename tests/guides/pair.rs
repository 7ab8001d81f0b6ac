//! Two hosts as in the guides: `eth0`, 192.168.1.10 and 192.168.1.11.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use vrrp_tests::clock::{poll, until, watch};
use vrrp_tests::daemon::{Daemon, Mode, Running};
use vrrp_tests::lab::{Held, INTERFACE, Lab};
use vrrp_tests::process::Directory;

/// Addresses for the clients.
pub(crate) const VIRTUAL: [&str; 2] = ["192.168.1.100", "192.168.1.101"];

/// Two checks of the slowest guide, 5 s apart, and a takeover in version 2.
const PATIENCE: Duration = Duration::from_secs(30);
/// Two checks, 2 s apart, and time for a wrong takeover to show.
const QUIET: Duration = Duration::from_secs(9);

/// Two nodes with a daemon each.
pub(crate) struct Guide {
    // Fields drop in this order: processes before the namespaces they are in.
    running: [Option<Running>; 2],
    lab: Lab,
    directories: [Directory; 2],
    configs: [String; 2],
}

impl Guide {
    /// Starts a daemon on each node. `@DIRECTORY@` in a configuration stands for the directory of its scripts.
    pub(crate) fn new(configs: [String; 2]) -> Result<Self> {
        let lab = Lab::new(2)?;
        let directories = [Directory::private()?, Directory::private()?];
        for (node, directory) in lab.nodes.iter().zip(&directories) {
            node.namespace.ip(&format!(
                "link set {INTERFACE} down\nlink set {INTERFACE} name eth0\nlink set eth0 up\n\
                 address add 192.168.1.{}/24 dev eth0",
                node.index + 10
            ))?;
            let path = directory.path().display();
            directory.script("check.sh", &format!("exec test -e {path}/healthy"))?;
            directory.script("notify.sh", &format!("echo \"$*\" >> {path}/notified"))?;
            fs::write(directory.path().join("healthy"), "")?;
        }
        let mut guide = Self { running: [None, None], lab, directories, configs };
        guide.start(0)?;
        guide.start(1)?;
        Ok(guide)
    }

    /// Runs `scenario`, and adds the daemons' logs to its error.
    pub(crate) fn check(&mut self, scenario: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        scenario(self).map_err(|error| {
            let logs = self.running.iter().flatten().map(Running::log).collect::<Vec<_>>().join("\n---\n");
            anyhow!("{error:#}\n{logs}")
        })
    }

    pub(crate) fn start(&mut self, node: usize) -> Result<()> {
        let text = self.configs[node].replace("@DIRECTORY@", &self.file(node, "").display().to_string());
        let text = text.replace("//", "/");
        self.running[node] = Some(Daemon::Vrrpx(Mode::Auto).start_with(&self.lab.nodes[node], &text)?);
        Ok(())
    }

    pub(crate) fn stop(&mut self, node: usize) -> Result<()> {
        let mut running = self.running[node].take().context("not running")?;
        ensure!(running.stop()?.success(), "{}", running.log());
        Ok(())
    }

    /// Takes network and daemon from the host.
    pub(crate) fn dies(&mut self, node: usize) -> Result<()> {
        self.lab.set_cable(node, false)?;
        self.running[node] = None;
        Ok(())
    }

    /// Boots the host again.
    pub(crate) fn returns(&mut self, node: usize) -> Result<()> {
        self.lab.set_cable(node, true)?;
        self.start(node)
    }

    /// Makes this node's check fail.
    pub(crate) fn fails(&self, node: usize) -> Result<()> {
        Ok(fs::remove_file(self.file(node, "healthy"))?)
    }

    pub(crate) fn recovers(&self, node: usize) -> Result<()> {
        Ok(fs::write(self.file(node, "healthy"), "")?)
    }

    /// Waits until only this node has the address.
    pub(crate) fn serves(&self, node: usize, address: &str) -> Result<()> {
        self.holds(node, address)?;
        until(&format!("node {} without {address}", 1 - node), PATIENCE, || {
            self.held(1 - node, address).is_ok_and(|held| held.is_none())
        })
    }

    pub(crate) fn holds(&self, node: usize, address: &str) -> Result<()> {
        poll(&format!("{address} on node {node}"), PATIENCE, || Ok(self.held(node, address)?.map(drop)))
    }

    /// Checks that no takeover happens within the time of one.
    pub(crate) fn keeps_serving(&self, node: usize, address: &str) -> Result<()> {
        watch(QUIET);
        ensure!(self.held(node, address)?.is_some(), "node {node} has given {address} up");
        ensure!(self.held(1 - node, address)?.is_none(), "node {} has taken {address}", 1 - node);
        Ok(())
    }

    pub(crate) fn label(&self, node: usize, address: &str) -> Result<String> {
        Ok(self.held(node, address)?.context("not held")?.label)
    }

    /// Checks that the notify script's first runs had these arguments, in this order.
    pub(crate) fn notified(&self, node: usize, expected: &[&str]) -> Result<()> {
        let file = self.file(node, "notified");
        until(&format!("{expected:?} in the log of node {node}"), PATIENCE, || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let mut lines = text.lines();
            expected.iter().all(|wanted| lines.any(|line| line == *wanted))
        })
    }

    fn held(&self, node: usize, address: &str) -> Result<Option<Held>> {
        // A dead host's addresses are unreachable.
        if self.running[node].is_none() {
            return Ok(None);
        }
        Ok(self.lab.nodes[node].addresses()?.into_iter().find(|held| held.address == address))
    }

    fn file(&self, node: usize, name: &str) -> PathBuf {
        self.directories[node].path().join(name)
    }
}
