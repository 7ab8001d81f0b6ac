//! Addresses, routes and rules that another process removes from a master.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};

use crate::roles;

const DAEMON: Daemon = Daemon::Vrrpx(Mode::Auto);

fn with(priority: u8) -> Instance {
    Instance::v3(priority).line(
        "virtual_ipaddress_excluded {
        10.77.0.201/24
        fd77::201/64
        10.77.0.202/24 no_track
    }
    virtual_routes {
        192.0.2.0/24 via 10.77.0.254
        198.51.100.0/24 via 10.77.0.254 no_track
        2001:db8::/48 via fd77::fe
    }
    virtual_rules {
        from 10.77.0.200 table 100 preference 500
        from fd77::201 table 100 preference 501
    }",
    )
}

/// Addresses, routes and rules of node 0, as `ip` prints them.
fn shown(pair: &Pair) -> Result<String> {
    let namespace = &pair.node(0)?.namespace;
    let mut text = String::new();
    for command in [&["address"][..], &["route"], &["-6", "route"], &["rule"], &["-6", "rule"]] {
        text.push_str(&namespace.run("ip", command)?);
    }
    Ok(text)
}

fn instance_field(pair: &mut Pair, key: &str) -> Result<serde_json::Value> {
    Ok(pair.running(0)?.instance()?[key].take())
}

fn settled() -> Result<Pair> {
    let pair = Pair::settled(roles(DAEMON, with(200), with(100)))?;
    until("all objects", SETTLE, || shown(&pair).is_ok_and(|text| text.contains("501:")))?;
    Ok(pair)
}

