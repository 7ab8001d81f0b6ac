//! Row h: reloads of a master, each with a change to another instance.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::load::takeovers;
use super::{Cell, Figure, Plan, Row, Samples};
use crate::clock::pace;
use crate::daemon::{Config, Daemon, Instance};
use crate::pair::{Pair, Role};

const INTERVAL: Duration = Duration::from_millis(10);

/// Between two reloads; keepalived takes some milliseconds for one and loses a signal that arrives meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

pub fn row(plan: &Plan) -> Result<Row> {
    let rounds: u8 = if plan.quick { 10 } else { 100 };
    let runs = plan.daemons.iter().map(|daemon| run(*daemon, rounds)).collect::<Result<Vec<_>>>()?;
    Ok(Row::new(
        format!(
            "h: {rounds} reloads that change another instance, 10 ms adverts: longest gap / p99 gap / takeovers"
        ),
        "≤ 20 ms / – / 0",
        runs.iter()
            .map(|(gaps, takeovers)| {
                let (longest, p99) = (gaps.millis(100), gaps.millis(99));
                Cell::new(format!("{longest:.1} / {p99:.1} ms / {takeovers}"))
                    .with(Figure::new("longest gap", longest, "ms").at_most(200.0))
                    .with(Figure::new("p99 gap", p99, "ms"))
                    .with(Figure::count("takeovers", *takeovers).at_most(0.0))
            })
            .collect(),
    ))
}

fn run(daemon: Daemon, rounds: u8) -> Result<(Samples, usize)> {
    eprintln!("reload: {} for {:?}", daemon.need(), PAUSE * u32::from(rounds));
    let instance = |priority| Instance::v3(priority).interval(10);
    let role = |priority| Role::new(daemon, Config::of(instance(priority)));
    Pair::settled([role(200), role(100)])?.check(|pair| {
        pair.observer.clear();
        for round in 0..rounds {
            // A VRID and an interval of its own: it affects only the node itself.
            let address = format!("10.77.0.{}/24", 100 + round % 50);
            let other = Instance::v3(100 + round).vrid(77).addresses(&[&address]);
            let config = Config { instances: vec![instance(200), other], ..Config::default() };
            let outcome = pair.running(0)?.reload(&config.to_string())?;
            ensure!(outcome.status.success(), "the reload was refused");
            pace(PAUSE);
        }
        let adverts = pair.observer.adverts();
        let watched: Vec<_> = adverts.iter().filter(|(_, _, advert)| advert.vrid == 51).collect();
        let nodes: Vec<usize> = watched.iter().map(|(_, node, _)| *node).collect();
        let master: Vec<u64> = watched.iter().filter(|(_, node, _)| *node == 0).map(|(at, ..)| *at).collect();
        let mut gaps = Samples::default();
        for (earlier, later) in master.iter().zip(master.iter().skip(1)) {
            gaps.push(Duration::from_nanos(later.saturating_sub(*earlier)).as_secs_f64());
        }
        ensure!(master.len() > 2, "the master is silent; its interval is {INTERVAL:?}");
        Ok((gaps, takeovers(&nodes)))
    })
}
