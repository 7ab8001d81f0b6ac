//! Reload of a running daemon with another file.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{pace, until};
use vrrp_tests::daemon::{Config, Daemon, Instance};
use vrrp_tests::lab::{INTERFACE, VIRTUAL_V4};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::starvation::but_for_starvation;

use crate::subject;

const SECOND: &str = "10.77.0.201";
const THIRD: &str = "10.77.0.202";

/// Priorities 200 and 100, adverts each 10 ms, and these addresses in addition to the lab's.
fn roles(daemon: Daemon, more: &[&str]) -> [Role; 2] {
    [200, 100].map(|priority| Role::new(daemon, Config::of(instance(priority, more))))
}

fn instance(priority: u8, more: &[&str]) -> Instance {
    let all: Vec<String> = [VIRTUAL_V4].iter().chain(more).map(|address| format!("{address}/24")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    Instance::v3(priority).interval(10).addresses(&all)
}

fn file(instances: Vec<Instance>) -> String {
    Config { instances, ..Config::default() }.to_string()
}

/// States of node 0, by name of the instance.
fn states(pair: &mut Pair) -> Result<Vec<(String, String)>> {
    let status = pair.running(0)?.status()?;
    let instances = status["instances"].as_array().context("no instances")?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Ok(instances.iter().map(|it| (text(&it["name"]), text(&it["state"]))).collect())
}

fn epoch(pair: &mut Pair) -> Result<u64> {
    pair.running(0)?.instance()?["epoch"].as_u64().context("no epoch")
}

#[test]
#[needs("subject")]
fn a_broken_file_changes_nothing_and_shows() -> Result<()> {
    Pair::settled(roles(subject(), &[]))?.check(|pair| {
        let before = epoch(pair)?;
        let broken = file(vec![instance(200, &[])]).replace("priority", "priorty");
        let output = pair.running(0)?.reload(&broken)?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(4), "exit {}", output.status);
        ensure!(text.contains("priorty") && text.contains("keepalived.conf:"), "{text}");
        let status = pair.running(0)?.status()?;
        ensure!(status["configuration"]["stale_since"].is_string(), "{}", status["configuration"]);
        ensure!(status["configuration"]["refused"] == 1, "{}", status["configuration"]);
        pair.reload(0, &file(vec![instance(200, &[])]))?;
        let status = pair.running(0)?.status()?;
        ensure!(status["configuration"]["stale_since"].is_null(), "{}", status["configuration"]);
        ensure!(epoch(pair)? == before, "the state has changed");
        pair.wait_for_master(0)
    })
}

#[test]
#[needs("subject")]
fn addresses_come_and_go_without_another_election() -> Result<()> {
    Pair::settled(roles(subject(), &[SECOND]))?.check(|pair| {
        let before = epoch(pair)?;
        let [first, second, third]: [IpAddr; 3] = [VIRTUAL_V4.parse()?, SECOND.parse()?, THIRD.parse()?];
        pair.wait_for_address(0, second, true)?;
        pair.reload(0, &file(vec![instance(200, &[THIRD])]))?;
        pair.wait_for_address(0, third, true)?;
        pair.wait_for_address(0, second, false)?;
        pair.wait_for_address(0, first, true)?;
        ensure!(epoch(pair)? == before, "the state has changed");
        pair.wait_for_master(0)
    })
}

/// The first address is removed and set again, and the kernel removes the others of its subnet with it.
#[test]
#[needs("subject")]
fn an_address_takes_its_other_prefix_and_label() -> Result<()> {
    let with =
        |priority, first: &str| Instance::v3(priority).interval(10).addresses(&[first, "10.99.0.2/24"]);
    let roles = [200, 100].map(|priority| Role::new(subject(), Config::of(with(priority, "10.99.0.1/24"))));
    Pair::settled(roles)?.check(|pair| {
        let before = epoch(pair)?;
        let are_held = |pair: &Pair, wanted: [(&str, u64, &str); 2]| {
            let held = pair.node(0).and_then(|node| node.addresses()).unwrap_or_default();
            let mut held: Vec<_> = held.iter().filter(|held| held.address.starts_with("10.99.0.")).collect();
            held.sort_by(|one, other| one.address.cmp(&other.address));
            held.iter().map(|held| (&*held.address, held.prefix, &*held.label)).eq(wanted)
        };
        let second = ("10.99.0.2", 24, INTERFACE);
        until("both as first written", SETTLE, || are_held(pair, [("10.99.0.1", 24, INTERFACE), second]))?;
        let label = format!("{INTERFACE}:1");
        let other = with(200, &format!("10.99.0.1/25 label {label}"));
        pair.reload(0, &file(vec![other]))?;
        until("the other form", SETTLE, || are_held(pair, [("10.99.0.1", 25, &label), second]))?;
        ensure!(epoch(pair)? == before, "the state has changed");
        pair.wait_for_master(0)
    })
}

