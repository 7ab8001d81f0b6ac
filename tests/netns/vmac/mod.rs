//! Virtual MAC addresses: their interfaces from the start of a daemon to its end.

mod traffic;

use std::net::IpAddr;

use anyhow::{Result, ensure};
use serde_json::Value;
use vrrp_tests::clock::{poll, until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::flavour::{Flavour, lifecycle};
use vrrp_tests::lab::{INTERFACE, Node, VIRTUAL_V4};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, SETTLE};

use crate::{roles, subject};

const VMAC: &str = "vrrp.51";
const MAC: &str = "00:00:5e:00:01:33";

fn pair(daemon: Daemon) -> Result<Pair> {
    let instance = |priority| Instance::v3(priority).line("use_vmac");
    Pair::settled(roles(daemon, instance(200), instance(100)))
}

/// An interface in the output of `ip`; `None` if it does not exist.
fn link(node: &Node, name: &str) -> Option<Value> {
    let text = node.namespace.run("ip", &["-json", "-details", "link", "show", "dev", name]).ok()?;
    serde_json::from_str::<Vec<Value>>(&text).ok()?.pop()
}

fn setting(node: &Node, key: &str) -> Result<String> {
    node.namespace.enter(|| Ok(std::fs::read_to_string(format!("/proc/sys/net/{key}"))?.trim().to_owned()))
}

/// The interface that has an address.
fn carrier(pair: &Pair, node: usize, address: &str) -> Result<String> {
    let address: IpAddr = address.parse()?;
    poll(&format!("{address} on node {node}"), SETTLE, || {
        let held = pair.node(node)?.addresses()?;
        Ok(held.into_iter().find(|held| held.address == address.to_string()).map(|held| held.interface))
    })
}

#[test]
#[needs("subject")]
fn the_life_cycle_completes_with_virtual_mac_addresses() -> Result<()> {
    for flavour in [Flavour::Vmac, Flavour::VmacV6, Flavour::VmacBase] {
        let daemon = subject();
        Pair::settled(flavour.roles(daemon, daemon))?.check(lifecycle)?;
    }
    Ok(())
}

#[test]
#[needs("ours")]
fn a_stop_removes_the_interface_and_restores_the_parent() -> Result<()> {
    // keepalived 2.2.7 leaves the settings of the parent changed.
    let roles = roles(subject(), Instance::v3(200).line("use_vmac"), Instance::v3(100).line("use_vmac"));
    let mut pair = Pair::idle(roles)?;
    pair.node(0)?.namespace.sysctl(&format!("ipv4/conf/{INTERFACE}/arp_filter"), "0")?;
    pair.node(0)?.namespace.sysctl(&format!("ipv4/conf/{INTERFACE}/arp_ignore"), "2")?;
    let settings = |pair: &Pair| -> Result<[String; 2]> {
        let of = |key| setting(pair.node(0)?, &format!("ipv4/conf/{INTERFACE}/{key}"));
        Ok([of("arp_filter")?, of("arp_ignore")?])
    };
    pair.start(0)?;
    pair.start(1)?;
    pair.check(|pair| {
        pair.wait_for_master(0)?;
        ensure!(settings(pair)? == ["1", "1"], "meanwhile: {:?}", settings(pair)?);
        let status = pair.stop(0)?;
        ensure!(status.success(), "the daemon exited with {status}");
        ensure!(link(pair.node(0)?, VMAC).is_none(), "{VMAC} is still there");
        ensure!(settings(pair)? == ["0", "2"], "afterwards: {:?}", settings(pair)?);
        pair.wait_for_master(1)
    })
}

