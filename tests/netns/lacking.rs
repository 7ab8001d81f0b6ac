//! Settings that a master could not make: shown, tried again, and made as soon as the kernel accepts them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_tests::clock::{until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};

use crate::events::reported;

const DAEMON: Daemon = Daemon::Vrrpx(Mode::Auto);

const ROUTE_V4: &str = "198.51.100.0/24 via 10.78.0.254 dev lan1";
const ROUTE_V6: &str = "2001:db8:7::/48 via fd78::fe dev lan1";
const STATIC: &str = "192.0.2.64/26 via 10.78.0.254 dev lan1";
const ADDRESS: &str = "fd79::200/64";

/// With routes over interfaces other than its own.
fn instance() -> Instance {
    Instance::v3(200).line(&format!(
        "virtual_ipaddress_excluded {{
        {ADDRESS} dev lan2
    }}
    virtual_routes {{
        {ROUTE_V4}
        {ROUTE_V6}
        203.0.113.0/24 via 10.78.1.254 no_track
    }}"
    ))
}

fn config() -> Config {
    let blocks = format!("static_routes {{\n    {STATIC}\n}}\n");
    Config { blocks, instances: vec![instance()], ..Config::default() }
}

/// Node 0 alone, with a second interface that has no address.
fn alone(config: Config) -> Result<Pair> {
    let mut pair = Pair::idle([Role::new(DAEMON, config)])?;
    pair.node(0)?
        .namespace
        .ip("link add lan1 type veth peer name far1\nlink set far1 up\nlink set lan1 up")?;
    pair.start(0)?;
    pair.wait_for_master(0)?;
    Ok(pair)
}

fn has_route(pair: &Pair, route: &str) -> bool {
    let Ok(node) = pair.node(0) else { return false };
    let shown = [&["route"][..], &["-6", "route"]].map(|words| node.namespace.run("ip", words));
    shown.into_iter().flatten().any(|text| text.contains(route))
}

/// A field of the only instance in the status.
fn field(pair: &mut Pair, key: &str) -> Result<Value> {
    Ok(pair.running(0)?.instance()?[key].take())
}

/// Missing objects, with the reasons.
fn lacks(pair: &mut Pair) -> Result<Vec<(String, String)>> {
    let shown = field(pair, "lacks")?;
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    let all = shown.as_array().into_iter().flatten();
    Ok(all.map(|it| (text(it, "object"), text(it, "error"))).collect())
}

fn lacks_just(pair: &mut Pair, objects: &[&str]) -> Result<()> {
    until(&format!("to lack just {objects:?}"), SETTLE, || {
        lacks(pair).is_ok_and(|lacks| lacks.iter().map(|(object, _)| object).eq(objects))
    })
}

/// Number of log lines about this object with these words.
fn lines(pair: &mut Pair, object: &str, says: &str) -> Result<usize> {
    let log = pair.running(0)?.log();
    Ok(log.lines().filter(|line| line.contains(says) && line.contains(object)).count())
}

/// Waits for the log line, which follows the status, and sees that there is one.
fn logs_once(pair: &mut Pair, object: &str, says: &str) -> Result<()> {
    until(&format!("`{says}` of `{object}` in the log"), SETTLE, || {
        lines(pair, object, says).is_ok_and(|count| count > 0)
    })?;
    let count = lines(pair, object, says)?;
    ensure!(count == 1, "`{says}` of `{object}` is in the log {count} times");
    Ok(())
}

