//! The fence: a node with a hung or dead daemon does not answer for addresses that its heir has.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use vrrp_tests::arp::ArpProber;
use vrrp_tests::clock::watch;
use vrrp_tests::daemon::Instance;
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, SETTLE};

use crate::{AWHILE, INTERVAL, answers, asked, is_clean, role, settled, subject};

/// Node 0 does not answer after node 1 has become master, and no request is answered by both.
fn ensure_fenced(pair: &Pair, prober: &ArpProber, since: u64) -> Result<()> {
    let heir = pair.observer.wait_for_advert(1, since, SETTLE)?;
    answers(prober, 1, heir)?;
    watch(AWHILE);
    let count = prober.answers(0, heir);
    ensure!(count == 0, "node 0 has answered {count} times after its heir's first advert");
    ensure!(prober.answered_twice(since).is_zero(), "both have answered");
    Ok(())
}

#[test]
#[needs("lab", "program")]
fn a_killed_master_answers_no_more_when_its_heir_does() -> Result<()> {
    let mode = subject();
    settled(mode)?.check(|pair| {
        let prober = asked(pair)?;
        let since = pair.mark();
        // The guard too, so that the addresses stay.
        pair.running(0)?.kill();
        ensure_fenced(pair, &prober, since)?;
        ensure!(pair.lab.has_address(0, VIRTUAL_V4)?, "the address has been removed");
        // The next daemon with the same directory finds what is left.
        pair.restart(0, Signal::SIGKILL)?;
        pair.observer.clear();
        pair.wait_for_master(0)?;
        answers(&prober, 0, pair.mark())?;
        ensure!(pair.running(0)?.stop()?.success(), "node 0 has ended with an error");
        is_clean(pair)
    })
}

#[test]
#[needs("lab", "program")]
fn a_hung_master_answers_no_more_and_finds_its_heir_when_it_returns() -> Result<()> {
    let mode = subject();
    let master = Instance::v3(200).interval(INTERVAL).line("nopreempt");
    let heir = Instance::v3(100).interval(INTERVAL);
    Pair::settled_in_turn([master, heir].map(|instance| role(mode, instance)))?.check(|pair| {
        let prober = asked(pair)?;
        let since = pair.mark();
        pair.running(0)?.process().signal(Signal::SIGSTOP)?;
        ensure_fenced(pair, &prober, since)?;
        let back = pair.mark();
        pair.running(0)?.process().signal(Signal::SIGCONT)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)?;
        watch(AWHILE);
        let count = prober.answers(0, back);
        ensure!(count <= 1, "node 0 has answered {count} times after its return");
        let adverts = pair.observer.adverts();
        ensure!(adverts.iter().all(|advert| advert.0 < back || advert.1 == 1), "node 0 has sent adverts");
        Ok(())
    })
}

/// With a BPF program or without one.
#[test]
#[needs("lab")]
fn the_guard_of_a_killed_daemon_removes_its_settings() -> Result<()> {
    let mode = subject();
    settled(mode)?.check(|pair| {
        let prober = asked(pair)?;
        let since = pair.mark();
        pair.running(0)?.process().signal(Signal::SIGKILL)?;
        is_clean(pair)?;
        let heir = pair.observer.wait_for_advert(1, since, SETTLE)?;
        answers(&prober, 1, heir)?;
        let twice = prober.answered_twice(heir);
        ensure!(twice < Duration::from_millis(100), "both have answered for {twice:?}");
        Ok(())
    })
}
