//! The fence: ARP answers of a master that hangs or has been killed, and the leftovers of a killed daemon.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::net::if_::if_nametoindex;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vrrp_tests::arp::ArpProber;
use vrrp_tests::clock::{elapse, poll, realtime, until, watch};
use vrrp_tests::daemon::{Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, SETTLE};
use vrrp_tests::probe::Prober;
use vrrp_tests::starvation::Starvation;

use crate::{pair, roles};

const PERIOD: Duration = Duration::from_millis(2);
/// Longer than a peer's Master_Down_Interval at 100 ms adverts.
const AWHILE: Duration = Duration::from_millis(700);

pub(crate) fn asked(pair: &Pair) -> Result<ArpProber> {
    let prober = ArpProber::new(&pair.lab, VIRTUAL_V4.parse::<Ipv4Addr>()?, PERIOD)?;
    let machine = Starvation::of_machine()?;
    machine.until("answers of the master", AWHILE, || prober.answers(0, 0) > 100)?;
    Ok(prober)
}

/// Node 0 does not answer after node 1 has become master.
pub(crate) fn ensure_fenced(pair: &Pair, prober: &ArpProber, since: u64) -> Result<()> {
    let machine = Starvation::of_machine()?;
    let heir = pair.observer.wait_for_advert(1, since, Duration::from_secs(2))?;
    watch(AWHILE);
    machine.until("answers of the heir", Duration::ZERO, || prober.answers(1, heir) > 100)?;
    let answers = prober.answers(0, heir);
    ensure!(answers == 0, "node 0 has answered {answers} times after its heir's first advert");
    Ok(())
}

#[test]
#[needs("ours")]
fn a_killed_master_answers_no_more_when_its_heir_does() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        let prober = asked(pair)?;
        let since = realtime();
        pair.running(0)?.kill();
        ensure_fenced(pair, &prober, since)
    })
}

#[test]
#[needs("ours")]
fn a_hung_master_answers_no_more_and_finds_its_heir_when_it_returns() -> Result<()> {
    let master = Instance::v3(200).line("nopreempt");
    Pair::settled_in_turn(roles(Daemon::Vrrpx(Mode::Auto), master, Instance::v3(100)))?.check(|pair| {
        let prober = asked(pair)?;
        let since = realtime();
        pair.running(0)?.process().signal(Signal::SIGSTOP)?;
        ensure_fenced(pair, &prober, since)?;
        let back = realtime();
        pair.running(0)?.process().signal(Signal::SIGCONT)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)?;
        watch(AWHILE);
        let answers = prober.answers(0, back);
        ensure!(answers <= 1, "node 0 has answered {answers} times after its return");
        let adverts = pair.observer.adverts();
        ensure!(adverts.iter().all(|advert| advert.0 < back || advert.1 == 1), "node 0 has sent adverts");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_lone_master_that_hung_is_the_master_again() -> Result<()> {
    let role = roles(Daemon::Vrrpx(Mode::Auto), Instance::v3(200), Instance::v3(100))[0].clone();
    Pair::settled([role])?.check(|pair| {
        let prober = asked(pair)?;
        pair.running(0)?.process().signal(Signal::SIGSTOP)?;
        elapse(AWHILE);
        let silent = realtime();
        watch(AWHILE);
        ensure!(prober.answers(0, silent) == 0, "node 0 answers without a lease");
        let (machine, back) = (Starvation::of_machine()?, realtime());
        pair.running(0)?.process().signal(Signal::SIGCONT)?;
        pair.observer.wait_for_advert(0, back, Duration::from_secs(2))?;
        machine.until("answers of node 0", AWHILE, || prober.answers(0, back) > 100)?;
        let status = pair.running(0)?.status()?;
        let instance = &status["instances"][0];
        ensure!(
            instance["state"] == "MASTER" && instance["reason"] == "resumed",
            "it is {}, by {}",
            instance["state"],
            instance["reason"]
        );
        Ok(())
    })
}

fn wait_until_gone(pair: &mut Pair) -> Result<()> {
    poll("addresses and pins of node 0 gone", Duration::from_secs(5), || {
        let gone = !pair.lab.has_address(0, VIRTUAL_V4)? && pair.running(0)?.pins().is_empty();
        Ok(gone.then_some(()))
    })
}

pub(crate) fn is_there(pid: Pid) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Name of a process, as ps prints it.
pub(crate) fn name(pid: i32) -> Result<String> {
    Ok(std::fs::read_to_string(format!("/proc/{pid}/comm"))?.trim().to_owned())
}

#[test]
#[needs("ours")]
fn the_guard_of_a_killed_daemon_removes_its_settings() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        let prober = asked(pair)?;
        let client = Prober::new(&pair.lab, VIRTUAL_V4.parse()?, PERIOD)?;
        let guard = pair.running(0)?.guard()?;
        ensure!(name(guard.as_raw())? == "vrrpx-guard", "the guard is called {}", name(guard.as_raw())?);
        ensure!(!pair.running(0)?.pins().is_empty(), "nothing is pinned");
        let (machine, since) = (Starvation::of_machine()?, realtime());
        pair.running(0)?.process().signal(Signal::SIGKILL)?;
        kill(guard, Signal::SIGTERM)?;
        ensure_fenced(pair, &prober, since)?;
        wait_until_gone(pair)?;
        poll("the end of the guard", Duration::from_secs(5), || Ok((!is_there(guard)).then_some(())))?;
        watch(AWHILE);
        let outage = client.longest_outage(since);
        let bound = Duration::from_millis(100) + machine.longest();
        ensure!(outage < bound, "the client has waited for {outage:?}");
        Ok(())
    })
}