#[test]
#[needs("ours")]
fn failed_settings_are_shown_and_set_when_possible() -> Result<()> {
    alone(config())?.check(|pair| {
        let all = [
            "address fd79::200",
            "route to 198.51.100.0/24",
            "route to 2001:db8:7::/48",
            "route to 203.0.113.0/24",
        ];
        lacks_just(pair, &all)?;
        let why: Vec<String> = lacks(pair)?.into_iter().map(|(_, why)| why).collect();
        ensure!(why[0].starts_with("No such device"), "{why:?}");
        ensure!(why[1] == "Network is unreachable: Nexthop has invalid gateway", "{why:?}");
        let (epoch, busy) = (field(pair, "epoch")?, pair.running(0)?.cpu_time()?);
        // Several attempts.
        watch(Duration::from_millis(2500));
        let busy = pair.running(0)?.cpu_time()?.saturating_sub(busy);
        ensure!(busy < Duration::from_millis(250), "the attempts take {busy:?}");
        let reported =
            all.iter().map(|object| lines(pair, object, "cannot be set")).collect::<Result<Vec<_>>>()?;
        ensure!(reported == [1; 4], "logged {reported:?} times");
        let node = |pair: &Pair, lines: &str| pair.node(0)?.namespace.ip(lines);
        node(pair, "address add 10.78.0.1/24 dev lan1")?;
        until("IPv4", SETTLE, || has_route(pair, ROUTE_V4) && has_route(pair, STATIC))?;
        node(pair, "address add fd78::1/64 dev lan1 nodad")?;
        until("IPv6", SETTLE, || has_route(pair, ROUTE_V6))?;
        // A route that makes another route's gateway a neighbour.
        node(pair, "route add 10.78.1.0/24 dev lan1 scope link")?;
        until("the route over another route", SETTLE, || has_route(pair, "203.0.113.0/24 via 10.78.1.254"))?;
        node(pair, "link add lan2 type veth peer name far2\nlink set far2 up\nlink set lan2 up")?;
        until("the address", SETTLE, || pair.lab.has_address(0, "fd79::200").unwrap_or(false))?;
        lacks_just(pair, &[])?;
        for object in all {
            logs_once(pair, object, "is set now")?;
        }
        logs_once(pair, "", "a static route is set now")?;
        ensure!(field(pair, "epoch")? == epoch, "the state has changed");
        ensure!(!pair.running(0)?.log().contains("another process"), "another process is blamed");
        Ok(())
    })
}

/// Route, gateway that the kernel refuses, and the kernel's message.
const REFUSED: [(&str, &str, &str); 2] = [
    ("198.51.100.0/24", "10.77.0.9 scope host", "Route with host scope can not have a gateway"),
    ("2001:db8:7::/48", "ff02::1", "Invalid gateway address"),
];

