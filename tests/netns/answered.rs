//! Virtual addresses in `vrrpx status` as a client on the wire finds them, and the time of a takeover that a backup
//! announces.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_tests::arp::ArpProber;
use vrrp_tests::clock::{elapse, pace, poll, until};
use vrrp_tests::daemon::{Daemon, Instance, Mode};
use vrrp_tests::lab::{INTERFACE, VIRTUAL_V4};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, SETTLE};
use vrrp_tests::starvation::Starvation;

use crate::roles;

const OURS: Daemon = Daemon::Vrrpx(Mode::Auto);

/// Enough requests of the client to tell answers from silence.
const REQUESTS: usize = 20;

fn address(pair: &mut Pair, node: usize) -> Result<Value> {
    Ok(pair.running(node)?.status()?["instances"][0]["addresses"][0].clone())
}

/// Waits until the client has sent enough requests, and returns how many of them node 0 has answered.
fn answers(pair: &Pair, prober: &ArpProber) -> Result<usize> {
    let since = pair.mark();
    until("requests", SETTLE, || prober.asks(since).len() > REQUESTS)?;
    Ok(prober.answers(0, since))
}

#[test]
#[needs("ours")]
fn an_address_is_answered_or_not_as_a_client_finds_it() -> Result<()> {
    // One that was master before has announced.
    Pair::settled_in_turn(roles(OURS, Instance::v3(200), Instance::v3(100)))?.check(|pair| {
        let prober = ArpProber::new(&pair.lab, VIRTUAL_V4.parse()?, Duration::from_millis(5))?;
        let shows = |pair: &mut Pair, answered: bool| {
            until(&format!("answered: {answered}"), SETTLE, || {
                address(pair, 0).is_ok_and(|it| it["answered"] == answered)
            })
        };
        shows(pair, true)?;
        ensure!(answers(pair, &prober)? > 0, "the client is not answered");
        let master = address(pair, 0)?;
        ensure!(master["set"] == true && master["announcements"].as_u64() >= Some(1), "{master}");
        ensure!(master["announced_seconds"].as_f64().is_some_and(|ago| ago < 60.0), "{master}");
        let before = master["announcements"].as_u64();
        ensure!(pair.running(0)?.ask(&["announce", "VI_1"])?.status.success(), "it is not announced");
        until("another announcement", SETTLE, || {
            address(pair, 0).is_ok_and(|it| it["announcements"].as_u64() > before)
        })?;
        let backup = address(pair, 1)?;
        ensure!(backup["answered"] == false && backup["announcements"] == 0, "{backup}");

        let mode = |pair: &Pair, mode: &str| {
            pair.node(0)?.namespace.sysctl(&format!("ipv4/conf/{INTERFACE}/arp_ignore"), mode)
        };
        mode(pair, "8")?;
        shows(pair, false)?;
        ensure!(answers(pair, &prober)? == 0, "the client is answered");
        let output = pair.running(0)?.ask(&["status"])?;
        let screen = String::from_utf8(output.stdout)?.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = "is not answered, although this node is MASTER: arp_ignore 8 of lan0";
        ensure!(screen.contains(expected) && !screen.contains("lan0, would answer"), "{screen}");
        // A new master may be about to set it.
        let code = |pair: &mut Pair| -> Result<_> { Ok(pair.running(0)?.ask(&["status"])?.status.code()) };
        poll("exit code 20", SETTLE, || Ok((code(pair)? == Some(20)).then_some(())))?;
        mode(pair, "0")?;
        shows(pair, true)?;
        ensure!(answers(pair, &prober)? > 0, "the client is not answered");
        Ok(())
    })
}

/// While its master lives, a backup always has most of master_down_interval to go. When it dies, the rest runs down to
/// the takeover itself.
#[test]
#[needs("ours")]
fn a_backup_takes_over_when_it_says() -> Result<()> {
    let backup = Instance::v3(100).interval(1000);
    let patience = backup.master_down_interval().as_secs_f64();
    Pair::settled(roles(OURS, Instance::v3(200).interval(1000), backup))?.check(|pair| {
        let machine = Starvation::of_machine()?;
        let left = |status: &Value| status["instances"][0]["takes_over_seconds"].as_f64();
        for _ in 0..10 {
            let status = pair.running(1)?.status()?;
            let (left, slack) = (left(&status).context("no time")?, machine.longest().as_secs_f64());
            ensure!(left <= patience && left > patience - 1.2 - slack, "{left} s of {patience} s");
            pace(Duration::from_millis(150));
        }
        ensure!(left(&pair.running(0)?.status()?).is_none(), "a master takes over from itself");
        pair.die(0)?;
        elapse(Duration::from_millis(500));
        let dying = pair.running(1)?.status()?;
        let why = dying["instances"][0]["why"].as_str().context("no reason")?;
        ensure!(why.contains("; takes over in ") && why.ends_with(" if it falls silent"), "{why}");
        let uptime = |status: &Value| status["node"]["uptime_seconds"].as_f64().context("no uptime");
        let announced = uptime(&dying)? + left(&dying).context("it is master already")?;
        pair.wait_for_master(1)?;
        until("MASTER", SETTLE, || {
            pair.running(1).and_then(|it| it.status()).is_ok_and(|it| it["instances"][0]["state"] == "MASTER")
        })?;
        let heir = pair.running(1)?.status()?;
        let since = heir["instances"][0]["since_seconds"].as_f64().context("no time")?;
        let late = uptime(&heir)? - since - announced;
        let bound = 0.02 + machine.longest().as_secs_f64();
        ensure!(late.abs() < bound, "it took over {late} s after the time that it said");
        Ok(())
    })
}
