//! Interfaces of the configuration: presence, addresses, receive paths, programs of others.

use std::collections::BTreeSet;
use std::net::IpAddr;

use vrrp_ebpf::wire::Family;

use super::{Facts, Findings};
use crate::config::{Config, InstanceSettings};
use crate::driver::netlink::table::Address;
use crate::driver::sysctl::named as sysctl;

/// Interfaces that adverts arrive on.
pub(super) fn used(config: &Config) -> BTreeSet<&str> {
    let names = config.instances.iter().map(|instance| &*instance.settings.interface);
    names.filter(|name| !name.is_empty()).collect()
}

/// Settings of the instances on an interface.
pub(super) fn on<'a>(config: &'a Config, interface: &str) -> impl Iterator<Item = &'a InstanceSettings> {
    config.instances.iter().map(|it| &*it.settings).filter(move |it| &*it.interface == interface)
}

fn families(config: &Config, interface: &str) -> Vec<Family> {
    let has = |family| on(config, interface).any(|it| it.family == family);
    [Family::V4, Family::V6].into_iter().filter(|family| has(*family)).collect()
}

/// The interfaces of the configuration that this host has, each with its index.
pub(super) fn here<'a>(config: &'a Config, facts: &Facts) -> Vec<(&'a str, u32)> {
    used(config).into_iter().filter_map(|name| Some((name, facts.index(name)?))).collect()
}

pub(super) fn presence(config: &Config, facts: &Facts, findings: &mut Findings) {
    if config.instances.is_empty() {
        return;
    }
    for line in facts.host.lacks_interfaces_of(config) {
        findings.fail(line, "ip -br link shows those that there are; correct `interface`, or create it");
    }
    for (line, fix) in facts.host.unfit(config) {
        findings.fail(line, fix);
    }
    for line in facts.host.faults(config) {
        let fix = match line.starts_with("track_interface") {
            true => "ip -br link shows those that there are; correct it, create it, or give it a weight",
            false => {
                "ip address add ADDRESS/PREFIX dev INTERFACE, or correct `unicast_src_ip` or `mcast_src_ip`"
            }
        };
        findings.fail(line, fix);
    }
    for it in config.instances.iter().map(|it| &it.settings) {
        if it.unicast.as_ref().is_some_and(|unicast| unicast.peers.is_empty()) {
            let text = format!("vrrp_instance {}: it has no `unicast_peer`, and stays in FAULT", it.name);
            findings.fail(text, "list the other nodes in `unicast_peer { … }`");
        }
    }
    for (name, ifindex) in here(config, facts) {
        let link = facts.interfaces.get(name).and_then(|it| it.link.as_ref());
        let Some(link) = link else { continue };
        if !link.set_up {
            findings.fail(format!("{name} is down"), format!("ip link set {name} up"));
            continue;
        }
        if !link.up {
            findings
                .fail(format!("{name} has no carrier"), "look at the cable, the switch port, the other end");
            continue;
        }
        let mut shown = Vec::new();
        for family in families(config, name) {
            let of_family = on(config, name).filter(|it| it.family == family);
            let sources: Vec<Option<IpAddr>> = of_family.map(|it| it.source).collect();
            let has_source = sources.iter().all(Option::is_some);
            let is_here =
                |source: &Option<IpAddr>| facts.host.addresses.iter().any(|own| Some(own.address) == *source);
            match own_address(facts, ifindex, family) {
                Some(address) => shown.push(format!("{}/{}", address.address, address.prefix)),
                None if sources.iter().all(is_here) => {
                    shown.push("a source address that is configured".to_owned());
                }
                // One that is missing is named above, and so is the reason why there is none.
                None if has_source || family == Family::V6 && has_no_v6(facts, name) => {}
                None => lacks_address(facts, name, ifindex, family, findings),
            }
        }
        if !shown.is_empty() {
            findings.ok(format!("{name} is up, with {}", shown.join(" and ")));
        }
    }
}

/// Whether the kernel has no IPv6 there, for a reason that is named.
fn has_no_v6(facts: &Facts, interface: &str) -> bool {
    facts.host.small.contains_key(interface) || facts.host.v6_off.contains(interface)
}

