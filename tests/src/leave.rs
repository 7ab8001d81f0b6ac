//! Planned departure of a master, with a client that probes its address.
//!
//! Node 0 leaves in one of several ways; node 1 is its heir. Tests check which node answers, the bench measures the
//! gap.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::{poll, realtime, watch};
use crate::daemon::{Config, Daemon, Instance};
use crate::lab::VIRTUAL_V4;
use crate::pair::{Pair, Role, SETTLE};
use crate::probe::Prober;
use crate::process::Directory;
use crate::starvation::Starvation;

/// Reason for leaving.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leaving {
    /// Its daemon receives SIGTERM.
    Stop,
    /// A tracked file puts it into FAULT.
    FailedCheck,
    /// A tracked file lowers its priority below the heir's.
    LoweredPriority,
    /// The heir has the higher priority and comes back.
    BetterNode,
    /// An operator takes it out for maintenance.
    Maintenance,
    /// An operator has it fail over.
    Failover,
}

/// Outage and double answers that the client saw.
#[derive(Clone, Copy, Debug)]
pub struct Handover {
    /// Longest time without an answer, see [`Prober::longest_outage`].
    pub gap: Duration,
    /// Probes that both nodes answered.
    pub twice: usize,
}

/// Two roles, and the tracked file that makes node 0 leave.
#[derive(Debug)]
pub struct Scene {
    leaving: Leaving,
    directory: Directory,
    pub pair: Pair,
}

/// Milliseconds between adverts in tests. The heir waits for its skew of 609 ms, in which the address must be served.
pub const INTERVAL: u64 = 1000;

/// Longest gap, beside what threads are kept from running: the kernel's deliver answers, and probes. Usual is none.
const GAP_MAX: Duration = Duration::from_millis(20);

const PROBE: Duration = Duration::from_millis(1);

/// Long enough to see a late loss, and the removal of the old master's addresses.
const QUIET: Duration = Duration::from_millis(300);

/// Runs a departure of node 0 and checks what the client saw.
pub fn unnoticed(leaving: Leaving, daemons: [Daemon; 2]) -> Result<()> {
    let mut scene = Scene::new(leaving, daemons, INTERVAL, "")?;
    let threads = Starvation::of_ordinary_threads()?;
    let outcome = scene.leave();
    let handover = outcome.map_err(|error| scene.pair.with_logs(&error))?;
    let stood = threads.longest();
    ensure!(
        handover.gap < GAP_MAX + stood,
        "{leaving:?}: no node answered for {:?}, {stood:?}",
        handover.gap
    );
    ensure!(handover.twice == 0, "{leaving:?}: both nodes answered {} probes", handover.twice);
    Ok(())
}

impl Scene {
    /// A settled pair of `daemons` with adverts each `interval` milliseconds, and `line` in the instance of node 0.
    pub fn new(leaving: Leaving, daemons: [Daemon; 2], interval: u64, line: &str) -> Result<Self> {
        let directory = Directory::new()?;
        let file = directory.path().join("number");
        fs::write(&file, "0\n")?;
        let master = Instance::v3(150).interval(interval).line(line);
        let (master, weight) = match leaving {
            Leaving::FailedCheck => (master.line("track_file {\n        load\n    }"), 0),
            Leaving::LoweredPriority => (master.line("track_file {\n        load\n    }"), -1),
            Leaving::Stop | Leaving::BetterNode | Leaving::Maintenance | Leaving::Failover => (master, 0),
        };
        let blocks = format!("track_file load {{\n    file {}\n    weight {weight}\n}}\n", file.display());
        let heir = Instance::v3(if leaving == Leaving::BetterNode { 200 } else { 100 }).interval(interval);
        let roles = [
            Role::new(daemons[0], Config { blocks, ..Config::of(master) }),
            Role::new(daemons[1], Config::of(heir)),
        ];
        let pair = if leaving == Leaving::BetterNode {
            let mut pair = Pair::idle(roles)?;
            let alone = pair.start(0).and_then(|()| pair.wait_for_master(0));
            alone.map_err(|error| pair.with_logs(&error))?;
            pair
        } else {
            Pair::settled(roles)?
        };
        Ok(Self { leaving, directory, pair })
    }

    /// Has the heir be master once, so that node 0 knows of it.
    fn introduce(&mut self) -> Result<()> {
        self.steer(&["failover", "VI_1", "--force", "--for", "5m"])?;
        self.pair.wait_for_master(1)?;
        self.steer(&["priority", "VI_1", "reset"])?;
        self.pair.wait_for_master(0)
    }

    fn steer(&mut self, order: &[&str]) -> Result<String> {
        let output = self.pair.running(0)?.ask(order)?;
        let (reported, refused) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        ensure!(output.status.success(), "{order:?}: {refused}");
        Ok(reported)
    }

    /// Makes node 0 leave, and waits until the heir alone has the address.
    pub fn leave(&mut self) -> Result<Handover> {
        let target: IpAddr = VIRTUAL_V4.parse()?;
        if self.leaving == Leaving::Maintenance {
            self.introduce()?;
        }
        let prober = Prober::new(&self.pair.lab, target, PROBE)?;
        poll("answers of the master", SETTLE, || Ok((prober.served_by() == Some(0)).then_some(())))?;
        self.pair.observer.wait_for_quiet(SETTLE)?;
        self.pair.observer.clear();
        let start = realtime();
        let number = self.number();
        match self.leaving {
            Leaving::Stop => {
                ensure!(self.pair.stop(0)?.success(), "node 0 has ended with an error");
            }
            Leaving::FailedCheck => fs::write(&number, "1\n").context("the tracked file")?,
            Leaving::LoweredPriority => fs::write(&number, "100\n").context("the tracked file")?,
            Leaving::BetterNode => self.pair.start(1)?,
            Leaving::Maintenance => {
                let reported = self.steer(&["maintenance", "on", "VI_1"])?;
                ensure!(reported.contains(" is master after "), "{reported}");
            }
            Leaving::Failover => {
                let reported = self.steer(&["failover", "VI_1", "--force"])?;
                ensure!(reported.contains(" is master after "), "{reported}");
            }
        }
        self.pair.observer.wait_for_advert(1, start, SETTLE)?;
        poll("answers of the heir", SETTLE, || Ok(prober.heir(0, start)))?;
        self.pair.wait_for_address(1, target, true)?;
        self.pair.wait_for_address(0, target, false)?;
        watch(QUIET);
        ensure!(prober.served_by() == Some(1), "node {:?} answers at the end", prober.served_by());
        let twice = prober.probes().iter().filter(|probe| probe.twice).count();
        Ok(Handover { gap: prober.longest_outage(start), twice })
    }

    /// Makes node 0 the master again, for another round.
    pub fn come_back(&mut self) -> Result<()> {
        match self.leaving {
            Leaving::Stop => self.pair.start(0)?,
            Leaving::FailedCheck | Leaving::LoweredPriority => fs::write(self.number(), "0\n")?,
            Leaving::BetterNode => drop(self.pair.stop(1)?),
            Leaving::Maintenance => drop(self.steer(&["maintenance", "off", "VI_1"])?),
            Leaving::Failover => drop(self.steer(&["priority", "VI_1", "reset"])?),
        }
        self.pair.observer.clear();
        self.pair.wait_for_master(0)
    }

    fn number(&self) -> std::path::PathBuf {
        let folder: &Path = self.directory.path();
        folder.join("number")
    }
}
