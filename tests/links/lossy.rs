//! A network that loses, delays, doubles and reorders frames, by netem.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::daemon::{Instance, Mode};
use vrrp_tests::lab::{INTERFACE, Lab};

use crate::{entry, start, wait_for};

/// Three adverts in a row are lost once in 8000 at 5 %: in a minute of 300 ms, hardly ever.
const INTERVAL: u64 = 300;
const WATCHED: Duration = Duration::from_secs(60);

#[test]
fn loss_jitter_and_disorder_move_nobody() -> Result<()> {
    let lab = Lab::new(2)?;
    let instance = |priority| vec![Instance::v3(priority).interval(INTERVAL)];
    let first = start(&lab, 0, Mode::Auto, instance(200))?;
    let second = start(&lab, 1, Mode::Auto, instance(100))?;
    wait_for(&first, "VI_1", "MASTER")?;
    wait_for(&second, "VI_1", "BACKUP")?;
    let rules = "delay 20ms 20ms loss 5% duplicate 5% reorder 25%";
    let words = format!("qdisc add dev {INTERFACE} root netem {rules}");
    lab.nodes[0].namespace.run("tc", &words.split(' ').collect::<Vec<_>>())?;
    let epoch = || {
        let status = second.status()?;
        entry(&status, "instances", "VI_1")?["epoch"].as_u64().context("no epoch")
    };
    let before = epoch()?;
    std::thread::sleep(WATCHED);
    ensure!(epoch()? == before, "{}", second.log());
    Ok(())
}
