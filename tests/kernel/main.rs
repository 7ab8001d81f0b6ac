//! Guarantees on every kernel: the program loads, a death is noticed, a handover leaves no gap, a former master does
//! not answer, a hot restart causes no takeover. Real daemons in namespaces.
//!
//! `cargo xtask test --kernel` runs these in virtual machines with other kernels, for each receive path by
//! `VRRPX_SUBJECT`: `native`, `tcx`, `tc`, `generic`, `socket`. Adverts are sent each 300 ms and time limits are wide,
//! so that they hold under emulation; finer times are tested in `netns`.

mod failover;
mod fence;
mod load;
mod restart;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use vrrp_tests::arp::ArpProber;
use vrrp_tests::clock::{poll, until};
use vrrp_tests::daemon::{self, Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::pair::{Pair, Role, SETTLE};

const INTERVAL: u64 = 300;
/// Interval of the client's requests.
const PERIOD: Duration = Duration::from_millis(10);
/// Longer than a peer's Master_Down_Interval.
const AWHILE: Duration = Duration::from_millis(1500);

/// Receive path under test.
fn subject() -> Mode {
    match daemon::subject() {
        Daemon::Vrrpx(mode) => mode,
        Daemon::Keepalived | Daemon::Frr => Mode::Auto,
    }
}

fn role(mode: Mode, instance: Instance) -> Role {
    Role::new(Daemon::Vrrpx(mode), Config::of(instance))
}

/// Priorities 200 and 100.
fn settled(mode: Mode) -> Result<Pair> {
    Pair::settled([200, 100].map(|priority| role(mode, Instance::v3(priority).interval(INTERVAL))))
}

fn patience() -> Duration {
    Instance::v3(100).interval(INTERVAL).master_down_interval()
}

/// A client that sends ARP requests for the address of node 0.
fn asked(pair: &Pair) -> Result<ArpProber> {
    let prober = ArpProber::new(&pair.lab, VIRTUAL_V4.parse::<Ipv4Addr>()?, PERIOD)?;
    until("answers of node 0", SETTLE, || prober.answers(0, 0) > 20)?;
    Ok(prober)
}

/// Waits until a node answers repeatedly, from `since` on.
fn answers(prober: &ArpProber, node: usize, since: u64) -> Result<()> {
    until(&format!("answers of node {node}"), SETTLE, || prober.answers(node, since) > 20)
}

/// Node 0 has left neither address nor pin.
fn is_clean(pair: &mut Pair) -> Result<()> {
    poll("addresses and pins of node 0 gone", SETTLE, || {
        let gone = !pair.lab.has_address(0, VIRTUAL_V4)? && pair.running(0)?.pins().is_empty();
        Ok(gone.then_some(()))
    })
}

/// `node` sends no adverts from here on, while another node does.
fn ensure_silent(pair: &Pair, node: usize) -> Result<()> {
    let adverts = pair.observer.adverts();
    ensure!(adverts.iter().all(|advert| advert.1 != node), "node {node} has sent adverts");
    ensure!(!adverts.is_empty(), "there is no master");
    Ok(())
}
