//! Restart of the master's daemon, as for an upgrade: ours by `--hot-restart`, others by SIGTERM and a start.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use super::{MASTER, Probes, cells, pair, patience};
use crate::bench::load::takeovers;
use crate::bench::{Cell, Figure, Plan, Row, Sheet, millis};
use crate::clock::{realtime, watch};
use crate::daemon::Daemon;

const INTERVALS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(10)];

pub(super) fn measure(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    for interval in INTERVALS {
        let values = cells(plan, "restart", |daemon| restart(daemon, interval));
        let measure = format!(
            "the master's daemon is started again, {interval:?} adverts: takeovers of the peer / longest gap at the \
             client"
        );
        sheet.add(&Row::new(measure, "0 / ≤ 3 ms", values))?;
    }
    Ok(())
}

fn restart(daemon: Daemon, interval: Duration) -> Result<Cell> {
    pair(daemon, interval)?.check(|pair| {
        let probes = Probes::new(&pair.lab)?;
        pair.observer.clear();
        let start = realtime();
        match daemon {
            Daemon::Vrrpx(_) => {
                ensure!(pair.hot_restart(MASTER, &[])?.success(), "the old process ended with an error");
            }
            _ => pair.restart(MASTER, Signal::SIGTERM)?,
        }
        watch(3 * patience(interval)? + Duration::from_secs(1));
        let nodes: Vec<usize> = pair.observer.adverts().iter().map(|advert| advert.1).collect();
        let (takeovers, gap) = (takeovers(&nodes), probes.gap(start)?);
        Ok(Cell::new(format!("{takeovers} / {} ms", millis(gap)))
            .with(Figure::count("takeovers", takeovers).at_most(0.0))
            .with(Figure::millis("longest gap", gap).at_most(100.0)))
    })
}
