//! Rows a, b, c, o: a dead host, and a clean stop, at 10 ms adverts; a dead host beside light work.
//!
//! The daemons take turns, one round each, so that changes of the machine's load affect all of them alike. In a round
//! the master's host dies (its cable first, so that no later advert is sent) and comes back and takes over; for rows a,
//! b and c it is then stopped, and comes back again.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Cell, Figure, Plan, Row, Samples, millis};
use crate::clock::{elapse, poll, realtime, watch};
use crate::daemon::{Config, Daemon, Instance};
use crate::lab::VIRTUAL_V4;
use crate::pair::{Pair, Role};
use crate::probe::Prober;
use crate::process::{Directory, Process};

const MASTER: usize = 0;
const HEIR: usize = 1;
const PROBE: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_millis(300);
/// Seconds beyond Master_Down_Interval from which a detection is late: an own hiccup has prolonged the silence.
const LATE: f64 = 0.005;

#[derive(Debug)]
struct Bench {
    pair: Pair,
    target: IpAddr,
    detection: Samples,
    death: Samples,
    stop: Samples,
    answered_twice: usize,
    /// Rounds in which the heir advertised while the master lived.
    false_takeovers: usize,
}

/// Measures all three rows.
pub fn rows(plan: &Plan) -> Result<Vec<Row>> {
    let rounds = if plan.quick { 5 } else { 40 };
    let mut benches = plan.daemons.iter().map(|&daemon| Bench::new(daemon)).collect::<Result<Vec<_>>>()?;
    for round in 1..=rounds {
        for bench in &mut benches {
            // Spreads the deaths over the whole advert interval.
            let phase = heir().advert_interval() * (round * 7 % rounds) / rounds;
            let done = bench.round(phase);
            done.map_err(|error| bench.pair.with_logs(&error.context(format!("round {round}"))))?;
        }
        eprintln!("failover: round {round} of {rounds}");
    }
    let heir = heir();
    let patience = heir.master_down_interval();
    let column = |cell: &dyn Fn(&Bench) -> Cell| benches.iter().map(cell).collect();
    Ok(vec![
        Row::new(
            "a: detection beyond Master_Down_Interval, 10 ms adverts, median / p95",
            "≤ 0.10 / 0.20 ms",
            column(&|bench| bench.detection.cell(1.0)),
        ),
        Row::new(
            format!("b: outage, dead host (Master_Down_Interval {} ms), median / p95", millis(patience)),
            format!("≤ {} ms", millis(patience + Duration::from_millis(1))),
            column(&|bench| bench.death.cell(patience.as_secs_f64() * 1e3 + 10.0)),
        ),
        Row::new(
            format!("c: outage, clean stop (skew {} ms), median / p95", millis(heir.skew())),
            "–",
            column(&|bench| bench.stop.cell(5.0)),
        ),
        Row::new(
            "probes answered by both nodes",
            "0",
            column(&|bench| {
                let twice = bench.answered_twice;
                Cell::new(twice.to_string()).with(Figure::count("probes", twice).at_most(0.0))
            }),
        ),
    ])
}

/// Measures a dead host while work at nice 10 runs on one processor, as a build does. A backup that was kept from
/// running for a moment may take it for a suspension, and wait longer.
///
/// # Errors
/// When a daemon does not fail over at all, or the work cannot be started.
pub fn beside_light_work(plan: &Plan) -> Result<Row> {
    let rounds = if plan.quick { 10 } else { 200 };
    let mut benches = plan.daemons.iter().map(|&daemon| Bench::new(daemon)).collect::<Result<Vec<_>>>()?;
    let mut work = Process::start_in(light_work(), Directory::new()?)?;
    for round in 1..=rounds {
        for bench in &mut benches {
            let phase = heir().advert_interval() * (round * 7 % rounds) / rounds;
            let done = bench.death(phase).and_then(|()| bench.come_back());
            done.map_err(|error| bench.pair.with_logs(&error.context(format!("round {round}"))))?;
        }
        eprintln!("beside light work: round {round} of {rounds}");
    }
    ensure!(work.ended()?.is_none(), "the work has ended: {}", work.log());
    let cell = |bench: &Bench| {
        let late = bench.detection.above(LATE);
        Cell::new(format!("{late}; {}; {}", bench.detection.summary(), bench.false_takeovers))
            .with(Figure::count("late", late).at_most(f64::from(rounds) / 10.0))
            .with(Figure::new("median", bench.detection.millis(50), "ms").at_most(1.0))
            .with(Figure::count("false takeovers", bench.false_takeovers).at_most(0.0))
    };
    Ok(Row::new(
        format!(
            "o: {rounds} dead hosts beside work at nice 10 on one processor: detections more than {} ms late; median / \
             p95; false takeovers",
            LATE * 1e3
        ),
        "≤ 1; –; 0",
        benches.iter().map(cell).collect(),
    ))
}

