//! Who answers for the address while its master hangs, or has been killed.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use vrrp_tests::arp::ArpProber;
use vrrp_tests::clock::realtime;
use vrrp_tests::daemon::{Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::pair::Pair;

use crate::{ours, pair, roles};

const PERIOD: Duration = Duration::from_millis(2);
/// Longer than the patience of a peer at 100 ms adverts.
const AWHILE: Duration = Duration::from_millis(700);

fn asked(pair: &Pair) -> Result<ArpProber> {
    let prober = ArpProber::new(&pair.lab, VIRTUAL_V4.parse::<Ipv4Addr>()?, PERIOD)?;
    std::thread::sleep(AWHILE);
    ensure!(prober.answers(0, 0) > 100, "the master answers");
    Ok(prober)
}

/// From when node 1 is the master on, node 0 answers no more.
fn ensure_fenced(pair: &Pair, prober: &ArpProber, since: u64) -> Result<()> {
    let heir = pair.observer.wait_for_advert(1, since, Duration::from_secs(2))?;
    std::thread::sleep(AWHILE);
    ensure!(prober.answers(1, heir) > 100, "the heir does not answer");
    let answers = prober.answers(0, heir);
    ensure!(answers == 0, "node 0 has answered {answers} times after its heir's first advert");
    Ok(())
}

#[test]
fn a_killed_master_answers_no_more_when_its_heir_does() -> Result<()> {
    if !ours() {
        return Ok(());
    }
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        let prober = asked(pair)?;
        let since = realtime();
        pair.running(0)?.kill();
        ensure_fenced(pair, &prober, since)
    })
}

#[test]
fn a_hung_master_answers_no_more_and_finds_its_heir_when_it_returns() -> Result<()> {
    if !ours() {
        return Ok(());
    }
    let master = Instance::v3(200).line("nopreempt");
    Pair::settled_in_turn(roles(Daemon::Vrrpx(Mode::Auto), master, Instance::v3(100)))?.check(|pair| {
        let prober = asked(pair)?;
        let since = realtime();
        pair.running(0)?.process().signal(Signal::SIGSTOP)?;
        ensure_fenced(pair, &prober, since)?;
        let back = realtime();
        pair.running(0)?.process().signal(Signal::SIGCONT)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)?;
        std::thread::sleep(AWHILE);
        let answers = prober.answers(0, back);
        ensure!(answers <= 1, "node 0 has answered {answers} times after its return");
        let adverts = pair.observer.adverts();
        ensure!(adverts.iter().all(|advert| advert.0 < back || advert.1 == 1), "it has sent adverts");
        Ok(())
    })
}

#[test]
fn a_lone_master_that_hung_is_the_master_again() -> Result<()> {
    if !ours() {
        return Ok(());
    }
    let role = roles(Daemon::Vrrpx(Mode::Auto), Instance::v3(200), Instance::v3(100))[0].clone();
    Pair::settled([role])?.check(|pair| {
        let prober = asked(pair)?;
        pair.running(0)?.process().signal(Signal::SIGSTOP)?;
        std::thread::sleep(AWHILE);
        let silent = realtime();
        std::thread::sleep(AWHILE);
        ensure!(prober.answers(0, silent) == 0, "it answers without a lease");
        let back = realtime();
        pair.running(0)?.process().signal(Signal::SIGCONT)?;
        pair.observer.wait_for_advert(0, back, Duration::from_secs(2))?;
        std::thread::sleep(AWHILE);
        ensure!(prober.answers(0, back) > 100, "it does not answer");
        let status = pair.running(0)?.status()?;
        let instance = &status["instances"][0];
        ensure!(
            instance["state"] == "MASTER" && instance["reason"] == "returned",
            "it is {}, by {}",
            instance["state"],
            instance["reason"]
        );
        Ok(())
    })
}
