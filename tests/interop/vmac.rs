//! Virtual MAC addresses: the interfaces are like keepalived's, and an address moves unnoticed by neighbours.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::flavour::Flavour;
use vrrp_tests::lab::{INTERFACE, Node, client_address};
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::{cases, needs};

use crate::{get_along, get_along_with};

const OURS: Daemon = Daemon::Vrrpx(Mode::Auto);

cases! {
    #[needs("lab", "keepalived")]
    fn keepalived_version_3 = get_along(Mode::Auto, Flavour::Vmac);
    fn keepalived_version_3_on_the_native_hook = get_along(Mode::Native, Flavour::Vmac);
    fn keepalived_version_3_on_sockets = get_along(Mode::Socket, Flavour::Vmac);
    fn keepalived_version_3_over_ipv6 = get_along(Mode::Auto, Flavour::VmacV6);
    fn keepalived_with_adverts_from_the_base = get_along(Mode::Auto, Flavour::VmacBase);
}

#[test]
#[needs("lab", "vrrpd")]
fn frr_version_3() -> Result<()> {
    get_along_with(Daemon::Frr, Mode::Auto, Flavour::Vmac)
}

#[test]
#[needs("lab", "vrrpd")]
fn frr_version_3_over_ipv6() -> Result<()> {
    get_along_with(Daemon::Frr, Mode::Auto, Flavour::VmacV6)
}

/// The client has a permanent neighbour entry with the virtual MAC address, by which it reaches each master in turn.
fn a_neighbour_needs_no_change(flavour: Flavour, mac: &str) -> Result<()> {
    for theirs in [OURS, Daemon::Keepalived, Daemon::Frr] {
        for (master, heir) in [(OURS, theirs), (theirs, OURS)] {
            Pair::settled(flavour.roles(master, heir))?
                .check(|pair| reachable_by(pair, mac))
                .with_context(|| format!("{master:?} and {heir:?}"))?;
        }
    }
    Ok(())
}

fn reachable_by(pair: &mut Pair, mac: &str) -> Result<()> {
    let heir = pair.roles.first().and_then(|role| role.config.instances.first()).context("no instance")?;
    let address = *heir.virtual_addresses().last().context("no virtual address")?;
    let client = format!("neighbour replace {address} lladdr {mac} nud permanent dev {INTERFACE}");
    pair.lab.client.ip(&client)?;
    pair.wait_for_address(0, address, true)?;
    answers(pair, address).context("by the first master")?;
    pair.die(0)?;
    pair.wait_for_master(1)?;
    pair.wait_for_address(1, address, true)?;
    answers(pair, address).context("by the heir")
}

fn answers(pair: &Pair, address: IpAddr) -> Result<()> {
    let (from, to) = (client_address(address).to_string(), address.to_string());
    let ping = ["-n", "-c", "1", "-W", "1", "-I", from.as_str(), to.as_str()];
    until(&format!("an answer of {address}"), SETTLE, || pair.lab.client.run("ping", &ping).is_ok())
}

#[test]
#[needs("lab", "keepalived", "vrrpd", "ping")]
fn a_neighbour_needs_no_change_over_ipv4() -> Result<()> {
    a_neighbour_needs_no_change(Flavour::Vmac, "00:00:5e:00:01:33")
}

#[test]
#[needs("lab", "keepalived", "vrrpd", "ping")]
fn a_neighbour_needs_no_change_over_ipv6() -> Result<()> {
    a_neighbour_needs_no_change(Flavour::VmacV6, "00:00:5e:00:02:33")
}

/// Settings left out of the comparison, or different on purpose.
const DIFFERENT: &[&str] = &[
    // Otherwise it would answer for the parent's IPv4 addresses with the virtual MAC address, as keepalived's does.
    "ipv4/conf/vrrp6.51/arp_ignore",
    // Router discovery uses only the parent; keepalived drops the router solicitation by nftables.
    "ipv6/conf/vrrp6.51/accept_ra",
];

