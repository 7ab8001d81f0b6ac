//! Removals by the kernel, or by this daemon for another instance, which are no contest with another process.

use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::needs;
use vrrp_tests::netns::Namespace;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::Directory;

const DAEMON: Daemon = Daemon::Vrrpx(Mode::Auto);

/// More rounds than removals that another process is allowed.
const ROUNDS: usize = 7;

const LAN1: &str = "link add lan1 type veth peer name far1\nlink set far1 up\nlink set lan1 up";

/// Node 0 alone, after these `ip` lines.
fn alone(config: Config, lines: &str) -> Result<Pair> {
    let mut pair = Pair::idle([Role::new(DAEMON, config)])?;
    pair.node(0)?.namespace.ip(lines)?;
    pair.start(0)?;
    Ok(pair)
}

/// Addresses, routes and rules of node 0, as `ip` prints them.
fn shown(pair: &Pair) -> String {
    let Ok(node) = pair.node(0) else { return String::new() };
    let commands = [&["address"][..], &["route"], &["-6", "route"], &["rule"], &["-6", "rule"]];
    commands.map(|command| node.namespace.run("ip", command).unwrap_or_default()).concat()
}

fn wait_for(pair: &Pair, all: &[&str]) -> Result<()> {
    until(&format!("all of {all:?}"), SETTLE, || {
        let shown = shown(pair);
        all.iter().all(|one| shown.contains(one))
    })
}

/// Name, state and epoch of each instance.
fn standings(pair: &mut Pair) -> Result<Vec<(String, String, u64)>> {
    let status = pair.running(0)?.status()?;
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    let all = status["instances"].as_array().context("no instances")?;
    Ok(all
        .iter()
        .map(|it| (text(it, "name"), text(it, "state"), it["epoch"].as_u64().unwrap_or(0)))
        .collect())
}

fn wait_for_states(pair: &mut Pair, states: &[&str]) -> Result<()> {
    until(&format!("states {states:?}"), SETTLE, || {
        standings(pair).is_ok_and(|all| all.iter().map(|(_, state, _)| state).eq(states))
    })
}

fn blames_no_process(pair: &mut Pair) -> Result<()> {
    let log = pair.running(0)?.log();
    ensure!(!log.contains("another process"), "another process is blamed");
    Ok(())
}

/// `ip monitor` of addresses, routes and rules, until it is dropped.
struct Watch {
    child: Child,
    file: std::path::PathBuf,
}

impl Watch {
    fn of(namespace: &Namespace, folder: &Path) -> Result<Self> {
        let file = folder.join("monitor");
        let output = std::fs::File::create(&file)?;
        let mut command = namespace.command("ip")?;
        command.args(["monitor", "address", "route", "rule"]).stdin(Stdio::null());
        let child = command.stdout(output).spawn().context("cannot run ip monitor")?;
        let watch = Self { child, file };
        // ip is listening when it prints this address.
        let mut number = 0;
        until("ip monitor", SETTLE, || {
            number += 1;
            let _ = namespace.ip(&format!("address add 192.0.2.{number}/32 dev lo"));
            watch.text().is_ok_and(|text| text.contains("192.0.2."))
        })?;
        Ok(watch)
    }

    fn text(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.file)?)
    }

    /// Removals that it has printed of these.
    fn removals(&self, of: &[&str]) -> Result<Vec<String>> {
        let text = self.text()?;
        let gone = text.lines().filter(|line| line.starts_with("Deleted"));
        Ok(gone.filter(|line| of.iter().any(|one| line.contains(one))).map(str::to_owned).collect())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[needs("ours")]
fn a_bouncing_or_recreated_second_interface_causes_no_takeover() -> Result<()> {
    const ALL: [&str; 3] = ["fd78::200/64", "10.78.0.200/24", "198.51.100.0/24 via 10.78.0.254"];
    let instance = Instance::v3(200).line(
        "virtual_ipaddress_excluded {
        fd78::200/64 dev lan1
        10.78.0.200/24 dev lan1
    }
    virtual_routes {
        198.51.100.0/24 via 10.78.0.254 dev lan1
    }",
    );
    alone(Config::of(instance), LAN1)?.check(|pair| {
        pair.wait_for_master(0)?;
        let before = standings(pair)?;
        for _ in 0..ROUNDS {
            wait_for(pair, &ALL)?;
            pair.node(0)?.namespace.ip("link set lan1 down")?;
            ensure!(!shown(pair).contains(ALL[0]), "the kernel keeps IPv6 addresses");
            pair.node(0)?.namespace.ip("link set lan1 up")?;
        }
        for _ in 0..ROUNDS {
            wait_for(pair, &ALL)?;
            pair.node(0)?.namespace.ip(&format!("link del lan1\n{LAN1}"))?;
        }
        wait_for(pair, &ALL)?;
        ensure!(standings(pair)? == before, "the state has changed");
        blames_no_process(pair)
    })
}

