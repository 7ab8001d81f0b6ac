//! Row g: CPU time of a backup that receives the adverts of 250 steady masters.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;

use super::{Cell, Figure, Plan, Row};
use crate::clock::{elapse, until, watch};
use crate::daemon::{Config, Daemon, Instance};
use crate::pair::{Pair, Role, SETTLE};

const INSTANCES: u8 = 250;

/// 250 instances at 100 ms, master and backup of the same kind.
pub fn row(plan: &Plan) -> Result<Row> {
    let span = Duration::from_secs(if plan.quick { 5 } else { 20 });
    let goal = 0.05 * span.as_secs_f64() / 20.0;
    let values = plan.daemons.iter().map(|&daemon| run(daemon, span, goal)).collect::<Result<Vec<_>>>()?;
    Ok(Row::new(
        format!("g: CPU of a backup, {INSTANCES} instances at 100 ms, per {} s", span.as_secs()),
        format!("≤ {goal:.3} s"),
        values,
    ))
}

fn run(daemon: Daemon, span: Duration, goal: f64) -> Result<Cell> {
    eprintln!("backup: {} for {} s", daemon.need(), span.as_secs());
    let role = |priority| {
        let instance = |vrid: u8| {
            let mut address = String::new();
            // Writing to a string does not fail.
            let _infallible = write!(address, "10.78.0.{vrid}/32");
            Instance::v3(priority).vrid(vrid).addresses(&[&address])
        };
        Role::new(daemon, Config { instances: (1..=INSTANCES).map(instance).collect(), ..Config::default() })
    };
    let mut pair = Pair::idle([role(200), role(100)])?;
    pair.start(0)?;
    until("a master of all instances", 2 * SETTLE, || masters(&pair, 0) == usize::from(INSTANCES))?;
    pair.start(1)?;
    // The backup reads its configuration and settles; that work is not part of the measurement.
    elapse(Duration::from_secs(3));
    pair.observer.clear();
    let before = pair.running(1)?.cpu_time()?;
    watch(span);
    let used = pair.running(1)?.cpu_time()?.saturating_sub(before);
    let heard = pair.observer.adverts().len();
    let strays = masters(&pair, 1);
    let note = if strays == 0 { String::new() } else { format!(", {strays} instances taken over") };
    Ok(Cell::new(format!("{:.3} s ({heard} adverts{note})", used.as_secs_f64()))
        .with(Figure::new("CPU", used.as_secs_f64(), "s").at_most(10.0 * goal))
        .with(Figure::count("taken over", strays).at_most(0.0)))
}

/// Number of instances whose adverts `node` has sent.
fn masters(pair: &Pair, node: usize) -> usize {
    let adverts = pair.observer.adverts();
    let mut vrids: Vec<_> =
        adverts.iter().filter(|advert| advert.1 == node).map(|advert| advert.2.vrid).collect();
    vrids.sort_unstable();
    vrids.dedup();
    vrids.len()
}
