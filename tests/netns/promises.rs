//! Failovers, crashes and restarts within the bounds of the bench, in few rounds: a daemon that is ten times slower
//! than the goals fails here.

use std::time::Duration;

use anyhow::Result;
use vrrp_tests::bench::faults::Fault;
use vrrp_tests::bench::{Measure, Plan, Sheet};
use vrrp_tests::daemon::{Daemon, Mode};
use vrrp_tests::needs;
use vrrp_tests::starvation::but_for_starvation;

/// Ordinary threads wait for less on a machine that has nothing else to do.
const BUSY: Duration = Duration::from_millis(10);

fn within_bounds(measure: impl Fn(&Plan, &mut Sheet) -> Result<()>) -> Result<()> {
    let plan = Plan { daemons: vec![Daemon::Vrrpx(Mode::Native)], quick: true };
    but_for_starvation(BUSY, || {
        let mut sheet = Sheet::new(&plan, None)?;
        measure(&plan, &mut sheet)?;
        sheet.end()
    })
}

#[test]
#[needs("ours")]
fn a_dead_host_and_a_clean_stop() -> Result<()> {
    within_bounds(|plan, sheet| Measure::Failover.measure(plan, sheet))
}

#[test]
#[needs("ours")]
fn the_first_moments_of_a_takeover() -> Result<()> {
    within_bounds(|plan, sheet| Measure::Takeover.measure(plan, sheet))
}

#[test]
#[needs("ours")]
fn a_killed_daemon() -> Result<()> {
    within_bounds(|plan, sheet| Fault::Kill.measure(plan, sheet))
}

#[test]
#[needs("ours")]
fn a_hanging_daemon() -> Result<()> {
    within_bounds(|plan, sheet| Fault::Hang.measure(plan, sheet))
}

#[test]
#[needs("ours")]
fn a_hot_restart() -> Result<()> {
    within_bounds(|plan, sheet| Fault::Restart.measure(plan, sheet))
}
