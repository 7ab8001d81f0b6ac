//! Links common in the field and rare on test machines: VLANs, bonds, bridges, cards, a lossy network, IPVS. Real
//! daemons in namespaces.
//!
//! `cargo xtask test --kernel` runs these in virtual machines, which have the modules 8021q, bonding, sch_netem and
//! ip_vs. They are not part of a plain `cargo test`. Time limits are wide, so that they hold under emulation.

mod bonds;
mod bridges;
mod cards;
mod ipvs;
mod lossy;
mod vlans;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_tests::arp::ArpProber;
use vrrp_tests::clock::{elapse, poll, realtime, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, Running};
use vrrp_tests::lab::{Lab, VIRTUAL_V4};

const INTERVAL: u64 = 300;
/// Longer than a peer's Master_Down_Interval.
const AWHILE: Duration = Duration::from_millis(1500);
/// Time for start and election under emulation.
const SETTLE: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_millis(10);

fn start(lab: &Lab, node: usize, mode: Mode, instances: Vec<Instance>) -> Result<Running> {
    let config = Config { instances, ..Config::default() };
    Daemon::Vrrpx(mode).start(lab.nodes.get(node).context("no node")?, &config)
}

/// An entry of a list in the status, by name.
fn entry<'a>(status: &'a Value, list: &str, name: &str) -> Result<&'a Value> {
    let all = status[list].as_array().with_context(|| format!("no {list}: {status}"))?;
    all.iter().find(|it| it["name"] == name).with_context(|| format!("no {name}: {status}"))
}

fn state(running: &Running, instance: &str) -> Result<String> {
    let status = running.status()?;
    Ok(entry(&status, "instances", instance)?["state"].as_str().unwrap_or_default().to_owned())
}

fn rx_path(running: &Running, interface: &str) -> Result<String> {
    let status = running.status()?;
    Ok(entry(&status, "interfaces", interface)?["receive_path"].as_str().unwrap_or_default().to_owned())
}

fn wait_for(running: &Running, instance: &str, wanted: &str) -> Result<()> {
    let reached = poll(&format!("{instance} to be {wanted}"), SETTLE, || {
        Ok(state(running, instance).ok().filter(|state| state == wanted))
    });
    reached.map(drop).with_context(|| running.log())
}

/// All processes of node 0 are killed: node 1 becomes master, and node 0 no longer answers.
fn dies_fenced(lab: &Lab, mut master: Running, heir: &Running, instance: &str) -> Result<()> {
    let prober = ArpProber::new(lab, VIRTUAL_V4.parse::<Ipv4Addr>()?, PERIOD)?;
    poll("answers of node 0", SETTLE, || Ok((prober.answers(0, 0) > 20).then_some(())))?;
    master.kill();
    wait_for(heir, instance, "MASTER")?;
    // Time for answers on their way.
    elapse(PERIOD * 5);
    let since = realtime();
    watch(AWHILE);
    let answers = prober.answers(1, since);
    ensure!(answers > 20, "the heir has answered {answers} times in {AWHILE:?}: {}", heir.log());
    let answers = prober.answers(0, since);
    ensure!(answers == 0, "node 0 has answered {answers} times beside its heir");
    Ok(())
}