fn lacks_address(facts: &Facts, name: &str, ifindex: u32, family: Family, findings: &mut Findings) {
    let tentative = facts
        .host
        .addresses
        .iter()
        .find(|it| it.ifindex == ifindex && Family::of(it.address) == family && !it.marked && !it.usable);
    match (family, tentative) {
        (Family::V6, Some(it)) => findings.fail(
            format!("{name}: {} is tentative or a duplicate (DAD), so no advert is sent", it.address),
            format!("ip -6 addr show dev {name}; remove the duplicate on the other host"),
        ),
        (Family::V6, None) => findings.fail(
            format!("{name} has no link-local IPv6 address to send adverts from"),
            format!("sysctl -w {}=0, and set {name} down and up", sysctl("ipv6", name, "addr_gen_mode")),
        ),
        (Family::V4, _) => findings.fail(
            format!("{name} has no IPv4 address to send adverts from"),
            format!("ip address add ADDRESS/PREFIX dev {name}"),
        ),
    }
}

/// The first address of the host itself that adverts may be sent from.
fn own_address(facts: &Facts, ifindex: u32, family: Family) -> Option<&Address> {
    let is_link_local = |address: IpAddr| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    facts.host.addresses.iter().find(|it| {
        it.ifindex == ifindex
            && Family::of(it.address) == family
            && is_link_local(it.address)
            && it.usable
            && !it.marked
    })
}

pub(super) fn multicast(config: &Config, facts: &Facts, findings: &mut Findings) {
    for (name, _) in here(config, facts) {
        let card = facts.interfaces.get(name).and_then(|it| it.card.as_ref());
        let is_needed = on(config, name).any(|it| it.unicast.is_none());
        if let (true, Some(card)) = (is_needed, card)
            && !card.multicast
        {
            findings.fail(
                format!("{name} takes no multicast, and adverts are sent to a group"),
                format!("ip link set {name} multicast on, or unicast_peer"),
            );
        }
    }
}

/// Groups of one link of IPv4, as 224.0.0.18, are forwarded to all ports (RFC 4541 §2.1.2).
fn is_snooped(group: IpAddr) -> bool {
    !matches!(group, IpAddr::V4(group) if group.octets().starts_with(&[224, 0, 0]))
}

/// A switch that snoops forwards a group to ports that have joined it, and forgets them without a querier that asks.
pub(super) fn snooping(config: &Config, facts: &Facts, findings: &mut Findings) {
    for (name, _) in here(config, facts) {
        let bridge = facts.interfaces.get(name).and_then(|it| it.bridge.as_ref());
        let is_needed = on(config, name).any(|it| it.unicast.is_none() && is_snooped(it.group()));
        let Some(bridge) = bridge.filter(|bridge| is_needed && bridge.snoops) else { continue };
        let of =
            if bridge.name == name { name.to_owned() } else { format!("{name}: its bridge {}", bridge.name) };
        let queriers = bridge.queriers.as_ref();
        let queriers: Option<Vec<String>> = queriers.map(|all| all.iter().map(ToString::to_string).collect());
        match (bridge.queries, queriers.as_deref()) {
            (true, _) => findings.ok(format!("{of} snoops multicast, and sends queries itself")),
            (false, None) => {
                findings.skip(format!("{of} snoops multicast; this kernel does not tell which queriers it hears"));
            }
            (false, Some(queriers @ [_, ..])) => {
                findings.ok(format!("{of} snoops multicast, and hears the querier {}", queriers.join(" and ")));
            }
            (false, Some([])) => findings.warn(
                format!("{of} snoops multicast, and no querier is known: memberships expire, also in switches behind it"),
                format!("ip link set {0} type bridge mcast_querier 1, or mcast_snooping 0", bridge.name),
            ),
        }
    }
}

pub(super) fn subnets(config: &Config, facts: &Facts, findings: &mut Findings) {
    let faults = facts.host.faults(config);
    for line in facts.host.host_findings(config).into_iter().filter(|line| !faults.contains(line)) {
        findings.warn(line, "ip -br addr; correct the address or its `dev`");
    }
    let here = !here(config, facts).is_empty();
    let count: usize = config.instances.iter().map(|it| it.settings.addresses.all().count()).sum();
    if findings.is_well() && here && count > 0 {
        findings.ok(match count {
            1 => "the virtual address lies in a subnet of its interface".to_owned(),
            count => format!("the {count} virtual addresses lie in subnets of their interfaces"),
        });
    }
}

