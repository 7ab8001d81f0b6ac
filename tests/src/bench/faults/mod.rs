//! Measures what a client sees of faults, ours beside keepalived, in one run on one machine.
//!
//! Each module is some rows of the table: [`death`] daemons that are killed or suspended, [`leaving`] masters that stop
//! on purpose, [`restart`] a daemon that is restarted, [`starved`] machines short of CPU time, [`joining`] a node of
//! higher priority with many addresses, [`flooded`] adverts at full rate, [`removal`] an address that is removed by
//! hand. The client sends an echo request each millisecond and an ARP request each two.

mod death;
mod flooded;
mod joining;
mod leaving;
mod removal;
mod restart;
mod starved;

use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{Cell, Plan, Sheet};
use crate::arp::ArpProber;
use crate::clock::{elapse, realtime, until};
use crate::daemon::{Config, Daemon, Instance};
use crate::lab::{Lab, VIRTUAL_V4};
use crate::pair::{Pair, Role, SETTLE};
use crate::probe::Prober;

/// Interval of echo requests.
const ECHO: Duration = Duration::from_millis(1);
/// Interval of ARP requests.
const ARP: Duration = Duration::from_millis(2);

const QUIET: Duration = Duration::from_millis(300);

const INTERVALS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_millis(100), Duration::from_millis(10)];

const MASTER: usize = 0;
const HEIR: usize = 1;

/// A row of the table, named by its word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// SIGKILL to all processes of the master.
    Kill,
    /// SIGSTOP to all processes of the master, and SIGCONT later.
    Hang,
    /// The master stops, a check of it fails, a node of higher priority comes back.
    Leave,
    /// The master's daemon is restarted.
    Restart,
    /// Load on processors, memory and disk.
    Load,
    /// A node of higher priority with 1000 addresses joins.
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

    /// Measures it. A value that cannot be measured is reported on standard error, and counted by the sheet.
    pub fn measure(self, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
        match self {
            Self::Kill => death::killed(plan, sheet),
            Self::Hang => death::hung(plan, sheet),
            Self::Leave => leaving::measure(plan, sheet),
            Self::Restart => restart::measure(plan, sheet),
            Self::Load => starved::loaded(plan, sheet),
            Self::Join => joining::measure(plan, sheet),
            Self::Pause => starved::paused(plan, sheet),
            Self::Flood => flooded::measure(plan, sheet),
            Self::Removal => removal::measure(plan, sheet),
        }
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

/// Longest silence that a backup of the pair tolerates.
fn patience(interval: Duration) -> Result<Duration> {
    Ok(instance(100, interval)?.master_down_interval())
}

/// The client's probes.
#[derive(Debug)]
struct Probes {
    echo: Prober,
    arp: ArpProber,
}

impl Probes {
    /// Returns when the master answers.
    fn new(lab: &Lab) -> Result<Self> {
        let target: Ipv4Addr = VIRTUAL_V4.parse()?;
        let probes =
            Self { echo: Prober::new(lab, target.into(), ECHO)?, arp: ArpProber::new(lab, target, ARP)? };
        until("answers of the master", SETTLE, || probes.echo.served_by() == Some(MASTER))?;
        // Announcements of the takeover continue for some milliseconds.
        elapse(QUIET);
        Ok(probes)
    }

    /// Longest time without an answer since `since` (CLOCK_REALTIME); waits for answers if there are none now.
    fn gap(&self, since: u64) -> Result<Duration> {
        let now = realtime();
        until("an answer", SETTLE, || self.echo.answered_since(now))?;
        Ok(self.echo.longest_outage(since))
    }
}

/// One value per daemon of the plan, measured one after the other.
fn cells(plan: &Plan, what: &str, measure: impl Fn(Daemon) -> Result<Cell>) -> Vec<Cell> {
    let cell = |daemon: &Daemon| {
        eprintln!("{what}: {}", daemon.need());
        cell(what, *daemon, measure(*daemon))
    };
    plan.daemons.iter().map(cell).collect()
}

/// As [`cells`], measured at the same time.
fn cells_side_by_side(plan: &Plan, what: &str, measure: impl Fn(Daemon) -> Result<Cell> + Sync) -> Vec<Cell> {
    let measure = &measure;
    thread::scope(|scope| {
        let start = |daemon: &Daemon| {
            let daemon = *daemon;
            eprintln!("{what}: {}", daemon.need());
            scope.spawn(move || cell(what, daemon, measure(daemon)))
        };
        let running: Vec<_> = plan.daemons.iter().map(start).collect();
        // A panic of the thread has been printed already.
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Cell::failed())).collect()
    })
}

/// A failed measurement does not stop the others.
fn cell(what: &str, daemon: Daemon, measured: Result<Cell>) -> Cell {
    measured.unwrap_or_else(|error| {
        eprintln!("{what}: {}: {error:#}", daemon.need());
        Cell::failed()
    })
}
