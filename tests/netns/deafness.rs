//! The program and the host's own sockets hear the same, or it is told who does not.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Daemon, Instance, Mode};
use vrrp_tests::hider::Hider;
use vrrp_tests::pair::{Pair, SETTLE};
use vrrp_tests::require;

use crate::{ours, roles};

/// Who is deaf by the status of node 1.
fn deaf(pair: &mut Pair) -> Result<Value> {
    Ok(pair.running(1)?.status()?["instances"][0]["deaf"]["who"].take())
}

#[test]
fn a_firewall_that_keeps_adverts_from_sockets_is_named_and_moves_nobody() -> Result<()> {
    if !ours() || !require("nft") {
        return Ok(());
    }
    for instance in [Instance::v3, Instance::v6] {
        Pair::settled(roles(Daemon::Vrrpx(Mode::Native), instance(200), instance(100)))?.check(|pair| {
            pair.observer.clear();
            ensure!(deaf(pair)?.is_null(), "something is amiss before anything is");
            let rules = "add table inet deafness; \
                         add chain inet deafness input { type filter hook input priority 0; }; \
                         add rule inet deafness input meta l4proto 112 drop";
            pair.node(1)?.namespace.run("nft", &[rules])?;
            until("the host to be told deaf", SETTLE, || deaf(pair).is_ok_and(|who| who == "host"))?;
            ensure!(pair.running(1)?.log().contains("look for a firewall"), "not in the log");
            pair.node(1)?.namespace.run("nft", &["delete table inet deafness"])?;
            until("nobody to be told deaf", SETTLE, || deaf(pair).is_ok_and(|who| who.is_null()))?;
            ensure!(pair.observer.adverts().iter().all(|advert| advert.1 == 0), "node 1 was master");
            Ok(())
        })?;
    }
    Ok(())
}

/// Whoever comes before us at tcx may end the chain. Its silence must not become a second master.
#[test]
fn a_program_that_hides_adverts_is_overtaken_and_then_gone_around() -> Result<()> {
    if !ours() {
        return Ok(());
    }
    let instance = |priority| Instance::v3(priority).interval(1200);
    Pair::settled(roles(Daemon::Vrrpx(Mode::Tcx), instance(200), instance(100)))?.check(|pair| {
        pair.observer.clear();
        let rung = |pair: &mut Pair| -> Result<Value> {
            Ok(pair.running(1)?.status()?["interfaces"][0]["rung"].take())
        };
        let _first = Hider::before_all(pair.node(1)?)?;
        let overtaken = "another program kept adverts from ours, which is attached before it";
        until("the program to be first again", SETTLE, || {
            pair.running(1).is_ok_and(|it| it.log().contains(overtaken))
        })?;
        ensure!(rung(pair)? == "tcx", "another rung");
        let _second = Hider::before_all(pair.node(1)?)?;
        until("the packet socket", SETTLE, || rung(pair).is_ok_and(|rung| rung == "socket"))?;
        ensure!(deaf(pair)?.is_null(), "still told deaf");
        pair.wait_for_master(0)?;
        let adverts = pair.observer.adverts();
        ensure!(adverts.iter().all(|advert| advert.1 == 0), "node 1 was master: {adverts:?}");
        pair.die(0)?;
        pair.wait_for_master(1).context("it hears on the packet socket that nobody sends")
    })
}