#[test]
#[needs("ours")]
fn a_removed_address_is_set_again_without_an_election() -> Result<()> {
    settled()?.check(|pair| {
        let epoch = instance_field(pair, "epoch")?;
        pair.observer.clear();
        for (removal, back) in [
            ("address delete 10.77.0.200/24 dev lan0", "10.77.0.200/24"),
            ("address delete fd77::201/64 dev lan0", "fd77::201/64"),
            ("route delete 192.0.2.0/24", "192.0.2.0/24 via"),
            ("route delete 2001:db8::/48", "2001:db8::/48 via"),
            ("rule delete preference 500", "500:"),
            ("-6 rule delete preference 501", "501:"),
        ] {
            let words: Vec<&str> = removal.split(' ').collect();
            pair.node(0)?.namespace.run("ip", &words)?;
            until(removal, Duration::from_secs(2), || shown(pair).is_ok_and(|text| text.contains(back)))?;
        }
        ensure!(instance_field(pair, "epoch")? == epoch, "the state has changed");
        pair.observer.ensure_only(0)?;
        for object in ["address 10.77.0.200", "address fd77::201", "route to 192.0.2.0", "rule 501"] {
            until(&format!("a line about {object}"), SETTLE, || {
                let log = pair.running(0).map(|it| it.log()).unwrap_or_default();
                log.lines().any(|line| line.contains("is set again") && line.contains(object))
            })?;
        }
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn the_removing_process_is_named_for_ten_seconds() -> Result<()> {
    settled()?.check(|pair| {
        let mut culprit = pair.node(0)?.namespace.command("ip")?;
        let mut culprit =
            culprit.args(["-batch", "-"]).stdin(Stdio::piped()).spawn().context("cannot run ip")?;
        let pid = culprit.id();
        let mut input = culprit.stdin.take().context("no input")?;
        let named = (|| {
            input.write_all(b"address delete 10.77.0.200/24 dev lan0\n")?;
            let expected = format!("ip (pid {pid})");
            until(&expected, SETTLE, || {
                instance_field(pair, "removed_by").is_ok_and(|named| named == expected.as_str())
            })?;
            pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
            pair.wait_for_log(0, &expected)
        })();
        drop(input);
        culprit.wait()?;
        named?;
        until("an end of the problem", Duration::from_secs(12), || {
            instance_field(pair, "removed_by").is_ok_and(|named| named.is_null())
        })
    })
}

#[test]
#[needs("ours")]
fn untracked_objects_stay_removed() -> Result<()> {
    settled()?.check(|pair| {
        pair.node(0)?.namespace.ip("address delete 10.77.0.202/24 dev lan0")?;
        pair.node(0)?.namespace.ip("route delete 198.51.100.0/24")?;
        // This one is set again; by then the others would be too.
        pair.node(0)?.namespace.ip("address delete 10.77.0.201/24 dev lan0")?;
        until("the tracked one", SETTLE, || shown(pair).is_ok_and(|text| text.contains("10.77.0.201/24")))?;
        let text = shown(pair)?;
        ensure!(!text.contains("10.77.0.202/24") && !text.contains("198.51.100.0/24"), "{text}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn static_routes_and_rules_come_back_too() -> Result<()> {
    let blocks = "static_routes {\n    192.0.2.64/26 via 10.77.0.254\n}\n\
        static_rules {\n    from 192.0.2.64/26 table 100 preference 600\n}\n";
    let instances = vec![Instance::v3(200)];
    let role = Role::new(DAEMON, Config { blocks: blocks.to_owned(), instances, ..Config::default() });
    Pair::idle([role.clone(), role])?.check(|pair| {
        pair.start(0)?;
        let are_set = |pair: &Pair| {
            shown(pair).is_ok_and(|text| text.contains("192.0.2.64/26 via") && text.contains("600:"))
        };
        until("both", SETTLE, || are_set(pair))?;
        for removal in ["route delete 192.0.2.64/26", "rule delete preference 600"] {
            pair.node(0)?.namespace.ip(removal)?;
            until(removal, Duration::from_secs(2), || are_set(pair))?;
        }
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn routes_that_went_with_another_interface_come_back_with_it() -> Result<()> {
    const ROUTES: [&str; 3] =
        ["192.0.2.0/24 via 10.78.0.254", "198.51.100.0/24 dev lan1", "192.0.2.64/26 via"];
    let instance = Instance::v3(200).line(
        "virtual_routes {
        192.0.2.0/24 via 10.78.0.254
        198.51.100.0/24 dev lan1
    }",
    );
    let blocks = "static_routes {\n    192.0.2.64/26 via 10.78.0.254\n}\n".to_owned();
    let role = Role::new(DAEMON, Config { blocks, instances: vec![instance], ..Config::default() });
    Pair::idle([role.clone(), role])?.check(|pair| {
        let namespace = &pair.node(0)?.namespace;
        namespace.ip("link add lan1 type veth peer name far1")?;
        for command in ["link set far1 up", "link set lan1 up", "address add 10.78.0.1/24 dev lan1"] {
            namespace.ip(command)?;
        }
        pair.start(0)?;
        let are_set =
            |pair: &Pair| shown(pair).is_ok_and(|text| ROUTES.iter().all(|route| text.contains(route)));
        until("all routes", SETTLE, || are_set(pair))?;
        let epoch = instance_field(pair, "epoch")?;
        // More often than another process is allowed to remove them.
        for _ in 0..7 {
            pair.node(0)?.namespace.ip("link set lan1 down")?;
            let text = shown(pair)?;
            ensure!(ROUTES.iter().all(|route| !text.contains(route)), "the kernel keeps routes: {text}");
            pair.node(0)?.namespace.ip("link set lan1 up")?;
            until("all routes again", SETTLE, || are_set(pair))?;
        }
        ensure!(instance_field(pair, "epoch")? == epoch, "the state has changed");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn repeated_removal_of_the_address_moves_the_master() -> Result<()> {
    settled()?.check(|pair| {
        until("the daemon to give up", SETTLE, || {
            // It may be gone already.
            let namespace = pair.node(0).map(|node| &node.namespace);
            let _ = namespace.and_then(|it| it.ip("address delete 10.77.0.200/24 dev lan0"));
            instance_field(pair, "state").is_ok_and(|state| state != "MASTER")
        })?;
        ensure!(instance_field(pair, "reason")? == "taken_away", "another reason");
        pair.wait_for_address(1, VIRTUAL_V4.parse()?, true)
    })
}

#[test]
#[needs("ours")]
fn a_rule_removed_repeatedly_is_abandoned_and_reported() -> Result<()> {
    settled()?.check(|pair| {
        until("the daemon to give up", SETTLE, || {
            let namespace = pair.node(0).map(|node| &node.namespace);
            let _ = namespace.and_then(|namespace| namespace.ip("rule delete preference 500"));
            pair.running(0).is_ok_and(|running| running.log().contains("they are not set again until"))
        })?;
        let state = instance_field(pair, "state")?;
        ensure!(state == "MASTER", "{state}");
        let _ = pair.node(0)?.namespace.ip("rule delete preference 500");
        watch(Duration::from_millis(300));
        let rules = pair.node(0)?.namespace.run("ip", &["rule"]).context("ip rule")?;
        ensure!(!rules.contains("500:"), "{rules}");
        Ok(())
    })
}
