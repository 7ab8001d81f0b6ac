//! A network that loses, delays, duplicates and reorders frames, by netem.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{realtime, watch};
use vrrp_tests::daemon::{Instance, Mode};
use vrrp_tests::lab::{INTERFACE, Lab};
use vrrp_tests::observe::Observer;

use crate::{entry, start, wait_for};

const INTERVAL: u64 = 100;
const WATCHED: Duration = Duration::from_secs(60);
/// Master_Down_Interval of the backup, whose priority is 100: three intervals and the skew. netem loses three adverts
/// in a row once in 8000, and then the backup has to take over.
const PATIENCE: Duration = Duration::from_millis(360);

#[test]
fn loss_jitter_and_disorder_cause_no_takeover() -> Result<()> {
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
    // Behind the lossy queue.
    let observer = Observer::new(&lab)?;
    let (before, since) = (epoch()?, realtime());
    watch(WATCHED);
    let taken = epoch()? - before;
    let adverts = observer.adverts();
    let times: Vec<u64> = adverts.iter().filter(|advert| advert.1 == 0).map(|advert| advert.0).collect();
    let gaps = times.windows(2).map(|pair| Duration::from_nanos(pair[1].saturating_sub(pair[0])));
    let longest = gaps.max().unwrap_or_default();
    ensure!(times.last().is_some_and(|last| *last > since), "the master is silent: {}", first.log());
    ensure!(
        taken == 0 || longest >= PATIENCE,
        "a takeover although no gap was longer than {longest:?}: {}",
        second.log()
    );
    Ok(())
}
