//! Virtual routes and rules, which are set and removed with the addresses.

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Instance};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, SETTLE};

use crate::{roles, subject};

const PATHS: &str = "virtual_routes {
        192.0.2.0/24 via 10.77.0.254 table 100
    }
    virtual_rules {
        from 10.77.0.200 table 100 preference 500
    }";

fn with(priority: u8, lines: &str) -> Instance {
    Instance::v3(priority).line(lines)
}

/// Whether `ip rule` and `ip route` show them.
fn shown(pair: &Pair, node: usize) -> Result<(bool, bool)> {
    let namespace = &pair.node(node)?.namespace;
    let rules = namespace.run("ip", &["rule", "show"])?;
    let routes = namespace.run("ip", &["route", "show", "table", "all"])?;
    Ok((rules.contains("500:\tfrom 10.77.0.200 lookup 100"), routes.contains("192.0.2.0/24 via 10.77.0.254")))
}

fn wait_for(pair: &Pair, node: usize, wanted: (bool, bool)) -> Result<()> {
    until(&format!("rule and route of node {node}: {wanted:?}"), SETTLE, || {
        shown(pair, node).is_ok_and(|found| found == wanted)
    })
}

#[test]
#[needs("subject")]
fn routes_and_rules_move_with_the_addresses() -> Result<()> {
    Pair::settled(roles(subject(), with(200, PATHS), with(100, PATHS)))?.check(|pair| {
        wait_for(pair, 0, (true, true))?;
        // It may have been master before it heard the other one.
        wait_for(pair, 1, (false, false)).context("the backup has them too")?;
        pair.stop(0)?;
        wait_for(pair, 1, (true, true))?;
        ensure!(shown(pair, 0)? == (false, false), "left behind");
        Ok(())
    })
}

#[test]
#[needs("subject")]
fn leftover_paths_are_removed_and_foreign_ones_stay() -> Result<()> {
    Pair::idle(roles(subject(), with(200, PATHS), with(100, PATHS)))?.check(|pair| {
        let namespace = &pair.node(1)?.namespace;
        namespace.ip("rule add from 10.77.0.200 table 100 preference 500 protocol 18")?;
        namespace.ip("rule add from 10.77.0.200 table 100 preference 500 protocol static")?;
        namespace.ip("route add 192.0.2.0/24 via 10.77.0.254 table 100 protocol 18")?;
        pair.start(0)?;
        pair.wait_for_master(0)?;
        pair.start(1)?;
        wait_for(pair, 1, (true, false))?;
        let rules = pair.node(1)?.namespace.run("ip", &["-details", "rule", "show"])?;
        let count = rules.lines().filter(|line| line.starts_with("500:")).count();
        ensure!(count == 1 && rules.contains("proto static"), "{rules}");
        Ok(())
    })
}

#[test]
#[needs("subject")]
fn a_reload_sets_other_rules_without_another_election() -> Result<()> {
    Pair::settled(roles(subject(), with(200, PATHS), with(100, PATHS)))?.check(|pair| {
        wait_for(pair, 0, (true, true))?;
        pair.observer.clear();
        let other = PATHS.replace("preference 500", "preference 600");
        pair.running(0)?.reload(&Config::of(with(200, &other)).to_string())?;
        wait_for(pair, 0, (false, true))?;
        let rules = pair.node(0)?.namespace.run("ip", &["rule", "show"])?;
        ensure!(rules.contains("600:\tfrom 10.77.0.200 lookup 100"), "{rules}");
        pair.observer.ensure_only(0)
    })
}

/// Output of `ip route get`.
fn way(pair: &Pair, to: &str) -> Result<String> {
    pair.node(0)?.namespace.run("ip", &["route", "get", to])
}

#[test]
#[needs("subject")]
fn a_route_goes_before_another_one_with_the_same_destination() -> Result<()> {
    let lines = "virtual_routes {
        198.51.100.0/24 via 10.77.0.254
        203.0.113.0/24 via inet6 fd77::fe dev lan0
    }";
    Pair::idle(roles(subject(), with(200, lines), with(100, lines)))?.check(|pair| {
        pair.node(0)?.namespace.ip("route add 198.51.100.0/24 via 10.77.0.2")?;
        pair.start(0)?;
        until("the master's routes", SETTLE, || {
            way(pair, "198.51.100.1").is_ok_and(|way| way.contains("via 10.77.0.254"))
                && way(pair, "203.0.113.1").is_ok_and(|way| way.contains("via inet6 fd77::fe"))
        })?;
        pair.stop(0)?;
        let left = way(pair, "198.51.100.1")?;
        ensure!(left.contains("via 10.77.0.2 "), "{left}");
        Ok(())
    })
}
