//! Nodes short of CPU time, and nodes in a flood: neither causes a second master.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use vrrp_tests::arp::ArpProber;
use vrrp_tests::bench::load::Busy;
use vrrp_tests::clock::{outage, until, watch};
use vrrp_tests::daemon::{Config, Instance};
use vrrp_tests::flood::{Flood, Flooder};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::starvation::Starvation;

use crate::{roles, standing, subject};

#[test]
#[needs("ours")]
fn a_suspended_backup_does_not_take_over() -> Result<()> {
    let instance = |priority| Instance::v3(priority).interval(10);
    Pair::settled(roles(subject(), instance(200), instance(100)))?.check(|pair| {
        pair.observer.clear();
        let tree = pair.running(1)?.process().tree();
        for _ in 0..10 {
            tree.iter().try_for_each(|pid| kill(*pid, Signal::SIGSTOP))?;
            outage(Duration::from_millis(400));
            tree.iter().try_for_each(|pid| kill(*pid, Signal::SIGCONT))?;
            watch(Duration::from_millis(200));
        }
        pair.observer.ensure_only(0).context("while it is stopped")?;
        // It is still an heir.
        pair.die(0)?;
        pair.wait_for_master(1)
    })
}

#[test]
#[needs("ours")]
fn busy_processors_cause_no_takeover() -> Result<()> {
    let instance = |priority| Instance::v3(priority).interval(20);
    Pair::settled(roles(subject(), instance(200), instance(100)))?.check(|pair| {
        let arp = ArpProber::new(&pair.lab, VIRTUAL_V4.parse()?, Duration::from_millis(2))?;
        let processors = std::thread::available_parallelism()?.get();
        pair.observer.clear();
        let start = pair.mark();
        let loops: Vec<usize> = (0..4 * processors).map(|number| number % processors).collect();
        let busy = Busy::new(&loops)?;
        watch(Duration::from_secs(5));
        drop(busy);
        pair.observer.ensure_only(0).context("busy processors")?;
        ensure!(arp.answered_twice(start).is_zero(), "both have answered");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_better_node_with_many_addresses_takes_over_once() -> Result<()> {
    let excluded: Vec<String> =
        (0..400).map(|n: u16| format!("10.77.{}.{}/32", 128 + n / 250, n % 250)).collect();
    let block = format!("virtual_ipaddress_excluded {{\n        {}\n    }}", excluded.join("\n        "));
    let role = |priority| Role::new(subject(), Config::of(Instance::v3(priority).interval(10).line(&block)));
    Pair::idle([role(200), role(100)])?.check(|pair| {
        pair.start(1)?;
        pair.wait_for_master(1)?;
        let last = "10.77.129.149".parse()?;
        pair.wait_for_address(1, last, true)?;
        pair.observer.wait_for_quiet(SETTLE)?;
        pair.start(0)?;
        pair.wait_for_address(0, last, true)?;
        pair.wait_for_address(1, last, false)?;
        watch(Duration::from_millis(500));
        // Not counted on the wire, where an advert of the old master may cross the first one of the new one. The new
        // one may have been suspended and returned.
        let (better, old) = (standing(pair, 0)?, standing(pair, 1)?);
        let is_once = better.0 == "MASTER" && old == ("BACKUP".to_owned(), 3);
        ensure!(is_once, "more than one takeover: {better:?}, {old:?}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_flood_causes_no_takeover_and_hides_no_death() -> Result<()> {
    for flood in Flood::ALL {
        Pair::settled(roles(subject(), Instance::v3(200), Instance::v3(100)))?.check(|pair| {
            let flooder = Flooder::new(&pair.lab, flood, 51)?;
            until("a flood", SETTLE, || flooder.sent() > 1000)?;
            pair.observer.clear();
            let before = pair.running(0)?.adverts_sent()?;
            let machine = Starvation::of_machine()?;
            watch(Duration::from_secs(2));
            pair.observer.ensure_only(0).context(flood.word())?;
            let sent = pair.running(0)?.adverts_sent()? - before;
            // 20 are due; other processes may have used the processors for a while.
            let lost = u64::try_from(machine.longest().as_millis() / 100)?;
            ensure!(sent + lost >= 16, "{}: the master has sent only {sent} adverts", flood.word());
            let before = flooder.sent();
            pair.die(0)?;
            pair.wait_for_master(1).with_context(|| flood.word())?;
            ensure!(flooder.sent() > before, "{}: there was no flood at the death", flood.word());
            Ok(())
        })?;
    }
    Ok(())
}
