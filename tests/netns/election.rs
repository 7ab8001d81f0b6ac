//! Elections: which node becomes master, and which one stays it.

use std::time::Duration;

use anyhow::{Result, ensure};
use vrrp_tests::clock::{nanos, watch};
use vrrp_tests::daemon::Instance;
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, SETTLE};

use crate::{pair, roles, subject};

/// Long enough for a start and an election at 100 ms adverts.
const LONG: Duration = Duration::from_secs(3);

#[test]
#[needs("subject")]
fn nopreempt_leaves_the_lower_master_in_place() -> Result<()> {
    let stubborn = Instance::v3(200).line("nopreempt");
    Pair::settled_in_turn(roles(subject(), stubborn, Instance::v3(100)))?.check(|pair| {
        pair.die(0)?;
        pair.wait_for_master(1)?;
        pair.observer.clear();
        pair.revive(0)?;
        watch(LONG);
        let adverts = pair.observer.adverts();
        ensure!(adverts.len() >= 20, "the master is silent: {} adverts", adverts.len());
        ensure!(adverts.iter().all(|advert| advert.1 == 1), "node 0 has sent adverts in spite of nopreempt");
        Ok(())
    })
}

#[test]
#[needs("subject")]
fn preempt_delay_delays_the_higher_priority() -> Result<()> {
    let patient = Instance::v3(200).line("preempt_delay 2");
    Pair::settled(roles(subject(), patient, Instance::v3(100)))?.check(|pair| {
        pair.die(0)?;
        pair.wait_for_master(1)?;
        let back = pair.mark();
        pair.revive(0)?;
        let heard = pair.observer.wait_for_advert(0, back, SETTLE)?;
        ensure!(heard - back >= nanos(Duration::from_secs(2)), "node 0 took over after {} ns", heard - back);
        pair.wait_for_master(0)
    })
}

#[test]
#[needs("subject")]
fn of_two_masters_the_lower_one_yields() -> Result<()> {
    pair(subject())?.check(|pair| {
        // An isolated master continues; the frames of both meet when the bridge forwards again.
        pair.lab.lan.ip("link set port0 nomaster")?;
        let cut = pair.mark();
        pair.observer.wait_for_advert(1, cut, SETTLE)?;
        pair.lab.lan.ip("link set port0 master br0")?;
        pair.observer.clear();
        pair.wait_for_master(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        pair.wait_for_address(1, VIRTUAL_V4.parse()?, false)
    })
}

/// Regardless of which node hears the other first.
#[test]
#[needs("ours")]
fn after_a_split_each_client_learns_the_master() -> Result<()> {
    pair(subject())?.check(|pair| {
        [0, 17, 34, 51, 68, 85].into_iter().try_for_each(|moment| pair.split(moment))?;
        for node in 0..2 {
            ensure!(!pair.running(node)?.log().contains("does not yield"), "it does, at the first advert");
        }
        Ok(())
    })
}

#[test]
#[needs("subject")]
fn an_owner_is_master_at_once() -> Result<()> {
    let owner = Instance::v3(255).master();
    Pair::settled(roles(subject(), owner, Instance::v3(100)))?.check(|pair| {
        ensure!(pair.observer.adverts().iter().all(|(_, node, advert)| (*node, advert.priority) == (0, 255)));
        Ok(())
    })
}

#[test]
#[needs("subject")]
fn startup_delay_keeps_a_node_out_of_the_election() -> Result<()> {
    const DELAY: Duration = Duration::from_secs(2);
    let mut roles = roles(subject(), Instance::v3(200), Instance::v3(100));
    roles[0].config.globals.push(format!("vrrp_startup_delay {}", DELAY.as_secs()));
    Pair::idle(roles)?.check(|pair| {
        pair.start(1)?;
        pair.wait_for_master(1)?;
        pair.observer.clear();
        let start = pair.mark();
        pair.start(0)?;
        let heard = pair.observer.wait_for_advert(0, start, SETTLE)?;
        ensure!(heard - start >= nanos(DELAY), "node 0 took over after {} ns", heard - start);
        pair.wait_for_master(0)
    })
}