/// Two instances with the same routes and rules, the second with a check.
fn twins(file: &Path) -> Config {
    let shared = "virtual_routes {
        default via 10.77.0.254 dev lan0
        2001:db8::/48 via fd77::fe dev lan0
    }
    virtual_rules {
        from 10.77.0.210 table 100 preference 500
        from fd77::210 table 100 preference 501
    }";
    let one = |vrid, address| Instance::v3(200).vrid(vrid).addresses(&[address]).line(shared);
    let blocks = format!("track_file tf {{\n    file {}\n    weight 0\n}}\n", file.display());
    let second = one(6, "10.77.0.206/24").line("track_file {\n        tf\n    }");
    Config { blocks, instances: vec![one(5, "10.77.0.205/24"), second], ..Config::default() }
}

#[test]
#[needs("ours")]
fn routes_and_rules_of_two_masters_stay_while_one_is_master() -> Result<()> {
    const SHARED: [&str; 4] = ["default via 10.77.0.254", "2001:db8::/48 via fd77::fe", "500:", "501:"];
    let folder = Directory::new()?;
    let file = folder.path().join("tf");
    std::fs::write(&file, "0\n")?;
    let config = twins(&file);
    let first_alone = Config { instances: config.instances[..1].to_vec(), ..config.clone() };
    alone(config, "link set lo up")?.check(|pair| {
        wait_for_states(pair, &["MASTER", "MASTER"])?;
        wait_for(pair, &SHARED)?;
        let watch = Watch::of(&pair.node(0)?.namespace, folder.path())?;
        for _ in 0..ROUNDS {
            std::fs::write(&file, "1\n")?;
            wait_for_states(pair, &["MASTER", "FAULT"])?;
            until("the removal of its own address", SETTLE, || !shown(pair).contains("10.77.0.206/24"))?;
            std::fs::write(&file, "0\n")?;
            wait_for_states(pair, &["MASTER", "MASTER"])?;
        }
        pair.reload(0, &first_alone)?;
        until("the removal of the second instance", SETTLE, || !shown(pair).contains("10.77.0.206/24"))?;
        wait_for(pair, &SHARED)?;
        let named = ["default via 10.77.0.254", "2001:db8::/48", "from 10.77.0.210", "from fd77::210"];
        let removals = watch.removals(&named)?;
        ensure!(removals.is_empty(), "{removals:?}");
        blames_no_process(pair)?;
        pair.node(0)?.namespace.ip("link set lan0 down")?;
        until("the removal of all paths with the last master", SETTLE, || {
            let shown = shown(pair);
            SHARED.iter().all(|one| !shown.contains(one))
        })
    })
}

#[test]
#[needs("ours")]
fn addresses_removed_with_the_first_of_their_subnet_cause_no_takeover() -> Result<()> {
    let folder = Directory::new()?;
    let file = folder.path().join("tf");
    std::fs::write(&file, "0\n")?;
    let blocks = format!("track_file tf {{\n    file {}\n    weight 0\n}}\n", file.display());
    let first = Instance::v3(200).vrid(5).addresses(&["192.168.50.10/24"]);
    let first = first.line("track_file {\n        tf\n    }");
    // The host itself has an address in each of these subnets, before the virtual one.
    let subnets = 60..60 + ROUNDS;
    let further: Vec<String> = subnets.clone().map(|net| format!("192.168.{net}.11/24")).collect();
    let further = ["192.168.50.11/24"].into_iter().chain(further.iter().map(String::as_str));
    let second = Instance::v3(200).vrid(6).addresses(&further.collect::<Vec<_>>());
    let config = Config { blocks, instances: vec![first, second], ..Config::default() };
    let mut pair = Pair::idle([Role::new(DAEMON, config)])?;
    let namespace = &pair.node(0)?.namespace;
    for scope in ["all", "lan0"] {
        namespace.sysctl(&format!("ipv4/conf/{scope}/promote_secondaries"), "0")?;
    }
    for net in subnets.clone() {
        namespace.ip(&format!("address add 192.168.{net}.1/24 dev lan0"))?;
    }
    pair.start(0)?;
    pair.check(|pair| {
        wait_for_states(pair, &["MASTER", "MASTER"])?;
        let before = standings(pair)?.pop();
        for net in subnets {
            wait_for(pair, &["192.168.50.10/24", "192.168.50.11/24"])?;
            std::fs::write(&file, "1\n")?;
            wait_for_states(pair, &["FAULT", "MASTER"])?;
            until("the removal of its address", SETTLE, || !shown(pair).contains("192.168.50.10/24"))?;
            wait_for(pair, &["192.168.50.11/24"])?;
            std::fs::write(&file, "0\n")?;
            wait_for_states(pair, &["MASTER", "MASTER"])?;
            let namespace = &pair.node(0)?.namespace;
            namespace.ip(&format!("address del 192.168.{net}.1/24 dev lan0"))?;
            let virtual_one = format!("192.168.{net}.11/24");
            until("the first place in its subnet", SETTLE, || {
                let shown = shown(pair);
                shown.lines().any(|line| line.contains(&virtual_one) && !line.contains("secondary"))
            })?;
        }
        ensure!(standings(pair)?.pop() == before, "the state has changed");
        blames_no_process(pair)
    })
}