/// The interface comes after the daemon.
#[test]
#[needs("ours")]
fn the_guard_removes_a_route_over_a_late_interface() -> Result<()> {
    let master = Instance::v3(200).line("virtual_routes {\n        198.51.100.0/24 dev late0\n    }");
    Pair::settled(roles(Daemon::Vrrpx(Mode::Auto), master, Instance::v3(100)))?.check(|pair| {
        pair.node(0)?
            .namespace
            .ip("link add late0 type veth peer name far0\nlink set far0 up\nlink set late0 up")?;
        let has_route = |pair: &Pair| {
            let shown = pair.node(0).and_then(|node| node.namespace.run("ip", &["route"]));
            shown.is_ok_and(|text| text.contains("198.51.100.0/24"))
        };
        poll("the route", Duration::from_secs(5), || Ok(has_route(pair).then_some(())))?;
        let index = pair.node(0)?.namespace.enter(|| Ok(if_nametoindex("late0")?))?;
        let file = pair.running(0)?.directory().join("guard");
        until("the route in the guard's plan", SETTLE, || {
            plan(&file).is_ok_and(|plan| leads_over(&plan, index))
        })?;
        pair.running(0)?.process().signal(Signal::SIGKILL)?;
        wait_until_gone(pair)?;
        ensure!(!has_route(pair), "the route is still there");
        Ok(())
    })
}

/// The half of the guard's file that is in force (`driver::cleanup_plan`).
fn plan(file: &Path) -> Result<Vec<u8>> {
    const HEADER: usize = 4096;
    let mut bytes = std::fs::read(file)?;
    let half = (bytes.len() - HEADER) / 2;
    let current = bytes.first().copied().context("an empty file")?;
    ensure!(matches!(current, 1 | 2), "there is no plan");
    Ok(bytes.drain(HEADER + usize::from(current - 1) * half..).take(half).collect())
}

/// Whether a request of the plan has this interface as the way out (RTA_OIF).
fn leads_over(plan: &[u8], index: u32) -> bool {
    let attribute = [&8_u16.to_ne_bytes()[..], &4_u16.to_ne_bytes(), &index.to_ne_bytes()].concat();
    plan.windows(attribute.len()).any(|bytes| bytes == attribute)
}

#[test]
#[needs("ours")]
fn the_guard_removes_addresses_on_sockets_too() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Socket))?.check(|pair| {
        let since = realtime();
        pair.running(0)?.process().signal(Signal::SIGKILL)?;
        pair.observer.wait_for_advert(1, since, Duration::from_secs(2))?;
        wait_until_gone(pair)
    })
}

#[test]
#[needs("ours")]
fn a_daemon_that_is_killed_and_started_again_is_not_disturbed_by_its_guard() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Native))?.check(|pair| {
        let before = pair.running(0)?.guard()?;
        pair.restart(0, Signal::SIGKILL)?;
        pair.observer.clear();
        pair.wait_for_master(0)?;
        ensure!(!is_there(before), "the guard of the dead daemon is still there");
        let after = poll("a guard", SETTLE, || Ok(pair.running(0)?.guard().ok()))?;
        ensure!(after != before, "there is no new guard");
        // The guard would remove the dead daemon's addresses by now.
        watch(Duration::from_secs(1));
        pair.wait_for_master(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        ensure!(pair.running(0)?.pins().len() == 1, "pins: {:?}", pair.running(0)?.pins());
        let rx_path = &pair.running(0)?.status()?["interfaces"][0]["receive_path"];
        ensure!(rx_path == "native", "the receive path is {rx_path}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn the_fence_holds_without_the_guard() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        let prober = asked(pair)?;
        let first = pair.running(0)?.guard()?;
        kill(first, Signal::SIGKILL)?;
        let second = poll("another guard", Duration::from_secs(5), || {
            Ok(pair.running(0)?.guard().ok().filter(|it| *it != first))
        })?;
        let since = realtime();
        pair.running(0)?.kill();
        // It is killed with the daemon, and may end a moment later; one that is alive would remove the address.
        until("the end of the other guard", SETTLE, || !is_there(second))?;
        ensure_fenced(pair, &prober, since)?;
        ensure!(pair.lab.has_address(0, VIRTUAL_V4)?, "the address has been removed");
        let answers = prober.asks(since);
        let twice = answers.iter().filter(|ask| ask.by.len() > 1).count();
        ensure!(twice == 0, "{twice} requests were answered twice");
        // The next daemon finds what is left.
        pair.start(0)?;
        pair.wait_for_master(0)
    })
}

#[test]
#[needs("ours")]
fn a_stop_leaves_nothing() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        let guard = pair.running(0)?.guard()?;
        let before = pair.running(0)?.pins();
        ensure!(before.len() == 1, "pins: {before:?}");
        pair.running(0)?.stop()?;
        ensure!(pair.running(0)?.pins().is_empty(), "pins: {:?}", pair.running(0)?.pins());
        ensure!(!is_there(guard), "the guard is still there");
        ensure!(!pair.lab.has_address(0, VIRTUAL_V4)?, "the address is still there");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_hot_restart_starts_a_new_guard() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        let before = pair.running(0)?.guard()?;
        ensure!(pair.hot_restart(0, &[])?.success(), "the old process ended with an error");
        let within = Duration::from_secs(5);
        let after =
            poll("another guard", within, || Ok(pair.running(0)?.guard().ok().filter(|it| *it != before)))?;
        ensure!(is_there(after) && !is_there(before), "guards: {before} before, {after} now");
        pair.running(0)?.process().signal(Signal::SIGKILL)?;
        wait_until_gone(pair)
    })
}
