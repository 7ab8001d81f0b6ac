//! Measures what a client sees of faults, ours beside keepalived, in one run on one machine.
//!
//! Each module is some rows of the table: [`death`] daemons that are killed or stand still, [`leaving`] masters that go
//! on purpose, [`restart`] one that is started again, [`starved`] machines that have no time, [`joining`] a better node with many addresses, [`flooded`]
//! more adverts than anybody wants, [`removal`] an address that somebody removes. The client sends an echo request
//! each millisecond and asks by ARP each two.

mod death;
mod flooded;
mod joining;
mod leaving;
mod removal;
mod restart;
mod starved;

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::{Plan, Row, stats};
use crate::arp::ArpProber;
use crate::clock::until;
use crate::daemon::{Config, Daemon, Instance};
use crate::lab::{Lab, VIRTUAL_V4};
use crate::pair::{Pair, Role, SETTLE};
use crate::probe::Prober;

/// Between two echo requests, and between two ARP requests.
const ECHO: Duration = Duration::from_millis(1);
const ARP: Duration = Duration::from_millis(2);

const QUIET: Duration = Duration::from_millis(300);

const INTERVALS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_millis(100), Duration::from_millis(10)];

const MASTER: usize = 0;
const HEIR: usize = 1;

/// Rows of the table by their word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// SIGKILL to all processes of the master.
    Kill,
    /// SIGSTOP to all processes of the master, and SIGCONT later.
    Hang,
    /// The master stops, a check of it fails, a better node comes back.
    Leave,
    /// The master's daemon is started again.
    Restart,
    /// Busy loops, memory and disk.
    Load,
    /// A better node with 1000 addresses joins.
    Join,
    /// SIGSTOP to the backup, again and again.
    Pause,
    /// Adverts at full rate.
    Flood,
    /// An address is removed by hand.
    Removal,
}

impl Fault {
    pub const ALL: [(&'static str, Self); 9] = [
        ("kill", Self::Kill),
        ("hang", Self::Hang),
        ("leave", Self::Leave),
        ("restart", Self::Restart),
        ("load", Self::Load),
        ("join", Self::Join),
        ("pause", Self::Pause),
        ("flood", Self::Flood),
        ("removal", Self::Removal),
    ];

    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, fault)| *fault)
    }

    /// Measures it.
    ///
    /// # Errors
    /// When a daemon does not start or does not do what the measure needs.
    pub fn rows(self, plan: &Plan) -> Result<Vec<Row>> {
        let before = stats::steal();
        let mut rows = match self {
            Self::Kill => death::killed(plan)?,
            Self::Hang => death::hung(plan)?,
            Self::Leave => leaving::rows(plan)?,
            Self::Restart => restart::rows(plan)?,
            Self::Load => starved::loaded(plan)?,
            Self::Join => joining::rows(plan)?,
            Self::Pause => starved::paused(plan)?,
            Self::Flood => flooded::rows(plan)?,
            Self::Removal => removal::rows(plan)?,
        };
        let steal = stats::steal().saturating_sub(before);
        rows.iter_mut().for_each(|row| row.steal = steal);
        Ok(rows)
    }
}

fn instance(priority: u8, interval: Duration) -> Result<Instance> {
    Ok(Instance::v3(priority).interval(u64::try_from(interval.as_millis())?))
}

/// Two nodes of one kind, of which node 0 is the master.
fn pair(daemon: Daemon, interval: Duration) -> Result<Pair> {
    let roles = [instance(200, interval)?, instance(100, interval)?];
    Pair::settled(roles.map(|instance| Role::new(daemon, Config::of(instance))))
}

/// Longest time that a backup of the pair bears silence.
fn patience(interval: Duration) -> Result<Duration> {
    Ok(instance(100, interval)?.master_down_interval())
}

/// The client.
#[derive(Debug)]
struct Probes {
    echo: Prober,
    arp: ArpProber,
}

impl Probes {
    /// Ready when the master answers.
    fn new(lab: &Lab) -> Result<Self> {
        let target: Ipv4Addr = VIRTUAL_V4.parse()?;
        let probes =
            Self { echo: Prober::new(lab, target.into(), ECHO)?, arp: ArpProber::new(lab, target, ARP)? };
        until("answers of the master", SETTLE, || probes.echo.served_by() == Some(MASTER))?;
        // Announcements of the takeover are still going out for some milliseconds.
        sleep(QUIET);
        Ok(probes)
    }
}

/// One cell per daemon of the plan.
fn cells(plan: &Plan, what: &str, measure: impl Fn(Daemon) -> Result<String>) -> Result<Vec<String>> {
    let cell = |daemon: &Daemon| {
        eprintln!("{what}: {}", daemon.need());
        measure(*daemon)
    };
    plan.daemons.iter().map(cell).collect()
}
