//! Failover: the address moves to the heir when the master dies, leaves or fails, and comes back.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::arp::ArpProber;
use vrrp_tests::clock::{nanos, watch};
use vrrp_tests::daemon::{Config, Instance};
use vrrp_tests::flavour::{Flavour, serves};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::pair::{Pair, SETTLE};
use vrrp_tests::process::Directory;
use vrrp_tests::{cases, needs};

use crate::{INTERVAL, answers, asked, ensure_silent, is_clean, patience, role, settled, subject};

/// Allowance for an emulated machine, in addition to the protocol's own times.
const LATE: Duration = Duration::from_secs(1);

/// The host dies, the heir takes over in time, and the host gets the address back when it returns.
fn death(flavour: Flavour) -> Result<()> {
    let mode = subject();
    let instances = [0, 1].map(|node| flavour.instance(node).interval(INTERVAL));
    let address: IpAddr = *instances[1].virtual_addresses().last().context("no address")?;
    Pair::settled(instances.map(|instance| role(mode, instance)))?.check(|pair| {
        serves(pair, 0, address).context("at first")?;
        pair.observer.clear();
        watch(2 * patience());
        ensure_silent(pair, 1)?;
        let death = pair.mark();
        pair.die(0)?;
        let heard = pair.observer.wait_for_advert(1, death, SETTLE)?;
        let limit = nanos(patience() + LATE);
        ensure!(heard - death < limit, "noticed after {} ms", (heard - death) / 1_000_000);
        pair.wait_for_address(1, address, true)?;
        pair.observer.clear();
        pair.revive(0)?;
        pair.wait_for_master(0)?;
        serves(pair, 0, address).context("after the return")
    })
}

cases! {
    #[needs("lab")]
    fn a_death_is_noticed = death(Flavour::V3);
    fn a_death_is_noticed_over_ipv6 = death(Flavour::V6);
    fn a_death_is_noticed_with_a_virtual_mac_address = death(Flavour::Vmac);
}

/// Longest time without an answer by either node.
fn gap(prober: &ArpProber, since: u64) -> Duration {
    let asks = prober.asks(since);
    let mut longest = 0;
    let mut answered = since;
    for ask in asks.iter().filter(|ask| !ask.by.is_empty()) {
        longest = longest.max(ask.sent.saturating_sub(answered));
        answered = ask.sent;
    }
    Duration::from_nanos(longest)
}

/// The heir takes over before Master_Down_Interval.
fn ensure_handed_over(pair: &Pair, prober: &ArpProber, since: u64) -> Result<()> {
    answers(prober, 1, since)?;
    pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)?;
    let gap = gap(prober, since);
    let limit = patience() - Duration::from_millis(INTERVAL);
    ensure!(gap < limit, "no answer for {gap:?}; a death would take {:?}", patience());
    Ok(())
}

#[test]
#[needs("lab")]
fn a_stop_hands_over_and_leaves_nothing() -> Result<()> {
    let mode = subject();
    settled(mode)?.check(|pair| {
        let prober = asked(pair)?;
        let since = pair.mark();
        ensure!(pair.running(0)?.stop()?.success(), "node 0 has ended with an error");
        is_clean(pair)?;
        // Otherwise the harness would report it as a daemon that has ended by itself.
        pair.kill(0);
        ensure_handed_over(pair, &prober, since)
    })
}

#[test]
#[needs("lab")]
fn a_failed_check_moves_the_address_and_its_success_brings_it_back() -> Result<()> {
    let mode = subject();
    let directory = Directory::new()?;
    let well = directory.path().join("well");
    fs::write(&well, "")?;
    let blocks = format!(
        "vrrp_check service {{\n    exec /usr/bin/test -e {}\n    interval 0.3\n}}\n",
        well.display()
    );
    let tracking = Instance::v3(200).interval(INTERVAL).line("track_check {\n        service\n    }");
    let mut master = role(mode, tracking);
    master.config = Config { blocks, globals: vec!["script_user root".to_owned()], ..master.config };
    let heir = role(mode, Instance::v3(100).interval(INTERVAL));
    Pair::settled([master, heir])?.check(|pair| {
        let prober = asked(pair)?;
        let since = pair.mark();
        fs::remove_file(&well)?;
        ensure_handed_over(pair, &prober, since)?;
        pair.wait_for_master(1)?;
        let back = pair.mark();
        fs::write(&well, "")?;
        pair.observer.clear();
        pair.wait_for_master(0)?;
        answers(&prober, 0, back)
    })
}

#[test]
#[needs("lab")]
fn a_dead_link_moves_the_address_and_a_live_one_brings_it_back() -> Result<()> {
    let mode = subject();
    settled(mode)?.check(|pair| {
        let address = VIRTUAL_V4.parse()?;
        pair.lab.set_cable(0, false)?;
        pair.wait_for_master(1)?;
        pair.wait_for_address(0, address, false)?;
        pair.observer.clear();
        pair.lab.set_cable(0, true)?;
        pair.wait_for_master(0)?;
        pair.wait_for_address(0, address, true)?;
        pair.wait_for_address(1, address, false)
    })
}
