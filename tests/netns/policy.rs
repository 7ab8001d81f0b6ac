//! Accepted senders of an instance, and accepted clients of its addresses.

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::{needs, waits};
use vrrp_user::daemon::host_faults::RETRY;

use crate::subject;

/// Whether the virtual address answers the client's echo request.
fn answers(pair: &Pair) -> bool {
    pair.lab.client.run("ping", &["-c", "1", "-W", "1", VIRTUAL_V4]).is_ok()
}

/// Whether the client resolves the virtual address to a MAC address.
fn resolves(pair: &Pair) -> bool {
    let neighbours = pair.lab.client.run("ip", &["neigh", "show", "to", VIRTUAL_V4]).unwrap_or_default();
    neighbours.contains("lladdr")
}

fn has_table(pair: &Pair, name: &str) -> Result<bool> {
    let tables = pair.node(0)?.namespace.run("nft", &["list", "tables"])?;
    Ok(tables.lines().any(|line| line == format!("table inet {name}")))
}

fn roles(line: &str) -> [Role; 2] {
    [200, 100].map(|priority| {
        let instance = Instance::v3(priority).line(line);
        Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(instance))
    })
}

/// Only neighbour discovery works. The rules come and go with the keyword, also after a crash.
#[test]
#[needs("ours", "nft", "ping")]
fn addresses_that_are_not_accepted_are_silent() -> Result<()> {
    Pair::settled(roles("no_accept"))?.check(|pair| {
        ensure!(has_table(pair, "vrrpx")?, "there is no table");
        ensure!(!answers(pair), "the address answers a ping");
        ensure!(resolves(pair), "the client has no neighbour entry");

        let file = |globals: &[&str], line: &str| {
            let mut config = Config::of(Instance::v3(200).line(line));
            config.globals.extend(globals.iter().map(|&it| it.to_owned()));
            config.to_string()
        };
        pair.reload(0, &file(&[], "accept"))?;
        ensure!(!has_table(pair, "vrrpx")?, "the table is still there");
        until("an echo", SETTLE, || answers(pair))?;
        pair.reload(0, &file(&["vrrp_strict", "nftables other"], ""))?;
        ensure!(has_table(pair, "other")?, "strict mode makes no table");
        ensure!(!answers(pair), "the address answers a ping in strict mode");

        pair.kill(0);
        ensure!(has_table(pair, "other")?, "the kernel has forgotten the table");
        pair.wait_for_master(1)
    })
}

#[test]
#[needs("ours", "nft")]
fn the_table_goes_with_the_daemon() -> Result<()> {
    Pair::settled(roles("no_accept"))?.check(|pair| {
        ensure!(has_table(pair, "vrrpx")?, "there is no table");
        pair.stop(0)?;
        ensure!(!has_table(pair, "vrrpx")?, "the table is still there");
        Ok(())
    })
}

/// A table with an owner, which the kernel lets no other process change, and drops with its owner (Linux 5.12).
#[test]
#[needs("ours", "nft")]
fn a_table_that_cannot_be_set_is_a_problem_until_it_is_set() -> Result<()> {
    let [master, _] = roles("no_accept");
    Pair::idle([master])?.check(|pair| {
        let mut owner = pair.node(0)?.namespace.command("nft")?;
        let mut owner = owner.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let mut rules = owner.stdin.take().context("no input")?;
        rules.write_all(b"add table inet vrrpx { flags owner; }\n")?;
        until("a table of another process", SETTLE, || has_table(pair, "vrrpx").is_ok_and(|it| it))?;
        pair.start(0)?;
        pair.wait_for_master(0)?;
        let faults = |pair: &mut Pair| {
            let status = pair.running(0).and_then(|daemon| daemon.status());
            status.map_or_else(|_| "?".to_owned(), |status| status["host_faults"].to_string())
        };
        let found = faults(pair);
        let is_named = found.contains("nftables") && found.contains("accepted despite strict mode");
        ensure!(is_named, "{found}");
        drop(rules);
        owner.wait()?;
        until("the end of the problem", 2 * RETRY, || faults(pair) == "[]")?;
        ensure!(has_table(pair, "vrrpx")?, "there is no table");
        Ok(())
    })
}

/// Node 2 would win, and sends its adverts to both.
#[test]
#[needs("subject")]
fn an_unknown_router_is_not_heard() -> Result<()> {
    let daemon = subject();
    let member = |priority, own: &str, peers: &str| {
        let instance = Instance::v3(priority).unicast(own, peers).line("check_unicast_src");
        Role::new(daemon, Config::of(instance))
    };
    let roles = [
        member(200, "10.77.0.1", "10.77.0.2"),
        member(100, "10.77.0.2", "10.77.0.1"),
        member(250, "10.77.0.3", "10.77.0.1\n        10.77.0.2"),
    ];
    Pair::idle(roles)?.check(|pair| {
        pair.start(0)?;
        pair.start(1)?;
        pair.wait_for_master(0)?;
        pair.start(2)?;
        let virtual_address = VIRTUAL_V4.parse()?;
        pair.wait_for_address(2, virtual_address, true)?;
        pair.observer.clear();
        watch(5 * Instance::v3(100).master_down_interval());
        let senders: Vec<usize> = pair.observer.adverts().iter().map(|advert| advert.1).collect();
        ensure!(
            [0, 2].iter().all(|node| senders.contains(node)),
            "nodes 0 and 2 are not both masters: {senders:?}"
        );
        ensure!(!senders.contains(&1), "node 1 is master too");
        if matches!(daemon, Daemon::Vrrpx(_)) {
            for node in [0, 1] {
                let status = pair.running(node)?.status()?;
                let rejects =
                    status["instances"][0]["counters"]["rejects"].as_array().context("no rejects")?;
                ensure!(rejects.iter().any(|count| count["word"] == "peer"), "{rejects:?}");
            }
        }
        Ok(())
    })
}

/// V09: keepalived drops such adverts, and both are masters.
#[waits]
#[test]
#[needs("ours")]
fn another_interval_of_version_2_is_a_sign_of_life() -> Result<()> {
    let role = |priority, seconds: u64| {
        let instance = Instance::v2(priority).interval(1000 * seconds);
        Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(instance))
    };
    Pair::settled([role(200, 2), role(100, 1)])?.check(|pair| {
        pair.observer.clear();
        watch(3 * Instance::v2(100).master_down_interval());
        let adverts = pair.observer.adverts();
        ensure!(!adverts.is_empty(), "the master is silent");
        ensure!(adverts.iter().all(|advert| advert.1 == 0), "node 1 is master too");
        Ok(())
    })
}