/// The same file makes the same interfaces with the same settings.
#[test]
#[needs("lab", "keepalived", "ping")]
fn interfaces_are_as_keepalived_makes_them() -> Result<()> {
    let written = ["10.77.0.203/24", "10.77.0.204/24 dev lan0"];
    let config = Config {
        instances: vec![
            Instance::v3(200).line("use_vmac"),
            Instance::v6(200).named("VI_6").line("use_vmac"),
            Instance::v3(200)
                .vrid(7)
                .addresses(&written)
                .line("use_vmac carrier0 02:00:00:00:00\n    vmac_xmit_base"),
        ],
        ..Config::default()
    };
    let [ours, theirs] = [OURS, Daemon::Keepalived].map(|daemon| -> Result<_> {
        let mut pair = Pair::idle([Role::new(daemon, config.clone())])?;
        for key in ["accept_dad", "accept_ra"] {
            // The kernel's default, which the lab changes.
            pair.node(0)?.namespace.sysctl(&format!("ipv6/conf/default/{key}"), "1")?;
        }
        pair.start(0)?;
        pair.check(|pair| {
            for address in ["10.77.0.200", "fd77::200", "10.77.0.204"] {
                pair.wait_for_address(0, address.parse()?, true)?;
            }
            Ok((links(pair.node(0)?)?, settings(pair.node(0)?)?, places(pair.node(0)?)?))
        })
        .with_context(|| format!("{daemon:?}"))
    });
    let (ours, theirs) = (ours?, theirs?);
    ensure!(ours.0.len() == 4, "interfaces: {:#?}", ours.0);
    ensure!(ours.0 == theirs.0, "ours {:#?}, keepalived's {:#?}", ours.0, theirs.0);
    ensure!(ours.2 == theirs.2, "ours {:#?}, keepalived's {:#?}", ours.2, theirs.2);
    let differ = |(key, value): &(&String, &String)| theirs.1.get(*key) != Some(*value);
    let differing: Vec<_> = ours.1.iter().filter(differ).map(|(key, _)| key.as_str()).collect();
    ensure!(ours.1.len() == theirs.1.len(), "{} settings, and {}", ours.1.len(), theirs.1.len());
    ensure!(differing == DIFFERENT, "other settings: {differing:?}");
    Ok(())
}

/// Output of `ip -details link` for each interface, without values that differ each time.
fn links(node: &Node) -> Result<BTreeMap<String, Value>> {
    let text = node.namespace.run("ip", &["-json", "-details", "link", "show"])?;
    let mut links = BTreeMap::new();
    for link in serde_json::from_str::<Vec<Value>>(&text)? {
        let name = link["ifname"].as_str().unwrap_or_default().to_owned();
        if name == "lo" {
            continue;
        }
        let kept = [
            "link",
            "flags",
            "mtu",
            "qdisc",
            "operstate",
            "group",
            "link_type",
            "address",
            "promiscuity",
            "linkinfo",
            "inet6_addr_gen_mode",
        ];
        let kept = kept.iter().map(|key| ((*key).to_owned(), link[*key].clone())).collect();
        links.insert(name, Value::Object(kept));
    }
    Ok(links)
}

/// Settings below `conf` of the interfaces, by path.
fn settings(node: &Node) -> Result<BTreeMap<String, String>> {
    node.namespace.enter(|| {
        let mut settings = BTreeMap::new();
        for family in ["ipv4", "ipv6"] {
            let conf = format!("/proc/sys/net/{family}/conf");
            for interface in std::fs::read_dir(&conf)? {
                let interface = interface?;
                for file in std::fs::read_dir(interface.path())? {
                    let path = file?.path();
                    // Some cannot be read.
                    let Ok(value) = std::fs::read_to_string(&path) else { continue };
                    let key = path.strip_prefix("/proc/sys/net")?.display().to_string();
                    settings.insert(key, value.trim().to_owned());
                }
            }
        }
        Ok(settings)
    })
}

/// Virtual addresses with their interfaces.
fn places(node: &Node) -> Result<Vec<(String, String, u64)>> {
    let mut places: Vec<_> = node
        .addresses()?
        .into_iter()
        .filter(|held| held.address.contains("200") || held.address.starts_with("10.77.0.20"))
        .map(|held| (held.interface, held.address, held.prefix))
        .collect();
    places.sort();
    Ok(places)
}