/// In status, log and events alike.
#[test]
#[needs("ours")]
fn the_kernel_s_own_words_are_shown() -> Result<()> {
    let routes = REFUSED.map(|(to, gateway, _)| format!("        {to} via {gateway} dev lan0\n")).concat();
    let instance = Instance::v3(200).line(&format!("virtual_routes {{\n{routes}    }}"));
    alone(Config::of(instance))?.check(|pair| {
        let expected = REFUSED.map(|(to, _, words)| (format!("route to {to}"), words));
        lacks_just(pair, &expected.each_ref().map(|(object, _)| &**object))?;
        let shown = lacks(pair)?;
        for ((object, words), (_, error)) in expected.iter().zip(shown) {
            ensure!(error == format!("Invalid argument: {words}"), "{object}: {error}");
            let line = format!("object=\"{object}\" error=\"EINVAL: Invalid argument: {words}\"");
            logs_once(pair, &line, "cannot be set")?;
            let is_reported = |event: &Value| event["object"] == **object && event["error"] == *error;
            let running = pair.running(0)?;
            until(&format!("an event of {object}"), SETTLE, || {
                reported(running, 0).is_ok_and(|events| events.iter().any(is_reported))
            })?;
        }
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn an_ipv6_route_lost_with_its_link_returns_with_the_address() -> Result<()> {
    let instance = Instance::v3(200).line(&format!("virtual_routes {{\n        {ROUTE_V6}\n    }}"));
    alone(Config::of(instance))?.check(|pair| {
        let node = |pair: &Pair, lines: &str| pair.node(0)?.namespace.ip(lines);
        let epoch = field(pair, "epoch")?;
        // More often than another process is allowed to remove it.
        for _ in 0..7 {
            node(pair, "address add fd78::1/64 dev lan1 nodad")?;
            until("the route", SETTLE, || has_route(pair, ROUTE_V6))?;
            node(pair, "link set lan1 down")?;
            lacks_just(pair, &["route to 2001:db8:7::/48"])?;
            node(pair, "link set lan1 up")?;
        }
        ensure!(field(pair, "epoch")? == epoch, "the state has changed");
        ensure!(!pair.running(0)?.log().contains("another process"), "another process is blamed");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_route_comes_back_with_the_address_that_it_leads_over() -> Result<()> {
    let routes = "virtual_routes {\n        198.51.100.0/24 via 10.78.0.254\n    }";
    let mut pair = Pair::idle([Role::new(DAEMON, Config::of(Instance::v3(200).line(routes)))])?;
    let lease = "address add 10.78.0.1/24 dev lan1";
    pair.node(0)?.namespace.ip(&format!(
        "link add lan1 type veth peer name far1\nlink set far1 up\nlink set lan1 up\n{lease}"
    ))?;
    pair.start(0)?;
    pair.check(|pair| {
        pair.wait_for_master(0)?;
        for _ in 0..7 {
            until("the route", SETTLE, || has_route(pair, "198.51.100.0/24 via 10.78.0.254"))?;
            // As a DHCP client does. With an interface's last address the kernel drops its routes without a
            // notification.
            pair.node(0)?.namespace.ip("address del 10.78.0.1/24 dev lan1")?;
            lacks_just(pair, &["route to 198.51.100.0/24"])?;
            pair.node(0)?.namespace.ip(lease)?;
        }
        until("the route", SETTLE, || has_route(pair, "198.51.100.0/24 via 10.78.0.254"))?;
        ensure!(!pair.running(0)?.log().contains("another process"), "another process is blamed");
        Ok(())
    })
}

/// Missing static objects, with the reasons.
fn static_lacks(pair: &mut Pair) -> Result<Vec<(String, String)>> {
    let shown = pair.running(0)?.status()?["statics"]["lacks"].clone();
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    let all = shown.as_array().into_iter().flatten();
    Ok(all.map(|it| (text(it, "object"), text(it, "error"))).collect())
}

#[test]
#[needs("ours")]
fn static_settings_are_shown_until_they_are_set() -> Result<()> {
    let statics = |more: &str| Config {
        blocks: format!(
            "static_ipaddress {{\n    192.0.2.1/26 dev lan2\n}}\nstatic_routes {{\n    {STATIC}\n{more}}}\n"
        ),
        ..Config::of(Instance::v3(200))
    };
    let file = statics("    192.0.2.128/26 via 10.79.0.254 dev lan1\n");
    alone(file)?.check(|pair| {
        let just = |pair: &mut Pair, objects: &[&str]| {
            until(&format!("to lack just {objects:?}"), SETTLE, || {
                static_lacks(pair).is_ok_and(|lacks| lacks.iter().map(|(object, _)| object).eq(objects))
            })
        };
        just(pair, &["address 192.0.2.1", "route to 192.0.2.64/26", "route to 192.0.2.128/26"])?;
        let why: Vec<String> = static_lacks(pair)?.into_iter().map(|(_, why)| why).collect();
        ensure!(why[0] == "No such device", "{why:?}");
        ensure!(why[1] == "Network is unreachable: Nexthop has invalid gateway", "{why:?}");
        let screen = pair.running(0)?.ask(&["status"])?;
        let screen = String::from_utf8_lossy(&screen.stdout).into_owned();
        ensure!(screen.contains("! static settings: lacks route to 192.0.2.64/26: Network is"), "{screen}");
        let node = |pair: &Pair, lines: &str| pair.node(0)?.namespace.ip(lines);
        node(pair, "address add 10.78.0.1/24 dev lan1")?;
        just(pair, &["address 192.0.2.1", "route to 192.0.2.128/26"])?;
        // Taken out of the file, it is not missing; nor has it been set.
        pair.reload(0, &statics(""))?;
        just(pair, &["address 192.0.2.1"])?;
        node(pair, "link add lan2 type veth peer name far2\nlink set far2 up\nlink set lan2 up")?;
        just(pair, &[])?;
        ensure!(pair.lab.has_address(0, "192.0.2.1")?, "the address is not set");
        // With its link, the kernel drops the route.
        node(pair, "link set lan1 down")?;
        just(pair, &["route to 192.0.2.64/26"])?;
        node(pair, "link set lan1 up")?;
        just(pair, &[])?;
        let running = pair.running(0)?;
        let count = |kind: &str, object: &str| {
            let events = reported(running, 0).unwrap_or_default();
            events.iter().filter(|it| it["event"] == kind && it["object"] == object).count()
        };
        for (object, failed, restored) in
            [("address 192.0.2.1", 1, 1), ("route to 192.0.2.64/26", 2, 2), ("route to 192.0.2.128/26", 1, 0)]
        {
            until(&format!("{failed} and {restored} events of {object}"), SETTLE, || {
                (count("static_failed", object), count("static_restored", object)) == (failed, restored)
            })
            .with_context(|| format!("{:?}", reported(running, 0)))?;
        }
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn missing_settings_end_with_mastership_and_survive_a_hot_restart() -> Result<()> {
    let instance = Instance::v3(200).line(&format!("virtual_routes {{\n        {ROUTE_V4}\n    }}"));
    alone(Config::of(instance))?.check(|pair| {
        lacks_just(pair, &["route to 198.51.100.0/24"])?;
        ensure!(pair.hot_restart(0, &[])?.success(), "the old process has failed");
        lacks_just(pair, &["route to 198.51.100.0/24"])?;
        pair.node(0)?.namespace.ip("address add 10.78.0.1/24 dev lan1")?;
        until("the route", SETTLE, || has_route(pair, ROUTE_V4))?;
        pair.node(0)?.namespace.ip("address del 10.78.0.1/24 dev lan1")?;
        lacks_just(pair, &["route to 198.51.100.0/24"])?;
        pair.node(0)?.namespace.ip("link set lan0 down")?;
        until("Fault", SETTLE, || field(pair, "state").is_ok_and(|state| state == "FAULT"))?;
        lacks_just(pair, &[])
    })
}

#[test]
#[needs("ours")]
fn a_reload_sets_abandoned_rules() -> Result<()> {
    let rule = "virtual_rules {\n        from 10.77.0.200 table 100 preference 500\n    }";
    let config = Config::of(Instance::v3(200).line(rule));
    let file = config.to_string();
    alone(config)?.check(|pair| {
        let has_rule = |pair: &Pair| {
            let shown = pair.node(0).and_then(|node| node.namespace.run("ip", &["rule"]));
            shown.is_ok_and(|text| text.contains("500:"))
        };
        let left_alone = |pair: &mut Pair| field(pair, "paths_left_alone").is_ok_and(|it| it == true);
        until("the rule", SETTLE, || has_rule(pair))?;
        until("the daemon to give up", SETTLE, || {
            let node = pair.node(0).map(|node| &node.namespace);
            let _ = node.and_then(|namespace| namespace.ip("rule delete preference 500"));
            left_alone(pair)
        })?;
        let _ = pair.node(0)?.namespace.ip("rule delete preference 500");
        ensure!(!has_rule(pair), "the rule is not left alone");
        pair.reload(0, &file)?;
        until("the rule again", SETTLE, || has_rule(pair))?;
        until("a status without the rule as left alone", SETTLE, || !left_alone(pair))
    })
}

#[test]
#[needs("ours", "nft")]
fn a_flushed_firewall_is_set_again() -> Result<()> {
    let config = Config::of(Instance::v3(200).line("no_accept"));
    Pair::idle([Role::new(DAEMON, config)])?.check(|pair| {
        pair.start(0)?;
        pair.wait_for_master(0)?;
        let has_rules = |pair: &Pair| {
            let listed = pair.node(0).and_then(|node| node.namespace.run("nft", &["list", "ruleset"]));
            listed.is_ok_and(|rules| {
                rules.contains("ip daddr @addresses4 drop") && rules.contains("10.77.0.200")
            })
        };
        ensure!(has_rules(pair), "no rules at first");
        let reported = "the nftables table was removed by another process; it is set again";
        let reports =
            |pair: &mut Pair| pair.running(0).map_or(0, |daemon| daemon.log().matches(reported).count());
        for (removals, removal) in
            [&["flush", "ruleset"][..], &["delete", "table", "inet", "vrrpx"]].iter().enumerate()
        {
            pair.node(0)?.namespace.run("nft", removal)?;
            until("the rules", Duration::from_secs(5), || has_rules(pair))?;
            // The daemon logs once nft has ended, a moment after the rules are there.
            until("a report of each", Duration::from_secs(5), || reports(pair) == removals + 1)?;
        }
        // Rules that the configuration no longer has stay away.
        pair.reload(0, &Config::of(Instance::v3(200)))?;
        watch(Duration::from_millis(1500));
        ensure!(!has_rules(pair), "the rules are back");
        Ok(())
    })
}
