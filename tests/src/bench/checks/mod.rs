//! `bench checks`: time from the death of a service to the heir's first answer, at 10 ms adverts, and the cost of many
//! checks.
//!
//! Ours checks the service by a `vrrp_check`, keepalived by a script each second with `fall 1`. The daemons take turns,
//! one round each. The heir's answer has the kernel's stamp. The death is the moment before the signal is sent, or for
//! a container the time of the engine's own event.

mod many;
mod victim;

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use self::victim::{Kind, Victim};
use super::{Cell, Figure, Plan, Row, Samples, Sheet};
use crate::clock::{elapse, poll, realtime};
use crate::daemon::{Config, Daemon, Instance};
use crate::lab::VIRTUAL_V4;
use crate::pair::{Pair, Role};
use crate::probe::Prober;

const MASTER: usize = 0;
const HEIR: usize = 1;
const PROBE: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_millis(300);
/// Interval of keepalived's scripts; deaths are spread over it.
const SECOND: Duration = Duration::from_secs(1);

/// All rows.
pub fn measure(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let rounds = if plan.quick { 3 } else { 10 };
    for kind in Kind::ALL {
        sheet.add(&latency(plan, kind, rounds)?)?;
    }
    many::measure(plan, sheet)
}

fn latency(plan: &Plan, kind: Kind, rounds: u32) -> Result<Row> {
    // A kind without a script has no bench of keepalived.
    let able = |daemon: Daemon| daemon != Daemon::Keepalived || kind.has_script();
    let benches = plan.daemons.iter().map(|&daemon| able(daemon).then(|| Bench::new(daemon, kind)));
    let mut benches = benches.map(Option::transpose).collect::<Result<Vec<_>>>()?;
    for round in 1..=rounds {
        for bench in benches.iter_mut().flatten() {
            let done = bench.round(SECOND * round / rounds);
            done.map_err(|error| bench.pair.with_logs(&error.context(format!("round {round}"))))?;
        }
        eprintln!("checks: {}, round {round} of {rounds}", kind.word());
    }
    let most = kind.goal().as_secs_f64() * 1e4;
    let cell = |bench: &Option<Bench>| bench.as_ref().map_or_else(Cell::none, |it| it.samples.cell(most));
    let values = benches.iter().map(cell).collect();
    let goal = format!("≤ {} ms", kind.goal().as_millis());
    Ok(Row::new(format!("{}, median / p95", kind.words()), goal, values))
}

#[derive(Debug)]
struct Bench {
    // Dropped before the network that it uses.
    victim: Victim,
    pair: Pair,
    target: IpAddr,
    samples: Samples,
}

impl Bench {
    fn new(daemon: Daemon, kind: Kind) -> Result<Self> {
        let mut pair = Pair::idle(
            [200, 100].map(|priority| Role::new(daemon, Config::of(Instance::v3(priority).interval(10)))),
        )?;
        let mut victim = Victim::new(kind)?;
        victim.start(&pair.node(MASTER)?.namespace)?;
        let role = pair.roles.first_mut().context("no role")?;
        role.environment = victim.environment();
        role.config = tracking(victim.block(daemon)?);
        let settled = pair.start(MASTER).and_then(|()| pair.start(HEIR));
        let settled = settled.and_then(|()| pair.wait_for_master(MASTER));
        settled.map_err(|error| pair.with_logs(&error))?;
        Ok(Self { victim, pair, target: VIRTUAL_V4.parse()?, samples: Samples::default() })
    }

    fn round(&mut self, phase: Duration) -> Result<()> {
        let prober = Prober::new(&self.pair.lab, self.target, PROBE)?;
        poll("answers of the master", PATIENCE, || Ok((prober.served_by() == Some(MASTER)).then_some(())))?;
        elapse(QUIET + phase);
        let start = realtime();
        let death = self.victim.die()?;
        let (_, answered) = poll("answers of the heir", PATIENCE, || Ok(prober.heir(MASTER, start)))?;
        let death = death.at(&self.victim)?;
        self.samples.push(Duration::from_nanos(answered.saturating_sub(death)).as_secs_f64());
        drop(prober);
        self.pair.observer.clear();
        self.victim.start(&self.pair.node(MASTER)?.namespace)?;
        self.pair.wait_for_master(MASTER)
    }
}

/// A master that tracks the check `service`.
fn tracking(blocks: String) -> Config {
    let instance = Instance::v3(200).interval(10).line("track_script {\n        service\n    }");
    Config { globals: globals(), blocks, instances: vec![instance] }
}

/// Scripts run as root, as the tools they call require.
pub(super) fn globals() -> Vec<String> {
    vec!["script_user root".to_owned()]
}

/// A `vrrp_script` or `vrrp_check`.
pub(super) fn block(keyword: &str, name: &str, lines: &[&str]) -> String {
    let mut block = format!("{keyword} {name} {{\n");
    for line in lines {
        // Writing to a string does not fail.
        let _infallible = writeln!(block, "    {line}");
    }
    block + "}\n"
}
