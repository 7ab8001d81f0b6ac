//! Adverts at full rate, of kinds that no daemon may act upon.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{HEIR, MASTER, cells, pair, patience};
use crate::bench::load::takeovers;
use crate::bench::{Cell, Figure, Plan, Row, Sheet, millis};
use crate::clock::{elapse, realtime, watch};
use crate::daemon::Daemon;
use crate::flood::{Flood, Flooder};
use crate::pair::Pair;

const VRID: u8 = 51;
const INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn measure(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let span = Duration::from_secs(if plan.quick { 3 } else { 10 });
    for flood in Flood::ALL {
        let values = cells(plan, flood.word(), |daemon| run(daemon, flood, span));
        let measure = format!(
            "adverts at full rate: {}, {INTERVAL:?} adverts, {} s: takeovers / longest gap between adverts of the master \
             / CPU of its daemon, of the backup's / excess of a real failover (frames a second)",
            flood.word(),
            span.as_secs(),
        );
        sheet.add(&Row::new(measure, format!("0 / {} ms / ≤ 1 % / ≤ 2 ms", INTERVAL.as_millis()), values))?;
    }
    Ok(())
}

fn run(daemon: Daemon, flood: Flood, span: Duration) -> Result<Cell> {
    pair(daemon, INTERVAL)?.check(|pair| {
        let flooder = Flooder::new(&pair.lab, flood, VRID)?;
        // New events are logged once; let that pass.
        elapse(Duration::from_secs(1));
        pair.observer.clear();
        let (sent, used, start) = (flooder.sent(), cpu_times(pair)?, realtime());
        watch(span);
        let (sent, end) = (flooder.sent() - sent, realtime());
        let took = Duration::from_nanos(end - start).as_secs_f64();
        let now = cpu_times(pair)?;
        let share = |node: usize| now[node].saturating_sub(used[node]).as_secs_f64() / took * 100.0;
        let (master, backup) = (share(MASTER), share(HEIR));
        let adverts: Vec<(u64, usize)> =
            pair.observer.adverts().iter().filter(|advert| advert.0 < end).map(|it| (it.0, it.1)).collect();
        let nodes: Vec<usize> = adverts.iter().map(|(_, node)| *node).collect();
        let gap =
            longest_gap(adverts.iter().filter(|(_, node)| *node == MASTER).map(|(at, _)| *at), start, end);
        pair.die(MASTER)?;
        let excess = match pair.observer.wait_for_advert(
            HEIR,
            end,
            3 * patience(INTERVAL)? + Duration::from_secs(3),
        ) {
            Ok(at) => {
                let adverts = pair.observer.adverts();
                let last = adverts.iter().rev().find(|advert| advert.1 == MASTER && advert.0 < at);
                let silence = Duration::from_nanos(at - last.context("no last advert of the master")?.0);
                Some(silence.saturating_sub(patience(INTERVAL)?))
            }
            Err(_) => None,
        };
        let rate = u32::try_from(sent).map_or(f64::NAN, f64::from) / took;
        let takeovers = takeovers(&nodes);
        let late = excess.map_or("never".to_owned(), |excess| format!("{} ms", millis(excess)));
        let text = format!(
            "{takeovers} / {} ms / {master:.1}, {backup:.1} % / {late} ({:.0} k)",
            millis(gap),
            rate / 1e3
        );
        let excess = excess.map_or(f64::NAN, |excess| excess.as_secs_f64() * 1e3);
        Ok(Cell::new(text)
            .with(Figure::count("takeovers", takeovers).at_most(0.0))
            .with(Figure::millis("longest gap", gap).at_most(1000.0))
            .with(Figure::new("CPU of the master", master, "%").at_most(10.0))
            .with(Figure::new("CPU of the backup", backup, "%").at_most(10.0))
            .with(Figure::new("excess", excess, "ms").at_most(20.0))
            .with(Figure::new("frames", rate, "1/s")))
    })
}

/// CPU time of the master's daemon and of the backup's.
fn cpu_times(pair: &mut Pair) -> Result<[Duration; 2]> {
    Ok([pair.running(MASTER)?.cpu_time()?, pair.running(HEIR)?.cpu_time()?])
}

/// Longest gap between `stamps`, from `start` to `end`.
fn longest_gap(stamps: impl Iterator<Item = u64>, start: u64, end: u64) -> Duration {
    let mut last = start;
    let gaps = stamps.chain([end]).map(|at| at.saturating_sub(std::mem::replace(&mut last, at)));
    Duration::from_nanos(gaps.max().unwrap_or(0))
}