#[test]
#[needs("subject")]
fn an_address_is_set_again_with_other_options() -> Result<()> {
    let daemon = subject();
    let with = |priority, options: &str| {
        let line = format!("virtual_ipaddress_excluded {{\n        fd99::1/64 {options}\n    }}");
        Instance::v3(priority).interval(10).line(&line)
    };
    let roles = [200, 100].map(|priority| Role::new(daemon, Config::of(with(priority, "preferred_lft 0"))));
    Pair::settled(roles)?.check(|pair| {
        let before = epoch(pair)?;
        let is_shown = |pair: &Pair, word: &str| {
            let shown = pair.node(0).and_then(|node| node.namespace.run("ip", &["-o", "-6", "address"]));
            shown
                .is_ok_and(|text| text.lines().any(|line| line.contains("fd99::1/64") && line.contains(word)))
        };
        until("deprecated", SETTLE, || is_shown(pair, "deprecated"))?;
        pair.reload(0, &file(vec![with(200, "mngtmpaddr")]))?;
        until("the new options", SETTLE, || is_shown(pair, "mngtmpaddr") && !is_shown(pair, "deprecated"))?;
        ensure!(epoch(pair)? == before, "the state has changed");
        pair.wait_for_master(0)
    })
}

#[test]
#[needs("subject")]
fn instances_come_go_and_change_their_names() -> Result<()> {
    Pair::settled(roles(subject(), &[]))?.check(|pair| {
        let before = epoch(pair)?;
        let added = || instance(150, &[]).vrid(77).addresses(&[&format!("{SECOND}/24")]);
        pair.reload(0, &file(vec![added(), instance(200, &[])]))?;
        pair.wait_for_address(0, SECOND.parse()?, true)?;
        let is_master = |states: &[(String, String)]| states.iter().all(|(_, state)| state == "MASTER");
        let both = states(pair)?;
        ensure!(both.len() == 2 && is_master(&both), "{both:?}");

        // The address moves to the remaining instance, which gets another name.
        let renamed = file(vec![instance(200, &[SECOND])]).replace("VI_1", "renamed");
        pair.reload(0, &renamed)?;
        let expected = vec![("renamed".to_owned(), "MASTER".to_owned())];
        until("the instance under its other name", SETTLE, || states(pair).is_ok_and(|now| now == expected))?;
        pair.wait_for_address(0, SECOND.parse()?, true)?;
        ensure!(epoch(pair)? == before, "the state has changed");

        // As after a start: first of lower priority, then removed for good.
        pair.reload(0, &file(vec![added()]))?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)?;
        pair.wait_for_address(1, VIRTUAL_V4.parse()?, true)?;
        pair.wait_for_address(0, SECOND.parse()?, true)
    })
}

/// Fields of a group of node 0 that do not change with time.
fn group(pair: &mut Pair, name: &str) -> Result<[serde_json::Value; 4]> {
    let status = pair.running(0)?.status()?;
    let groups = status["groups"].as_array().context("no groups")?;
    let group = groups.iter().find(|group| group["name"] == name).context("no such group")?;
    Ok(["state", "reason", "epoch", "since"].map(|key| group[key].clone()))
}

