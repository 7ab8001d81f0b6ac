//! Row f: the effect of malformed adverts for its VRID on a master.

use std::time::Duration;

use anyhow::Result;

use super::load::takeovers;
use super::{Cell, Figure, Plan, Row};
use crate::clock::{nanos, pace, realtime};
use crate::daemon::{Config, Daemon, Instance};
use crate::malformed::{Flaw, Forger};
use crate::pair::{Pair, Role};

const EVERY: Duration = Duration::from_millis(50);
const SPAN: Duration = Duration::from_secs(5);

/// Twenty a second, of all kinds in turn, at 100 ms adverts.
pub fn row(plan: &Plan) -> Result<Row> {
    let values = plan.daemons.iter().map(|&daemon| run(daemon)).collect::<Result<Vec<_>>>()?;
    Ok(Row::new(
        "f: 20 malformed adverts a second, 100 ms adverts, 5 s: takeovers / adverts a second of the master",
        "0 / 10",
        values,
    ))
}

fn run(daemon: Daemon) -> Result<Cell> {
    eprintln!("flood: {}", daemon.need());
    let role = |priority| Role::new(daemon, Config::of(Instance::v3(priority)));
    let pair = Pair::settled([role(200), role(100)])?;
    let forger = Forger::new(&pair.lab.client, 51)?;
    pair.observer.clear();
    let start = realtime();
    for flaw in Flaw::ALL.iter().cycle().take(usize::try_from(SPAN.as_millis() / EVERY.as_millis())?) {
        forger.send(*flaw)?;
        pace(EVERY);
    }
    let end = start + nanos(SPAN);
    let nodes: Vec<_> = pair
        .observer
        .adverts()
        .into_iter()
        .filter_map(|(at, node, _)| (start..end).contains(&at).then_some(node))
        .collect();
    let sent = u32::try_from(nodes.iter().filter(|&&node| node == 0).count())?;
    let (takeovers, rate) = (takeovers(&nodes), f64::from(sent) / SPAN.as_secs_f64());
    Ok(Cell::new(format!("{takeovers} / {rate:.1}"))
        .with(Figure::count("takeovers", takeovers).at_most(0.0))
        .with(Figure::new("adverts", rate, "1/s").at_least(9.0)))
}
