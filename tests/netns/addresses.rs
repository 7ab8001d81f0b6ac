//! Virtual addresses on the interfaces.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use vrrp_tests::clock::{elapse, until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::{Held, INTERFACE, VIRTUAL_V4};
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::{needs, waits};

use crate::{pair, roles, subject};

#[test]
#[needs("subject")]
fn label_scope_prefix_and_device_are_as_written() -> Result<()> {
    let addresses =
        ["10.77.0.200/24 label lan0:vip", "10.77.0.201/32 dev lan0 scope link", "10.77.0.202 dev lo"];
    let instance = |priority| {
        let excluded =
            "virtual_ipaddress_excluded {\n        10.77.1.1/28 dev lan0\n        fd77::201/64\n    }";
        Instance::v3(priority).addresses(&addresses).line(excluded)
    };
    Pair::settled(roles(subject(), instance(200), instance(100)))?.check(|pair| {
        for expected in [
            holds(INTERFACE, "10.77.0.200", 24, "global", "lan0:vip"),
            holds(INTERFACE, "10.77.0.201", 32, "link", INTERFACE),
            holds("lo", "10.77.0.202", 32, "global", "lo"),
            holds(INTERFACE, "10.77.1.1", 28, "global", INTERFACE),
            holds(INTERFACE, "fd77::201", 64, "global", ""),
        ] {
            let held = || pair.node(0).and_then(|node| node.addresses()).unwrap_or_default();
            until(&format!("{expected:?}"), SETTLE, || held().contains(&expected))
                .with_context(|| format!("{:#?}", held()))?;
        }
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn the_only_address_of_an_interface_is_not_taken_for_a_leftover() -> Result<()> {
    // keepalived removes it.
    let own = "10.77.0.1";
    let instance = Instance::v3(100).addresses(&["10.77.0.1/24"]);
    let file = Config::of(instance.clone()).to_string();
    let owner = file.replace("priority 100", "priority 255");
    ensure!(owner != file, "{file}");
    let mut pair = Pair::idle([Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(instance))])?;
    ensure!(pair.node(0)?.v4() == own && pair.lab.has_address(0, own)?, "the lab has other addresses");
    pair.start(0)?;
    pair.check(|pair| {
        until("the advice", SETTLE, || {
            pair.running(0).is_ok_and(|it| it.log().contains("write priority 255"))
        })?;
        let reason = |pair: &mut Pair| Ok(pair.running(0)?.status()?["instances"][0]["reason"].clone());
        until("Fault", SETTLE, || {
            let reason: Result<serde_json::Value> = reason(pair);
            reason.is_ok_and(|reason| reason == "no_source")
        })?;
        ensure!(pair.lab.has_address(0, own)?, "the address is gone");
        pair.reload(0, &owner)?;
        pair.wait_for_master(0)?;
        ensure!(pair.lab.has_address(0, own)?, "the address is gone");
        Ok(())
    })
}

/// Also on a kernel that does not report the origin of an address.
#[test]
#[needs("ours")]
fn addresses_set_by_vrrp_are_not_taken_for_the_host_s_own() -> Result<()> {
    const TAKEN: &str = "VRRP has not set it";
    let instance = Instance::v3(200);
    let config = Config::of(instance.clone()).to_string();
    let mut pair = pair(Daemon::Vrrpx(Mode::Auto))?;
    pair.running(0)?.kill();
    ensure!(pair.lab.has_address(0, VIRTUAL_V4)?, "the address has been removed");
    pair.restart(0, Signal::SIGKILL)?;
    pair.observer.clear();
    pair.check(|pair| {
        pair.wait_for_master(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        ensure!(!pair.running(0)?.log().contains(TAKEN), "at the start");
        let output = pair.running(0)?.reload(&config)?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        ensure!(output.status.success() && !text.contains(TAKEN), "at a reload: {text}");
        Ok(())
    })
}

/// keepalived removes it.
#[test]
#[needs("ours")]
fn an_owners_own_address_is_never_removed() -> Result<()> {
    let (own, other) = ("10.77.0.1", "10.77.0.200");
    let instance = Instance::v3(255).addresses(&["10.77.0.1/24", "10.77.0.200/24"]);
    let mut pair = Pair::idle([Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(instance))])?;
    pair.start(0)?;
    pair.check(|pair| {
        let held = |pair: &Pair, expected: [bool; 2]| -> Result<()> {
            let held = [own, other].map(|address| pair.lab.has_address(0, address));
            let held = held.into_iter().collect::<Result<Vec<_>>>()?;
            ensure!(held == expected, "held: {held:?} instead of {expected:?}");
            Ok(())
        };
        let gone = |pair: &Pair| until("the end", SETTLE, || held(pair, [true, false]).is_ok());
        pair.wait_for_master(0)?;
        pair.wait_for_address(0, other.parse()?, true)?;
        pair.lab.set_cable(0, false)?;
        gone(pair)?;
        pair.lab.set_cable(0, true)?;
        pair.wait_for_address(0, other.parse()?, true)?;
        // An address of the configuration before is not removed by the next one either.
        let fewer = Instance::v3(255).addresses(&["10.77.0.200/24"]);
        pair.running(0)?.reload(&Config::of(fewer).to_string())?;
        watch(std::time::Duration::from_millis(500));
        held(pair, [true, true])?;
        let both = Instance::v3(255).addresses(&["10.77.0.1/24", "10.77.0.200/24"]);
        pair.running(0)?.reload(&Config::of(both).to_string())?;
        pair.hot_restart(0, &[])?;
        pair.wait_for_master(0)?;
        held(pair, [true, true])?;
        // Once a second, the guard gets a plan of what is there.
        elapse(std::time::Duration::from_millis(1500));
        pair.running(0)?.process().signal(nix::sys::signal::Signal::SIGKILL)?;
        gone(pair)?;
        pair.restart(0, nix::sys::signal::Signal::SIGKILL)?;
        pair.wait_for_address(0, other.parse()?, true)?;
        pair.stop(0)?;
        held(pair, [true, false])
    })
}

#[test]
#[needs("subject")]
fn excluded_addresses_are_not_advertised_but_held() -> Result<()> {
    let instance =
        |priority| Instance::v3(priority).line("virtual_ipaddress_excluded {\n        10.77.0.210/24\n    }");
    Pair::settled(roles(subject(), instance(200), instance(100)))?.check(|pair| {
        pair.wait_for_address(0, "10.77.0.210".parse()?, true)?;
        let counts: Vec<_> = pair.observer.adverts().iter().map(|advert| advert.2.addresses).collect();
        ensure!(counts.iter().all(|&count| count == 1), "advertised: {counts:?}");
        Ok(())
    })
}

/// An advert need not list addresses: they may be moved by other means, as in a cloud.
#[waits]
#[test]
#[needs("subject")]
fn an_instance_without_advertised_addresses_has_one_master() -> Result<()> {
    let excluded = "virtual_ipaddress_excluded {\n        10.77.0.210/24\n    }";
    for (instance, line) in [
        (Instance::v3 as fn(u8) -> Instance, "no_virtual_ipaddress"),
        (Instance::v2, "no_virtual_ipaddress"),
        (Instance::v2, excluded),
    ] {
        let instance = |priority| instance(priority).addresses(&[]).line(line);
        Pair::settled(roles(subject(), instance(200), instance(100)))?.check(|pair| {
            let counts: Vec<_> = pair.observer.adverts().iter().map(|advert| advert.2.addresses).collect();
            ensure!(counts.iter().all(|&count| count == 0), "advertised: {counts:?}");
            pair.die(0)?;
            pair.wait_for_master(1)
        })?;
    }
    Ok(())
}

#[test]
#[needs("subject")]
fn leftovers_of_an_earlier_run_are_removed_at_start() -> Result<()> {
    Pair::idle(roles(subject(), Instance::v3(200), Instance::v3(100)))?.check(|pair| {
        pair.node(1)?.namespace.ip(&format!("address add {VIRTUAL_V4}/24 dev {INTERFACE}"))?;
        pair.start(0)?;
        pair.wait_for_master(0)?;
        pair.start(1)?;
        pair.wait_for_address(1, VIRTUAL_V4.parse()?, false)?;
        pair.observer.ensure_only(0)
    })
}

#[test]
#[needs("subject")]
fn a_killed_daemon_finds_its_addresses_again() -> Result<()> {
    pair(subject())?.check(|pair| {
        pair.kill(0);
        pair.wait_for_master(1)?;
        pair.observer.clear();
        pair.start(0)?;
        pair.wait_for_master(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        pair.wait_for_address(1, VIRTUAL_V4.parse()?, false)?;
        let held = pair.node(0)?.addresses()?;
        ensure!(held.iter().filter(|held| held.address == VIRTUAL_V4).count() == 1, "{held:#?}");
        Ok(())
    })
}

#[test]
#[needs("subject")]
fn a_stop_leaves_nothing_behind() -> Result<()> {
    let many: Vec<_> = (1..=20).map(|host| format!("10.77.2.{host}/32")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let instance = |priority| Instance::v3(priority).addresses(&many);
    let [master, heir] = roles(subject(), instance(200), instance(100));
    let before = Pair::idle([master.clone(), heir.clone()])?.node(0)?.addresses()?;
    Pair::settled([master, heir])?.check(|pair| {
        pair.wait_for_address(0, "10.77.2.20".parse()?, true)?;
        let status = pair.stop(0)?;
        ensure!(status.success(), "the daemon exited with {status}");
        // Link-local and similar addresses are the kernel's, and the same in every lab.
        let after = pair.node(0)?.addresses()?;
        ensure!(after == before, "before {before:#?}, after {after:#?}");
        let links = pair.node(0)?.namespace.run("ip", &["-json", "-details", "link", "show", INTERFACE])?;
        ensure!(!links.contains("\"prog\""), "a program is still attached: {links}");
        Ok(())
    })
}

#[test]
#[needs("subject")]
fn several_instances_have_masters_of_their_own() -> Result<()> {
    let config = |first, second| Config {
        instances: vec![
            Instance::v3(first).vrid(1).addresses(&["10.77.0.201/24"]),
            Instance::v3(second).vrid(2).addresses(&["10.77.0.202/24"]),
        ],
        ..Config::default()
    };
    let configs = [config(200, 100), config(100, 200)];
    Pair::idle(configs.map(|config| Role::new(subject(), config)))?.check(|pair| {
        pair.start(0)?;
        pair.start(1)?;
        for (node, address) in [(0, "10.77.0.201"), (1, "10.77.0.202")] {
            pair.wait_for_address(node, address.parse()?, true).context("the master's own address")?;
            pair.wait_for_address(1 - node, address.parse()?, false).context("the other's address")?;
        }
        pair.die(1)?;
        pair.wait_for_address(0, "10.77.0.202".parse()?, true)
    })
}

fn holds(interface: &str, address: &str, prefix: u64, scope: &str, label: &str) -> Held {
    let [interface, address, scope, label] = [interface, address, scope, label].map(str::to_owned);
    Held { interface, address, prefix, scope, label }
}
