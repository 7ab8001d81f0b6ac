//! A power failure of the master's machine.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::arp::ArpProber;
use vrrp_tests::clock::{realtime, until};
use vrrp_tests::daemon::Instance;
use vrrp_tests::lab::VIRTUAL_V4;

use crate::scene::{PERIOD, SETTLE, Scene};

/// Allowance for the heir's emulated processor.
const SLOW: Duration = Duration::from_secs(2);

#[test]
fn the_heir_answers_after_master_down_interval() -> Result<()> {
    for interval in [100, 1000] {
        let mut scene = Scene::new(1000)?;
        let of = |priority: u8| Instance::v3(priority).interval(interval);
        scene.start([of(150), of(100)])?;
        let client = ArpProber::new(&scene.lab, VIRTUAL_V4.parse()?, PERIOD)?;
        until("answers of machine 0", SETTLE, || client.answers(0, 0) > 50)?;
        let died = realtime();
        scene.power_off(0)?;
        until("answers of machine 1", SETTLE, || client.answers(1, died) > 20)?;
        let asks = client.asks(died);
        let first = asks.iter().find(|ask| ask.by.contains(&1)).context("no answer")?;
        let outage = Duration::from_nanos(first.sent.saturating_sub(died));
        let patience = of(100).master_down_interval();
        scene.report(&format!("{interval} ms | killed | {} ms", outage.as_millis()));
        ensure!(outage <= patience + SLOW, "no node answered for {outage:?}: {}", scene.log(1));
        ensure!(client.answers(0, first.sent) == 0, "a dead machine answers");
    }
    Ok(())
}
