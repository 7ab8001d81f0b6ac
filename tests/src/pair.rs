//! Daemons on the nodes of a lab, mostly two: a master to be lost and its heir.

use std::fmt::Display;
use std::net::IpAddr;
use std::process::{ExitStatus, Output};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::signal::Signal;

use crate::arp::ArpProber;
use crate::clock::{outage, poll, realtime, until};
use crate::daemon::{Config, Daemon, Running};
use crate::lab::{Held, INTERFACE, Lab, Node, VIRTUAL_V4};
use crate::observe::Observer;
use crate::process::Process;

/// Enough for the start of a daemon, the election after it and a one-second interval of version 2.
pub const SETTLE: Duration = Duration::from_secs(15);

/// The daemon of one node.
#[derive(Clone, Debug)]
pub struct Role {
    pub daemon: Daemon,
    pub config: Config,
    /// Processor to pin it to.
    pub cpu: Option<usize>,
    /// Variables for its environment.
    pub environment: Vec<(&'static str, String)>,
}

impl Role {
    pub fn new(daemon: Daemon, config: Config) -> Self {
        Self { daemon, config, cpu: None, environment: Vec::new() }
    }
}

/// Nodes from 0 on with their daemons, observed.
#[derive(Debug)]
pub struct Pair {
    // Fields drop in this order: processes before the namespaces they are in.
    running: Vec<Option<Running>>,
    pub observer: Observer,
    pub lab: Lab,
    pub roles: Vec<Role>,
}

impl Pair {
    /// A lab without a running daemon.
    pub fn idle(roles: impl Into<Vec<Role>>) -> Result<Self> {
        let roles = roles.into();
        let lab = Lab::new(roles.len())?;
        let observer = Observer::new(&lab)?;
        Ok(Self { running: roles.iter().map(|_| None).collect(), observer, lab, roles })
    }

    /// Starts all daemons, and waits until node 0 is the only master.
    pub fn settled(roles: impl Into<Vec<Role>>) -> Result<Self> {
        let mut pair = Self::idle(roles)?;
        let mut nodes = 0..pair.roles.len();
        let settle = nodes.try_for_each(|node| pair.start(node)).and_then(|()| pair.wait_until_settled());
        settle.map_err(|error| pair.with_logs(&error))?;
        Ok(pair)
    }

    /// As [`Pair::settled`], but starts the others when node 0 is master, so that none is master before it.
    pub fn settled_in_turn(roles: impl Into<Vec<Role>>) -> Result<Self> {
        let mut pair = Self::idle(roles)?;
        let mut others = 1..pair.roles.len();
        let settle = pair.start(0).and_then(|()| pair.wait_for_master(0));
        let settle = settle.and_then(|()| others.try_for_each(|node| pair.start(node)));
        settle.and_then(|()| pair.wait_until_settled()).map_err(|error| pair.with_logs(&error))?;
        Ok(pair)
    }

    /// Waits for the daemons too: five fast adverts may be over before another node has begun.
    fn wait_until_settled(&self) -> Result<()> {
        for (node, running) in self.running.iter().enumerate() {
            let Some(running) = running else { continue };
            self.poll(&format!("the daemon of node {node} to be up"), || Ok(running.is_up()))?;
        }
        self.wait_for_master(0)
    }

    /// Runs `scenario`, and adds the daemons' logs to its error.
    pub fn check<T>(mut self, scenario: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        scenario(&mut self).map_err(|error| self.with_logs(&error))
    }

    /// The error followed by the output of the running daemons.
    pub fn with_logs(&self, error: &anyhow::Error) -> anyhow::Error {
        anyhow!("{error:#}\n{}", self.logs())
    }

    /// Starts the daemon of a node.
    pub fn start(&mut self, node: usize) -> Result<()> {
        let role = self.roles.get(node).context("no such role")?;
        let host = self.lab.nodes.get(node).context("no such node")?;
        let running = role.daemon.start_in(host, &role.config, role.cpu, &role.environment)?;
        *self.running.get_mut(node).context("no such node")? = Some(running);
        Ok(())
    }

    /// The host dies: its cable first, so that nothing after its last advert is heard.
    pub fn die(&mut self, node: usize) -> Result<()> {
        self.lab.set_cable(node, false)?;
        self.kill(node);
        Ok(())
    }

    /// Kills only the daemon, which sends no release; its addresses stay.
    pub fn kill(&mut self, node: usize) {
        if let Some(running) = self.running.get_mut(node) {
            *running = None;
        }
    }

    /// Ends the daemon of a node by a signal and starts it again in the same directory.
    pub fn restart(&mut self, node: usize, by: Signal) -> Result<()> {
        let role = self.roles.get(node).context("no such role")?;
        let host = self.lab.nodes.get(node).context("no such node")?;
        let running = self.running.get_mut(node).and_then(Option::as_mut).context("not running")?;
        running.restart(host, &role.config, by)
    }

    /// Hot restart of a node's daemon; waits for the end of the old process.
    pub fn hot_restart(&mut self, node: usize, arguments: &[&str]) -> Result<ExitStatus> {
        let host = self.lab.nodes.get(node).context("no such node")?;
        let running = self.running.get_mut(node).and_then(Option::as_mut).context("not running")?;
        running.hot_restart(host, arguments)
    }

    /// Starts the newer process of a hot restart, and does not wait.
    pub fn successor(&self, node: usize) -> Result<Process> {
        let running = self.running.get(node).and_then(Option::as_ref).context("not running")?;
        running.successor(self.node(node)?, &[])
    }

