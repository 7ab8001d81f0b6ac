//! Rows d and e: overloaded processors.

use std::time::Duration;

use anyhow::Result;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::{Cell, Figure, Plan, Row, Samples};
use crate::clock::{realtime, watch};
use crate::daemon::{Config, Daemon, Instance};
use crate::pair::{Pair, Role};
use crate::worker::Workers;

const INTERVAL: Duration = Duration::from_millis(10);
const LOOPS: usize = 8;

/// Both daemons and eight busy loops on one processor. The observer may run anywhere: its stamps are made in the
/// senders' context.
pub fn one_busy(plan: &Plan) -> Result<Row> {
    let span = Duration::from_secs(if plan.quick { 8 } else { 40 });
    let runs = each(plan, Some(0), &[0; LOOPS], span)?;
    let expected = span.as_millis() / INTERVAL.as_millis();
    // A tenth of the adverts may be missing; the goal is a hundredth.
    let least = span.as_secs_f64() / INTERVAL.as_secs_f64() * 0.9;
    Ok(Row::new(
        format!(
            "d: daemons and {LOOPS} busy loops on one processor, {} s: adverts sent of {expected} / p99 gap / false \
             takeovers",
            span.as_secs()
        ),
        format!("≥ {} / ≤ 10.6 ms / 0", expected * 99 / 100),
        runs.iter()
            .map(|run| {
                let gap = run.gaps.millis(99);
                Cell::new(format!("{} / {gap:.1} ms / {}", run.sent, run.takeovers))
                    .with(Figure::count("sent", run.sent).at_least(least))
                    .with(Figure::new("p99 gap", gap, "ms").at_most(106.0))
                    .with(Figure::count("takeovers", run.takeovers).at_most(0.0))
            })
            .collect(),
    ))
}

/// Busy loops on every processor; daemons are not pinned.
pub fn all_busy(plan: &Plan) -> Result<Row> {
    let span = Duration::from_secs(if plan.quick { 10 } else { 60 });
    let processors = std::thread::available_parallelism()?.get();
    let loops: Vec<_> = (0..processors).flat_map(|cpu| [cpu; LOOPS / 2]).collect();
    let runs = each(plan, None, &loops, span)?;
    Ok(Row::new(
        format!(
            "e: {} busy loops on each processor, {} s: false takeovers (longest gap)",
            LOOPS / 2,
            span.as_secs()
        ),
        "0",
        runs.iter()
            .map(|run| {
                let longest = run.gaps.millis(100);
                Cell::new(format!("{} ({longest:.0} ms)", run.takeovers))
                    .with(Figure::count("takeovers", run.takeovers).at_most(0.0))
                    .with(Figure::new("longest gap", longest, "ms"))
            })
            .collect(),
    ))
}

#[derive(Debug)]
struct Run {
    sent: usize,
    gaps: Samples,
    takeovers: usize,
}

fn each(plan: &Plan, cpu: Option<usize>, loops: &[usize], span: Duration) -> Result<Vec<Run>> {
    let run = |&daemon: &Daemon| {
        eprintln!("load: {} for {} s", daemon.need(), span.as_secs());
        let role =
            |priority| Role { cpu, ..Role::new(daemon, Config::of(Instance::v3(priority).interval(10))) };
        let pair = Pair::settled([role(200), role(100)])?;
        let _busy = Busy::new(loops)?;
        pair.observer.clear();
        let start = realtime();
        watch(span);
        let end = start + crate::clock::nanos(span);
        let adverts: Vec<_> =
            pair.observer.adverts().into_iter().filter(|&(at, ..)| (start..end).contains(&at)).collect();
        let master: Vec<_> = adverts.iter().filter(|advert| advert.1 == 0).map(|advert| advert.0).collect();
        let mut gaps = Samples::default();
        for (earlier, later) in master.iter().zip(master.iter().skip(1)) {
            gaps.push(Duration::from_nanos(later - earlier).as_secs_f64());
        }
        let nodes: Vec<_> = adverts.iter().map(|advert| advert.1).collect();
        Ok(Run { sent: master.len(), gaps, takeovers: takeovers(&nodes) })
    };
    plan.daemons.iter().map(run).collect()
}

/// Number of times that node 1 begins to send. Node 0 lives throughout, so each is a false takeover.
pub(super) fn takeovers(nodes: &[usize]) -> usize {
    let before = [0].iter().chain(nodes);
    before.zip(nodes).filter(|&(&before, &now)| before == 0 && now == 1).count()
}

/// Busy threads, one per entry, each pinned to the processor it names, until dropped.
#[derive(Debug)]
pub struct Busy {
    _threads: Workers,
}

impl Busy {
    pub fn new(processors: &[usize]) -> Result<Self> {
        let mut threads = Workers::default();
        for &cpu in processors {
            let mut set = CpuSet::new();
            set.set(cpu)?;
            threads = threads.with(move |stop| {
                if sched_setaffinity(Pid::from_raw(0), &set).is_ok() {
                    while !stop.is_set() {
                        std::hint::spin_loop();
                    }
                }
            });
        }
        Ok(Self { _threads: threads })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_takeover_is_counted_once_however_many_adverts_it_has() {
        assert_eq!(takeovers(&[0, 0, 1, 1, 0, 1]), 2);
        assert_eq!(takeovers(&[1, 1]), 1);
        assert_eq!(takeovers(&[0, 0]), 0);
    }
}
