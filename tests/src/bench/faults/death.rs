//! Killed or suspended daemon of a master, and the nodes that answer for the address.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};

use super::{HEIR, INTERVALS, MASTER, Probes, cells, pair, patience};
use crate::bench::{Cell, Figure, Plan, Row, Sheet, millis};
use crate::clock::{outage, realtime, watch};
use crate::daemon::Daemon;

/// Minimum time of observation after the heir's first advert.
const AFTER: Duration = Duration::from_millis(700);

/// What the client saw: the worst of several rounds.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// How long both nodes answered the same ARP requests.
    twice: Duration,
    watched: Duration,
    gap: Duration,
    /// Requests that both nodes answered after the master had been continued.
    late: usize,
}

pub(super) fn killed(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    for interval in INTERVALS {
        let rounds = rounds(plan, interval);
        let values =
            cells(plan, "kill", |daemon| Ok(Seen::worst(rounds, || kill_all(daemon, interval))?.cell("")));
        let measure = format!(
            "SIGKILL to all processes of the master, {interval:?} adverts, worst of {rounds}: both answered ARP / \
             longest gap at the client"
        );
        sheet.add(&Row::new(measure, "0 / ≤ 3 ms", values))?;
    }
    Ok(())
}

pub(super) fn hung(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    for interval in INTERVALS {
        let rounds = rounds(plan, interval);
        let values = cells(plan, "hang", |daemon| {
            let seen = Seen::worst(rounds, || hang(daemon, interval))?;
            let cell = seen.cell(&format!(" / {}", seen.late));
            Ok(cell.with(Figure::count("late", seen.late).at_most(10.0)))
        });
        let measure = format!(
            "SIGSTOP to all processes of the master, {interval:?} adverts, worst of {rounds}: both answered ARP / \
             longest gap at the client / ARP requests that both answered after SIGCONT"
        );
        sheet.add(&Row::new(measure, "0 / ≤ 3 ms / ≤ 1", values))?;
    }
    Ok(())
}

fn rounds(plan: &Plan, interval: Duration) -> usize {
    if plan.quick || interval >= Duration::from_secs(1) { 1 } else { 5 }
}

fn kill_all(daemon: Daemon, interval: Duration) -> Result<Seen> {
    pair(daemon, interval)?.check(|pair| {
        let probes = Probes::new(&pair.lab)?;
        let start = realtime();
        pair.kill(MASTER);
        pair.observer.wait_for_advert(HEIR, start, 2 * patience(interval)?)?;
        watch(AFTER.max(patience(interval)?));
        Seen::since(start, &probes)
    })
}

fn hang(daemon: Daemon, interval: Duration) -> Result<Seen> {
    pair(daemon, interval)?.check(|pair| {
        let probes = Probes::new(&pair.lab)?;
        let start = realtime();
        let tree = pair.running(MASTER)?.process().tree();
        tree.iter().try_for_each(|pid| kill(*pid, Signal::SIGSTOP))?;
        pair.observer.wait_for_advert(HEIR, start, 2 * patience(interval)?)?;
        outage(AFTER);
        let seen = Seen::since(start, &probes)?;
        let again = realtime();
        tree.iter().try_for_each(|pid| kill(*pid, Signal::SIGCONT))?;
        watch(2 * patience(interval)? + AFTER);
        let late = probes.arp.asks(again).iter().filter(|ask| ask.by.len() > 1).count();
        Ok(Seen { late, gap: probes.gap(start)?, ..seen })
    })
}

impl Seen {
    fn since(start: u64, probes: &Probes) -> Result<Self> {
        let gap = probes.gap(start)?;
        let watched = Duration::from_nanos(realtime() - start);
        Ok(Self { twice: probes.arp.answered_twice(start), watched, gap, late: 0 })
    }

    fn worst(rounds: usize, see: impl Fn() -> Result<Self>) -> Result<Self> {
        let mut worst = Self::default();
        for _ in 0..rounds {
            let seen = see()?;
            worst.twice = worst.twice.max(seen.twice);
            worst.watched = worst.watched.max(seen.watched);
            worst.gap = worst.gap.max(seen.gap);
            worst.late = worst.late.max(seen.late);
        }
        Ok(worst)
    }

    fn cell(self, more: &str) -> Cell {
        let (twice, watched) = (self.twice.as_millis(), self.watched.as_millis());
        Cell::new(format!("{twice} ms in {watched} / {} ms{more}", millis(self.gap)))
            .with(Figure::millis("both answered", self.twice).at_most(20.0))
            .with(Figure::millis("longest gap", self.gap).at_most(100.0))
    }
}