    /// The host comes back and starts its daemon. The dead daemon's addresses are gone, as after a boot.
    pub fn revive(&mut self, node: usize) -> Result<()> {
        let held: Vec<_> = self.roles.iter().flat_map(|role| &role.config.instances).collect();
        let host = self.node(node)?;
        for address in held.iter().flat_map(|instance| instance.virtual_addresses()) {
            // The devices of FRR belong to the host.
            let held = |found: &&Held| found.address == address.to_string() && found.interface == INTERFACE;
            for found in host.addresses()?.iter().filter(held) {
                host.namespace
                    .ip(&format!("address del {address}/{} dev {}", found.prefix, found.interface))?;
            }
        }
        self.lab.set_cable(node, true)?;
        self.start(node)
    }

    /// Sends SIGTERM to the daemon of a node and waits for its end.
    pub fn stop(&mut self, node: usize) -> Result<ExitStatus> {
        let mut running = self.running.get_mut(node).and_then(Option::take).context("not running")?;
        running.stop().with_context(|| running.log())
    }

    /// Has the daemon of a node read another configuration.
    pub fn reload(&mut self, node: usize, config: &(impl Display + ?Sized)) -> Result<()> {
        let Output { status, stderr, .. } = self.running(node)?.reload(&config.to_string())?;
        ensure!(status.success(), "the reload: {status} {}", String::from_utf8_lossy(&stderr));
        Ok(())
    }

    /// The daemon of a node.
    pub fn running(&mut self, node: usize) -> Result<&mut Running> {
        self.running.get_mut(node).and_then(Option::as_mut).context("not running")
    }

    /// Whether it was started, and neither killed nor stopped since.
    pub fn is_running(&self, node: usize) -> bool {
        self.running.get(node).is_some_and(Option::is_some)
    }

    pub fn node(&self, node: usize) -> Result<&Node> {
        self.lab.nodes.get(node).context("no such node")
    }

    /// Waits until `node` alone has sent the last five adverts.
    pub fn wait_for_master(&self, node: usize) -> Result<()> {
        self.poll(&format!("node {node} as the only master"), || Ok(self.observer.latest(5) == [node; 5]))
    }

    /// Waits until a node holds `address`, or does not.
    pub fn wait_for_address(&self, node: usize, address: IpAddr, held: bool) -> Result<()> {
        let word = if held { "on" } else { "off" };
        let (host, role) = (self.node(node)?, self.roles.get(node).context("no such role")?);
        let instances = &role.config.instances;
        let instance = instances.iter().find(|instance| instance.virtual_addresses().contains(&address));
        self.poll(&format!("{address} {word} node {node}"), || match instance {
            Some(instance) => Ok(role.daemon.holds(host, instance, address)? == held),
            None => Ok(self.lab.has_address(node, &address.to_string())? == held),
        })
    }

    /// Waits until the log of a node has this text: daemons log what they have done already.
    pub fn wait_for_log(&self, node: usize, text: &str) -> Result<()> {
        let running = self.running.get(node).and_then(Option::as_ref).context("not running")?;
        self.poll(&format!("`{text}` in the log of node {node}"), || Ok(running.log().contains(text)))
    }

    /// Isolates the nodes until node 1 answers a client for [`VIRTUAL_V4`], connects them again `moment` milliseconds
    /// later, and waits until node 0, of higher priority, has corrected the client's cache.
    pub fn split(&self, moment: u64) -> Result<()> {
        let address = VIRTUAL_V4.parse()?;
        self.lab.part(true)?;
        let client = ArpProber::new(&self.lab, address, Duration::from_millis(2))?;
        let cut = self.mark();
        until("answers of node 1", SETTLE, || client.answers(1, cut) > 100)?;
        outage(Duration::from_millis(moment));
        self.lab.part(false)?;
        self.wait_for_address(1, address.into(), false)?;
        self.observer.wait_until_mended([1, 0], address.into(), cut, Duration::from_secs(2))?;
        Ok(())
    }

    pub fn ensure_alive(&self) -> Result<()> {
        for (node, running) in self.running.iter().enumerate() {
            let alive = running.as_ref().is_none_or(Running::is_alive);
            ensure!(alive, "the daemon of node {node} has ended by itself");
        }
        Ok(())
    }

    /// Waits for a condition while the daemons live.
    fn poll(&self, what: &str, holds: impl Fn() -> Result<bool>) -> Result<()> {
        let instances = self.roles.iter().flat_map(|role| &role.config.instances);
        // Five adverts of the slowest instance, and the election before them.
        let adverts = instances.map(|instance| 2 * instance.master_down_interval()).max().unwrap_or_default();
        poll(what, SETTLE + adverts, || {
            self.ensure_alive().with_context(|| format!("waited for: {what}"))?;
            Ok(holds()?.then_some(()))
        })
    }

    /// Time to compare stamps with; stamps before it have earlier causes.
    pub fn mark(&self) -> u64 {
        realtime()
    }

    fn logs(&self) -> String {
        let log = |(node, running): (usize, &Option<Running>)| {
            running
                .as_ref()
                .map(|running| format!("--- node {node}, {:?}\n{}", running.daemon(), running.log()))
        };
        self.running.iter().enumerate().filter_map(log).collect::<Vec<_>>().join("\n")
    }
}