#[test]
#[needs("subject")]
fn a_killed_daemon_s_interface_is_reused() -> Result<()> {
    pair(subject())?.check(|pair| {
        let index = |pair: &Pair| -> Result<Option<u64>> {
            Ok(link(pair.node(0)?, VMAC).and_then(|link| link["ifindex"].as_u64()))
        };
        let before = index(pair)?;
        pair.kill(0);
        pair.wait_for_master(1)?;
        ensure!(before.is_some() && index(pair)? == before, "no interface is left to be reused");
        pair.observer.clear();
        pair.start(0)?;
        pair.wait_for_master(0)?;
        ensure!(index(pair)? == before, "another interface was made");
        ensure!(carrier(pair, 0, VIRTUAL_V4)? == VMAC, "the address is on another interface");
        pair.wait_for_address(1, VIRTUAL_V4.parse()?, false)?;
        pair.stop(0)?;
        ensure!(link(pair.node(0)?, VMAC).is_none(), "{VMAC} is still there");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn an_interface_of_another_mode_is_replaced() -> Result<()> {
    let instance = |priority| Instance::v3(priority).line("use_vmac");
    let mut pair = Pair::idle(roles(subject(), instance(200), instance(100)))?;
    pair.node(0)?.namespace.ip(&format!(
        "link add {VMAC} link {INTERFACE} address {MAC} type macvlan mode bridge\nlink set {VMAC} up"
    ))?;
    pair.start(0)?;
    pair.start(1)?;
    pair.check(|pair| {
        pair.wait_for_master(0)?;
        let shown = link(pair.node(0)?, VMAC).unwrap_or_default();
        ensure!(shown["linkinfo"]["info_data"]["mode"] == "private", "{shown}");
        Ok(())
    })
}

#[test]
#[needs("subject")]
fn a_name_that_is_taken_is_left_alone() -> Result<()> {
    let instance = |priority| Instance::v3(priority).line("use_vmac");
    let mut pair = Pair::idle(roles(subject(), instance(200), instance(100)))?;
    pair.node(0)?.namespace.ip(&format!("link add {VMAC} type bridge"))?;
    pair.start(0)?;
    pair.start(1)?;
    pair.check(|pair| {
        pair.wait_for_master(0)?;
        ensure!(carrier(pair, 0, VIRTUAL_V4)? == "vrrp1.51", "the address is on another interface");
        pair.stop(0)?;
        ensure!(link(pair.node(0)?, "vrrp1.51").is_none(), "vrrp1.51 is still there");
        ensure!(link(pair.node(0)?, VMAC).is_some(), "{VMAC} was not ours to remove");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_configured_name_that_is_taken_is_a_fault_until_it_is_free() -> Result<()> {
    let instance = |priority| Instance::v3(priority).line("use_vmac carrier0");
    let mut pair = Pair::idle(roles(subject(), instance(200), instance(100)))?;
    pair.node(0)?.namespace.ip("link add carrier0 type bridge")?;
    pair.start(0)?;
    pair.start(1)?;
    pair.check(|pair| {
        pair.wait_for_master(1)?;
        let log = pair.running(0)?.log();
        ensure!(log.contains("carrier0: an interface of this name already exists"), "{log}");
        pair.observer.clear();
        pair.node(0)?.namespace.ip("link del carrier0")?;
        pair.wait_for_master(0)?;
        ensure!(carrier(pair, 0, VIRTUAL_V4)? == "carrier0", "the address is on another interface");
        Ok(())
    })
}

#[test]
#[needs("subject")]
fn a_deleted_interface_is_a_fault_and_is_made_again() -> Result<()> {
    pair(subject())?.check(|pair| {
        pair.observer.clear();
        pair.node(0)?.namespace.ip(&format!("link del {VMAC}"))?;
        pair.wait_for_master(0)?;
        ensure!(carrier(pair, 0, VIRTUAL_V4)? == VMAC, "the address is on another interface");
        pair.wait_for_address(1, VIRTUAL_V4.parse()?, false)?;
        pair.wait_for_log(0, "FAULT")
    })
}

#[test]
#[needs("subject")]
fn the_macvlan_follows_a_parent_that_goes_down_or_is_recreated() -> Result<()> {
    pair(subject())?.check(|pair| {
        pair.lab.set_cable(0, false)?;
        pair.wait_for_master(1)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)?;
        pair.observer.clear();
        pair.lab.set_cable(0, true)?;
        pair.wait_for_master(0)?;
        let lan = pair.lab.lan.name().to_owned();
        let node = pair.node(0)?;
        node.namespace.ip(&format!("link del {INTERFACE}"))?;
        pair.wait_for_master(1)?;
        pair.observer.clear();
        node.namespace.ip(&format!(
            "link add {INTERFACE} address 02:00:00:00:00:01 type veth peer name port0 netns {lan}\n\
             address add 10.77.0.1/24 dev {INTERFACE}\nlink set {INTERFACE} up"
        ))?;
        pair.lab.lan.ip("link set port0 master br0 up")?;
        let carried = carrier(pair, 0, VIRTUAL_V4)?;
        ensure!(carried == VMAC, "the address is on {carried}");
        ensure!(setting(pair.node(0)?, &format!("ipv4/conf/{INTERFACE}/arp_ignore"))? == "1", "arp_ignore");
        pair.wait_for_address(1, VIRTUAL_V4.parse()?, false)
    })
}

#[test]
#[needs("subject")]
fn use_vmac_addr_gives_other_interfaces_the_virtual_mac_address() -> Result<()> {
    let addresses = ["10.77.0.200/24", "10.78.0.200/24 dev spare0"];
    let instance =
        |priority| Instance::v3(priority).addresses(&addresses).line("use_vmac\n    use_vmac_addr");
    let mut pair = Pair::idle(roles(subject(), instance(200), instance(100)))?;
    for node in [0, 1] {
        let lines = "link add spare0 type veth peer name spare1\nlink set spare0 up\nlink set spare1 up";
        pair.node(node)?.namespace.ip(lines)?;
    }
    pair.start(0)?;
    pair.start(1)?;
    pair.check(|pair| {
        pair.wait_for_master(0)?;
        ensure!(carrier(pair, 0, "10.77.0.200")? == VMAC, "the first address is on another interface");
        let further = carrier(pair, 0, "10.78.0.200")?;
        let shown = link(pair.node(0)?, &further).unwrap_or_default();
        ensure!(shown["address"] == MAC && shown["link"] == "spare0", "{shown}");
        pair.stop(0)?;
        ensure!(link(pair.node(0)?, &further).is_none(), "{further} is still there");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn adverts_are_heard_on_every_receive_path() -> Result<()> {
    for mode in [Mode::Native, Mode::Tcx, Mode::Generic, Mode::Socket] {
        let daemon = Daemon::Vrrpx(mode);
        Pair::settled(Flavour::Vmac.roles(daemon, daemon))?.check(|pair| {
            watch(5 * Instance::v3(100).master_down_interval());
            let adverts = pair.observer.adverts();
            ensure!(adverts.iter().rev().take(10).all(|advert| advert.1 == 0), "{mode:?}: two masters");
            pair.die(0)?;
            pair.wait_for_master(1)
        })?;
    }
    Ok(())
}

#[test]
#[needs("ours")]
fn a_mac_address_in_use_is_a_fault_that_names_the_user() -> Result<()> {
    let instance = |priority| Instance::v3(priority).line("use_vmac");
    let mut pair = Pair::idle(roles(subject(), instance(200), instance(100)))?;
    pair.node(0)?.namespace.ip(&format!(
        "link add other0 link {INTERFACE} address {MAC} type macvlan mode bridge\nlink set other0 up"
    ))?;
    pair.start(0)?;
    pair.start(1)?;
    pair.check(|pair| {
        pair.wait_for_master(1)?;
        let log = pair.running(0)?.log();
        ensure!(log.contains("vrrp.51: other0 on lan0 has its MAC address already"), "{log}");
        ensure!(link(pair.node(0)?, VMAC).is_none(), "{VMAC} was left");
        let status = pair.running(0)?.status()?;
        let shown = &status["instances"][0]["vmacs"][0];
        ensure!(shown["interface"] == VMAC && shown["parent"] == INTERFACE && shown["mac"] == MAC, "{shown}");
        ensure!(shown["missing"].as_str().is_some_and(|why| why.contains("other0")), "{shown}");
        pair.observer.clear();
        pair.node(0)?.namespace.ip("link del other0")?;
        pair.wait_for_master(0)
    })
}

#[test]
#[needs("ours")]
fn a_reload_makes_and_removes_interfaces() -> Result<()> {
    let plain = |priority| Instance::v3(priority);
    Pair::settled(roles(subject(), plain(200), plain(100)))?.check(|pair| {
        let reload = |pair: &mut Pair, instance: Instance| pair.reload(0, &Config::of(instance));
        let stands_on = |pair: &Pair, interface: &str| {
            let held = || pair.node(0)?.addresses();
            until(&format!("{VIRTUAL_V4} on {interface}"), SETTLE, || {
                let here = held().unwrap_or_default();
                let mut places = here.iter().filter(|held| held.address == VIRTUAL_V4);
                places.next().is_some_and(|held| held.interface == interface) && places.next().is_none()
            })
        };
        stands_on(pair, INTERFACE)?;
        reload(pair, plain(200).line("use_vmac"))?;
        stands_on(pair, VMAC)?;
        pair.wait_for_master(0)?;
        reload(pair, plain(200).line("use_vmac carrier0"))?;
        stands_on(pair, "carrier0")?;
        until("the old interface gone", SETTLE, || {
            pair.node(0).is_ok_and(|node| link(node, VMAC).is_none())
        })?;
        reload(pair, plain(200))?;
        stands_on(pair, INTERFACE)?;
        pair.wait_for_master(0)?;
        until("both gone", SETTLE, || pair.node(0).is_ok_and(|node| link(node, "carrier0").is_none()))
    })
}
