//! Senders that come and go leave room for the master in the table of peers.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_ebpf::wire::advert::{AdvertRepr, Dialect};
use vrrp_ebpf::wire::{ChecksumForm, Family};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::malformed::Forger;
use vrrp_tests::needs;
use vrrp_tests::packet::{Frame, addresses};
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::starvation::Starvation;

/// Ten advert intervals of the master.
const SOON: Duration = Duration::from_secs(1);

/// A short interval, and the longest one of version 3.
const CENTISECONDS: [u16; 2] = [10, 4095];

#[test]
#[needs("ours")]
fn eight_forged_sources_do_not_hide_the_master() -> Result<()> {
    for (mode, centiseconds) in
        [Mode::Auto, Mode::Socket].into_iter().flat_map(|it| CENTISECONDS.map(|at| (it, at)))
    {
        let roles = [200, 100].map(|it| Role::new(Daemon::Vrrpx(mode), Config::of(Instance::v3(it))));
        Pair::idle(roles)?
            .check(|pair| {
                pair.start(1)?;
                pair.wait_for_master(1)?;
                forge(pair, centiseconds)?;
                until("eight peers", SETTLE, || {
                    peers(pair).is_ok_and(|it| it.iter().filter(|it| it.starts_with("10.77.9.")).count() == 8)
                })?;
                pair.start(0)?;
                pair.wait_for_master(0)?;
                let own = pair.node(0)?.v4();
                let threads = Starvation::of_ordinary_threads()?;
                threads.until("the master among the peers", SOON, || {
                    peers(pair).is_ok_and(|it| it.contains(&own))
                })?;
                let before = steady(pair)?;
                threads.until("five steady adverts of it", SOON, || {
                    steady(pair).is_ok_and(|it| it >= before + 5)
                })?;
                let status = pair.running(1)?.status()?;
                ensure!(status["instances"][0]["master"] == *own, "{}", status["instances"][0]["master"]);
                Ok(())
            })
            .with_context(|| format!("{mode:?}, {centiseconds} centiseconds"))?;
    }
    Ok(())
}

/// Sends an advert of priority 1 from each of eight routers that do not exist.
fn forge(pair: &Pair, centiseconds: u16) -> Result<()> {
    (1..=8).try_for_each(|host| forge_one(pair, host, centiseconds, ChecksumForm::Pseudo))
}

/// Sends an advert of priority 1 from 10.77.9.`host`.
pub(crate) fn forge_one(pair: &Pair, host: u8, centiseconds: u16, form: ChecksumForm) -> Result<()> {
    let listed = addresses(Family::V4, 1);
    let dialect = Dialect::V3 { family: Family::V4, centiseconds };
    let advert = AdvertRepr::new(51, 1, dialect, &listed)?;
    let source = Ipv4Addr::new(10, 77, 9, host);
    let frame = Frame::to_group(Family::V4).source(source.into()).advert(&advert).checksum(form);
    Forger::new(&pair.lab.client, 51)?.send_frame(&frame.build())
}

/// Addresses of the peers of node 1.
pub(crate) fn peers(pair: &mut Pair) -> Result<Vec<String>> {
    let status = pair.running(1)?.status()?;
    let peers = status["instances"][0]["peers"].as_array().context("no peers")?;
    Ok(peers.iter().filter_map(|peer| peer["address"].as_str()).map(str::to_owned).collect())
}

/// Number of adverts that did not wake node 1.
pub(crate) fn steady(pair: &mut Pair) -> Result<u64> {
    let status = pair.running(1)?.status()?;
    let received = status["instances"][0]["counters"]["received"].as_array().context("no counters")?;
    let is_steady = |count: &&Value| count["word"] == "steady";
    Ok(received.iter().find(is_steady).and_then(|count| count["count"].as_u64()).unwrap_or_default())
}