/// A shell, pinned to one processor, that starts a process for each file of /usr/bin, again and again.
fn light_work() -> Command {
    let each = "while :; do for file in /usr/bin/*; do sha256sum \"$file\"; done; done >/dev/null 2>&1";
    let mut command = Command::new("nice");
    command.args(["-n", "10", "taskset", "-c", "0", "sh", "-c", each]);
    command
}

fn heir() -> Instance {
    Instance::v3(100).interval(10)
}

impl Bench {
    fn new(daemon: Daemon) -> Result<Self> {
        let master = Role::new(daemon, Config::of(Instance::v3(200).interval(10)));
        let pair = Pair::settled([master, Role::new(daemon, Config::of(heir()))])?;
        Ok(Self {
            pair,
            target: VIRTUAL_V4.parse()?,
            detection: Samples::default(),
            death: Samples::default(),
            stop: Samples::default(),
            answered_twice: 0,
            false_takeovers: 0,
        })
    }

    fn round(&mut self, phase: Duration) -> Result<()> {
        self.death(phase)?;
        self.come_back()?;

        let prober = self.prober()?;
        elapse(phase);
        let start = realtime();
        self.pair.stop(MASTER)?;
        self.wait_for_heir(&prober, start)?;
        self.stop.push(prober.longest_outage(start).as_secs_f64());
        self.answered_twice += prober.probes().iter().filter(|probe| probe.twice).count();
        drop(prober);
        self.come_back()
    }

    fn death(&mut self, phase: Duration) -> Result<()> {
        let prober = self.prober()?;
        elapse(phase);
        let start = realtime();
        self.pair.die(MASTER)?;
        self.wait_for_heir(&prober, start)?;
        self.death.push(prober.longest_outage(start).as_secs_f64());
        self.detection.push(self.silence()? - heir().master_down_interval().as_secs_f64());
        self.answered_twice += prober.probes().iter().filter(|probe| probe.twice).count();
        let adverts = self.pair.observer.adverts();
        self.false_takeovers += usize::from(adverts.iter().any(|&(at, node, _)| node == HEIR && at < start));
        Ok(())
    }

    /// A prober that is answered by the master, once the heir's adverts have ended.
    fn prober(&self) -> Result<Prober> {
        let prober = Prober::new(&self.pair.lab, self.target, PROBE)?;
        poll("answers of the master", PATIENCE, || Ok((prober.served_by() == Some(MASTER)).then_some(())))?;
        // Announcements of the takeover continue for some milliseconds.
        elapse(QUIET);
        self.pair.observer.clear();
        self.pair.wait_for_master(MASTER)?;
        Ok(prober)
    }

    fn wait_for_heir(&self, prober: &Prober, start: u64) -> Result<()> {
        self.pair.observer.wait_for_advert(HEIR, start, PATIENCE)?;
        poll("answers of the heir", PATIENCE, || Ok(prober.heir(MASTER, start)))?;
        // A late loss would still count.
        watch(QUIET);
        Ok(())
    }

    /// Seconds from the last advert of the master to the first of the heir.
    fn silence(&self) -> Result<f64> {
        let adverts = self.pair.observer.adverts();
        let first = adverts.iter().position(|advert| advert.1 == HEIR).context("no advert of the heir")?;
        let last =
            adverts.iter().take(first).rev().find(|advert| advert.1 == MASTER).context("no last advert")?;
        let heard = adverts.get(first).context("no advert of the heir")?.0;
        Ok(Duration::from_nanos(heard - last.0).as_secs_f64())
    }

    fn come_back(&mut self) -> Result<()> {
        self.pair.observer.clear();
        self.pair.revive(MASTER)?;
        self.pair.wait_for_master(MASTER)
    }
}
