//! An address of the master is removed by hand.

use std::time::Duration;

use anyhow::Result;

use super::{MASTER, Probes, cells, pair};
use crate::bench::load::takeovers;
use crate::bench::{Cell, Figure, Plan, Row, Samples, Sheet};
use crate::clock::{realtime, watch};
use crate::daemon::Daemon;
use crate::lab::{INTERFACE, VIRTUAL_V4};

const INTERVAL: Duration = Duration::from_millis(100);
/// Below the number of removals that the daemon treats as persistent.
const TIMES: usize = 4;

pub(super) fn measure(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let values = cells(plan, "removal", remove);
    let measure = format!(
        "the address is removed by hand, {INTERVAL:?} adverts: longest gap at the client, median / p95 / takeovers"
    );
    sheet.add(&Row::new(measure, "≤ 10 ms / 0", values))
}

fn remove(daemon: Daemon) -> Result<Cell> {
    pair(daemon, INTERVAL)?.check(|pair| {
        let probes = Probes::new(&pair.lab)?;
        let mut gaps = Samples::default();
        pair.observer.clear();
        for _ in 0..TIMES {
            let start = realtime();
            pair.node(MASTER)?.namespace.ip(&format!("address del {VIRTUAL_V4}/24 dev {INTERFACE}"))?;
            watch(Duration::from_secs(3));
            gaps.push(probes.gap(start)?.as_secs_f64());
        }
        let nodes: Vec<usize> = pair.observer.adverts().iter().map(|advert| advert.1).collect();
        let takeovers = takeovers(&nodes);
        Ok(Cell::new(format!("{} / {takeovers}", gaps.summary()))
            .with(Figure::new("median", gaps.millis(50), "ms").at_most(100.0))
            .with(Figure::count("takeovers", takeovers).at_most(0.0)))
    })
}