#[test]
#[needs("subject")]
fn reordered_groups_keep_their_states() -> Result<()> {
    let with = |priority: u8, groups: &[(&str, u8)]| {
        let block = |(name, vrid): &(&str, u8)| {
            format!("vrrp_sync_group {name} {{\n    group {{\n        VI_{vrid}\n    }}\n}}\n")
        };
        let member = |(_, vrid): &(&str, u8)| {
            instance(priority, &[]).vrid(*vrid).addresses(&[&format!("10.77.0.{}/24", 150 + *vrid)])
        };
        let (blocks, instances) = (groups.iter().map(block).collect(), groups.iter().map(member).collect());
        Config { blocks, instances, ..Config::default() }
    };
    let (first, second, added) = (("first", 51), ("second", 52), ("added", 53));
    let roles = [200, 100].map(|priority| Role::new(subject(), with(priority, &[first, second])));
    Pair::settled(roles)?.check(|pair| {
        let is_master =
            |pair: &mut Pair, name: &str| group(pair, name).is_ok_and(|[state, ..]| state == "MASTER");
        for name in ["first", "second"] {
            until("both groups as masters", SETTLE, || is_master(pair, name))?;
        }
        let before = [group(pair, "first")?, group(pair, "second")?];
        for groups in [&[added, first, second][..], &[second, first]] {
            pair.reload(0, &with(200, groups))?;
            if groups.contains(&added) {
                until("the new group as master", SETTLE, || is_master(pair, "added"))?;
            }
            let now = [group(pair, "first")?, group(pair, "second")?];
            ensure!(now == before, "{before:?} has become {now:?}");
        }
        ensure!(group(pair, "added").is_err(), "the status still has the group");
        pair.wait_for_master(0)
    })
}

#[test]
#[needs("subject")]
fn another_priority_moves_the_master() -> Result<()> {
    Pair::settled(roles(subject(), &[]))?.check(|pair| {
        pair.reload(0, &file(vec![instance(50, &[])]))?;
        pair.wait_for_master(1)?;
        pair.reload(0, &file(vec![instance(150, &[])]))?;
        pair.wait_for_master(0)
    })
}

/// Each reload changes another instance; the peer of the unchanged one must not notice.
#[test]
#[needs("subject")]
fn a_hundred_reloads_cause_no_takeover() -> Result<()> {
    // Two intervals: with an advert that is just due, they are the peer's patience.
    let scenario = || Pair::settled(roles(subject(), &[]))?.check(reload_a_hundred_times);
    but_for_starvation(Duration::from_millis(20), scenario)
}

fn reload_a_hundred_times(pair: &mut Pair) -> Result<()> {
    let before = epoch(pair)?;
    pair.observer.clear();
    for round in 0..100_u8 {
        let other =
            instance(100 + round, &[]).vrid(77).addresses(&[&format!("10.77.0.{}/24", 100 + round % 50)]);
        let instances = vec![instance(200, &[]), other];
        pair.reload(0, &file(instances))?;
        pace(Duration::from_millis(5));
    }
    pair.observer.ensure_only(0)?;
    ensure!(epoch(pair)? == before, "the state has changed");
    Ok(())
}

#[test]
#[needs("subject")]
fn signals_and_checks_survive() -> Result<()> {
    let script = |name: &str| {
        format!("vrrp_script {name} {{\n    script \"/bin/true\"\n    interval 0.1\n    weight 5\n}}\n")
    };
    let tracking = |priority: u8, name: &str| Config {
        globals: vec!["script_user root".to_owned()],
        blocks: script(name),
        instances: vec![instance(priority, &[]).line(&format!("track_script {{\n        {name}\n    }}"))],
    };
    let roles = [200, 100].map(|priority| Role::new(subject(), tracking(priority, "alive")));
    Pair::settled(roles)?.check(|pair| {
        let runs = |pair: &mut Pair, name: &str| -> Result<u64> {
            let status = pair.running(0)?.status()?;
            let checks = status["checks"].as_array().context("no checks")?;
            let check = checks.iter().find(|check| check["name"] == name).context("no such check")?;
            check["runs"].as_u64().context("no runs")
        };
        let before = epoch(pair)?;
        until("some runs", SETTLE, || runs(pair, "alive").is_ok_and(|runs| runs > 5))?;
        pair.reload(0, &tracking(190, "alive"))?;
        ensure!(runs(pair, "alive")? > 5, "the check has started again");
        pair.reload(0, &tracking(190, "other"))?;
        until("runs of the other", SETTLE, || runs(pair, "other").is_ok_and(|runs| runs > 2))?;
        ensure!(runs(pair, "alive").is_err(), "the check still runs");
        ensure!(epoch(pair)? == before, "the state has changed");
        pair.wait_for_master(0)
    })
}
