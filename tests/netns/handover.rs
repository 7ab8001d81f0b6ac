//! Planned handover, hardly noticed by a client that sends a request each millisecond.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use vrrp_tests::clock::watch;
use vrrp_tests::daemon::{Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::leave::{INTERVAL, Leaving, Scene, unnoticed};
use vrrp_tests::pair::Pair;
use vrrp_tests::{cases, needs};

use crate::roles;

fn leaves_unnoticed(leaving: Leaving) -> Result<()> {
    unnoticed(leaving, [Daemon::Vrrpx(Mode::Auto); 2])
}

cases! {
    #[needs("ours")]
    fn a_stop_is_not_noticed = leaves_unnoticed(Leaving::Stop);
    fn maintenance_is_not_noticed = leaves_unnoticed(Leaving::Maintenance);
    fn a_failover_is_not_noticed = leaves_unnoticed(Leaving::Failover);
    fn a_failed_check_is_not_noticed = leaves_unnoticed(Leaving::FailedCheck);
    fn a_lowered_priority_is_not_noticed = leaves_unnoticed(Leaving::LoweredPriority);
    fn a_better_node_is_not_noticed = leaves_unnoticed(Leaving::BetterNode);
}

#[test]
#[needs("ours")]
fn in_strict_order_the_address_is_unserved_until_the_heir_takes_over() -> Result<()> {
    let daemons = [Daemon::Vrrpx(Mode::Auto); 2];
    let mut scene = Scene::new(Leaving::Stop, daemons, INTERVAL, "handover strict")?;
    let outcome = scene.leave();
    let handover = outcome.map_err(|error| scene.pair.with_logs(&error))?;
    ensure!(handover.gap > Duration::from_millis(500), "a gap of only {:?}", handover.gap);
    Ok(())
}

/// No node is there to take over; the daemon would wait for 10 s.
#[test]
#[needs("ours")]
fn a_second_sigterm_ends_the_wait_for_an_heir() -> Result<()> {
    let lone = Instance::v3(255).interval(10_000).master();
    Pair::idle(roles(Daemon::Vrrpx(Mode::Auto), lone.clone(), lone))?.check(|pair| {
        pair.start(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        let process = pair.running(0)?.process();
        process.signal(Signal::SIGTERM)?;
        watch(Duration::from_millis(500));
        ensure!(process.is_alive(), "the daemon did not wait");
        process.signal(Signal::SIGTERM)?;
        process.wait(Duration::from_secs(5)).context("the second signal")?;
        ensure!(!pair.lab.has_address(0, VIRTUAL_V4)?, "the address is left behind");
        Ok(())
    })
}
