//! Memory and descriptors of a daemon over many reloads and transitions.

use std::time::Duration;

use anyhow::{Result, ensure};
use vrrp_tests::bench::growth::{Holding, Rounds, after_reloads, after_transitions};
use vrrp_tests::daemon::{Daemon, Mode};
use vrrp_tests::needs;

/// KiB. Every second reload adds four checks: a leak of 15 KiB each would be 3000.
const BOUND: i64 = 400;

#[test]
#[needs("ours")]
fn reloads_leave_nothing_behind() -> Result<()> {
    // The daemon keeps 4096 events, four of each reload, and grows until it has them.
    let rounds = Rounds { before: 1100, ..rounds(100) };
    bounded(after_reloads(Daemon::Vrrpx(Mode::Auto), rounds)?)
}

#[test]
#[needs("ours")]
fn transitions_leave_nothing_behind() -> Result<()> {
    bounded(after_transitions(Daemon::Vrrpx(Mode::Auto), rounds(60))?)
}

fn rounds(count: u32) -> Rounds {
    Rounds { before: count, count, rest: Duration::ZERO }
}

fn bounded(grown: Holding) -> Result<()> {
    ensure!(grown.kibibytes <= BOUND && grown.descriptors <= 0, "the daemon has grown by {grown}");
    Ok(())
}