pub(super) fn ipv6(config: &Config, facts: &Facts, findings: &mut Findings) {
    for (name, _) in here(config, facts) {
        if !families(config, name).contains(&Family::V6) {
            continue;
        }
        let setting = |key: &str| facts.setting(&format!("ipv6/conf/{name}/{key}"));
        if setting("forwarding") == Some(1) && setting("accept_ra") == Some(1) {
            findings.warn(
                format!("{name}: accept_ra 1 has no effect while forwarding is 1: no default route by RA"),
                format!("sysctl -w {}=2, or a static default route", sysctl("ipv6", name, "accept_ra")),
            );
        }
        if setting("drop_unsolicited_na") == Some(1) {
            findings.warn(
                format!("{name}: drop_unsolicited_na ignores announcements of a new master"),
                format!("sysctl -w {}=0", sysctl("ipv6", name, "drop_unsolicited_na")),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::InterfaceFacts;
    use super::super::tests::{instance, judged};
    use super::*;
    use crate::daemon::process::fit::Host;
    use crate::driver::netlink::link::Link;
    use crate::driver::xdp::{Bridge, Taker};

    fn address(text: &str, usable: bool) -> Address {
        let (address, prefix) = text.split_once('/').unwrap();
        Address {
            ifindex: 2,
            address: address.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
            peer: None,
            secondary: false,
            usable,
            marked: false,
        }
    }

    fn facts(addresses: &[(&str, bool)], of: InterfaceFacts) -> Facts {
        let addresses = addresses.iter().map(|(text, usable)| address(text, *usable)).collect();
        let host = Host { links: vec![(2, "eth0".to_owned())], addresses, ..Host::default() };
        Facts { host, interfaces: [("eth0".to_owned(), of)].into(), ..Facts::default() }
    }

    fn link(up: bool, set_up: bool) -> InterfaceFacts {
        let link = Link { ifindex: 2, name: "eth0".to_owned(), up, set_up, ..Link::default() };
        InterfaceFacts { link: Some(link), ..InterfaceFacts::default() }
    }

    #[test]
    fn an_interface_needs_a_carrier_and_an_address_of_the_family() {
        let v4 = instance("", "192.0.2.1/24");
        let v6 = instance("", "2001:db8::1/64");
        for (config, addresses, of, expected) in [
            (&v4, &[("192.0.2.10/24", true)][..], link(true, true), "ok eth0 is up, with 192.0.2.10/24"),
            (&v4, &[], link(true, true), "FAIL eth0 has no IPv4 address"),
            (&v4, &[("fe80::1/64", true)], link(true, true), "FAIL eth0 has no IPv4 address"),
            (&v4, &[("192.0.2.10/24", true)], link(false, false), "FAIL eth0 is down | ip link set eth0 up"),
            (&v4, &[("192.0.2.10/24", true)], link(false, true), "FAIL eth0 has no carrier"),
            (&v6, &[("2001:db8::2/64", true)], link(true, true), "FAIL eth0 has no link-local IPv6 address"),
            (
                &v6,
                &[("fe80::1/64", false)],
                link(true, true),
                "FAIL eth0: fe80::1 is tentative or a duplicate",
            ),
            (&v6, &[("fe80::1/64", true)], link(true, true), "ok eth0 is up, with fe80::1/64"),
        ] {
            let lines = judged(presence, config, &facts(addresses, of));
            assert!(lines.len() == 1 && lines[0].starts_with(expected), "{expected}: {lines:?}");
        }
        // The source address is of another interface.
        let elsewhere = instance("mcast_src_ip 198.51.100.1", "192.0.2.1/24");
        let mut host = facts(&[("198.51.100.1/24", true)], link(true, true));
        host.host.addresses[0].ifindex = 3;
        assert_eq!(
            judged(presence, &elsewhere, &host),
            ["ok eth0 is up, with a source address that is configured"]
        );
        // The daemon is in FAULT without it.
        let lines = judged(presence, &elsewhere, &facts(&[("192.0.2.10/24", true)], link(true, true)));
        let expected = "FAIL vrrp_instance web: its source address 198.51.100.1 is on no interface";
        assert!(lines[0].starts_with(expected) && lines[0].contains(" | ip address add "), "{lines:?}");
        let mut small = facts(&[], link(true, true));
        small.host.small.insert("eth0".to_owned(), 1000);
        let lines = judged(presence, &v6, &small);
        assert!(lines.len() == 1 && lines[0].ends_with(" | ip link set eth0 mtu 1500"), "{lines:?}");
        let mut off = facts(&[], link(true, true));
        off.host.v6_off.insert("eth0".to_owned());
        let expected = "FAIL vrrp_instance web: IPv6 is off on eth0 (disable_ipv6), so that it stays in FAULT | sysctl \
                        -w net.ipv6.conf.eth0.disable_ipv6=0";
        assert_eq!(judged(presence, &v6, &off), [expected]);
        let mut port = facts(&[("192.0.2.10/24", true)], link(true, true));
        port.host.ports.extend(Taker::new("br0", "bridge").map(|taker| ("eth0".to_owned(), taker)));
        let lines = judged(presence, &v4, &port);
        assert!(
            lines[0].starts_with("FAIL vrrp_instance web: eth0 is a port of the bridge br0"),
            "{lines:?}"
        );
        assert!(lines[0].contains(" | write `interface br0`"), "{lines:?}");
        let lines = judged(presence, &v4, &Facts::default());
        assert!(lines[0].starts_with("FAIL vrrp_instance web: interface eth0 not found"), "{lines:?}");
    }

    #[test]
    fn an_address_outside_of_the_subnets_is_reported() {
        let of = |addresses: &str| {
            judged(subnets, &instance("", addresses), &facts(&[("192.0.2.10/24", true)], link(true, true)))
        };
        assert_eq!(of("192.0.2.1/24"), ["ok the virtual address lies in a subnet of its interface"]);
        assert!(of("198.51.100.1/24")[0].starts_with("warn vrrp_instance web: 198.51.100.1 is in no subnet"));
    }

    #[test]
    fn what_a_daemon_takes_for_a_fault_is_a_failure_and_no_warning() {
        let of = |lines: &str| {
            let facts = facts(&[("192.0.2.10/24", true)], link(true, true));
            [presence, subnets].map(|judge| judged(judge, &instance(lines, "192.0.2.1/24"), &facts))
        };
        let [faults, warnings] = of("track_interface {\ngone1\n}");
        assert!(faults[0].starts_with("FAIL track_interface: interface gone1 not found"), "{faults:?}");
        assert_eq!(warnings, ["ok the virtual address lies in a subnet of its interface"]);
        let [faults, warnings] = of("track_interface {\ngone1 weight -20\n}");
        assert_eq!(faults, ["ok eth0 is up, with 192.0.2.10/24"]);
        assert!(warnings[0].starts_with("warn track_interface: interface gone1 not found"), "{warnings:?}");
        let [faults, _] = of("unicast_peer {\n}\nunicast_fault_no_peer");
        assert!(faults[0].starts_with("FAIL vrrp_instance web: it has no `unicast_peer`"), "{faults:?}");
    }

    #[test]
    fn a_bridge_that_snoops_needs_a_querier() {
        let of = |lines: &str, bridge: Bridge| {
            let interface = InterfaceFacts { bridge: Some(bridge), ..link(true, true) };
            judged(snooping, &instance(lines, "192.0.2.1/24"), &facts(&[], interface)).concat()
        };
        let queriers = Some(Vec::new());
        let bridge = Bridge { name: "br0".to_owned(), snoops: true, queriers, ..Bridge::default() };
        let group = "mcast_dst_ip 239.1.1.1";
        let expected = "warn eth0: its bridge br0 snoops multicast, and no querier is known";
        let text = of(group, bridge.clone());
        assert!(text.starts_with(expected), "{text}");
        assert!(
            text.ends_with("| ip link set br0 type bridge mcast_querier 1, or mcast_snooping 0"),
            "{text}"
        );
        assert_eq!(of("", bridge.clone()), "", "224.0.0.18 is never snooped");
        assert_eq!(of("unicast_peer {\n192.0.2.2\n}", bridge.clone()), "", "adverts are no multicast");
        assert_eq!(of(group, Bridge { snoops: false, ..bridge.clone() }), "");
        let own = Bridge { name: "eth0".to_owned(), queries: true, ..bridge.clone() };
        assert_eq!(of(group, own), "ok eth0 snoops multicast, and sends queries itself");
        let unknown = of(group, Bridge { queriers: None, ..bridge.clone() });
        assert!(unknown.starts_with("skip eth0: its bridge br0 snoops multicast; this kernel"), "{unknown}");
        let heard = Bridge { queriers: Some(vec![[192, 0, 2, 1].into()]), ..bridge };
        assert_eq!(
            of(group, heard),
            "ok eth0: its bridge br0 snoops multicast, and hears the querier 192.0.2.1"
        );
    }

    #[test]
    fn ipv6_counts_for_its_instances_only() {
        let of = |addresses: &str, settings: &[(&str, i64)]| {
            let mut facts = facts(&[], link(true, true));
            facts.settings =
                settings.iter().map(|(key, value)| (format!("ipv6/conf/eth0/{key}"), *value)).collect();
            judged(ipv6, &instance("", addresses), &facts)
        };
        assert!(of("192.0.2.1", &[("drop_unsolicited_na", 1)]).is_empty());
        assert!(
            of("fe80::9", &[("forwarding", 1), ("accept_ra", 1)])[0].starts_with("warn eth0: accept_ra 1")
        );
        assert!(of("fe80::9", &[("forwarding", 1), ("accept_ra", 2)]).is_empty());
        assert!(of("fe80::9", &[("drop_unsolicited_na", 1)])[0].contains("ignores announcements"));
    }
}
