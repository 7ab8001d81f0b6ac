//! Kernel settings of the network that work against virtual addresses, and services that depend on them.

use std::net::IpAddr;

use vrrp_ebpf::wire::Family;

use super::facts::ListeningService;
use super::interfaces::{here, on};
use super::{Facts, Findings};
use crate::config::{Config, VirtualAddress};
use crate::driver::sysctl::named as sysctl;

/// Services that are named one by one.
const NAMED: usize = 5;

pub(super) fn arp(config: &Config, facts: &Facts, findings: &mut Findings) {
    for (name, ifindex) in here(config, facts) {
        if on(config, name).all(|it| it.family == Family::V6) {
            continue;
        }
        ignored(config, facts, name, ifindex, findings);
        let own = |key: &str| facts.setting(&format!("ipv4/conf/{name}/{key}"));
        if facts.effective(name, "drop_gratuitous_arp") == Some(1) {
            findings.warn(
                format!("{name}: drop_gratuitous_arp ignores announcements of a new master"),
                format!("sysctl -w net.ipv4.conf.all.drop_gratuitous_arp=0, the same for {name}"),
            );
        }
        // The kernel takes the larger one of both, as for the others.
        if facts.effective(name, "proxy_arp") == Some(1) {
            findings.warn(
                format!("{name}: proxy_arp lets a backup answer for addresses that it has a route to"),
                format!("sysctl -w net.ipv4.conf.all.proxy_arp=0, the same for {name}"),
            );
        }
        if own("accept_local") == Some(1) && on(config, name).all(|it| it.vmacs.own.is_none()) {
            findings.warn(
                format!("{name}: accept_local takes packets from the wire that claim to come from this host"),
                format!("sysctl -w {}=0", sysctl("ipv4", name, "accept_local")),
            );
        }
        neighbours(config, facts, name, ifindex, findings);
    }
    if findings.is_well() && !here(config, facts).is_empty() {
        findings.ok("ARP: no kernel setting works against the virtual addresses");
    }
}

/// Modes in which the kernel does not answer ARP requests for the virtual addresses.
fn ignored(config: &Config, facts: &Facts, name: &str, ifindex: u32, findings: &mut Findings) {
    let Some(mode) = facts.effective(name, "arp_ignore") else { return };
    let addresses = || on(config, name).flat_map(|it| it.addresses.all());
    // Mode 2 wants the sender and the address in one subnet of the interface.
    let is_covered = |address: IpAddr| {
        let mut own = facts.host.addresses.iter().filter(|it| it.ifindex == ifindex && !it.marked);
        own.any(|own| own.prefix < 32 && own.is_near(address))
    };
    let alone = || addresses().find(|it| it.prefix == 32 && !is_covered(it.address)).map(|it| it.address);
    let fix = |value: u8| {
        let key = sysctl("ipv4", name, "arp_ignore");
        format!("sysctl -w {key}={value} (and conf.all, if it has {mode})")
    };
    match mode {
        8 => findings.fail(format!("{name}: arp_ignore 8 answers no ARP request at all"), fix(1)),
        2 => {
            if let Some(address) = alone() {
                findings.fail(
                    format!("{name}: arp_ignore 2 answers no host outside of the subnet of {address}/32"),
                    format!("{}, or the prefix length of the subnet", fix(1)),
                );
            }
        }
        _ => {}
    }
}

/// Another interface with an address in the same subnet answers for the addresses too, with its own MAC address.
fn neighbours(config: &Config, facts: &Facts, name: &str, ifindex: u32, findings: &mut Findings) {
    let hosts = || facts.host.addresses.iter().filter(|it| it.address.is_ipv4() && !it.marked);
    let own = hosts().filter(|it| it.ifindex == ifindex).map(|it| it.address);
    let addresses = on(config, name).flat_map(|it| {
        // A virtual MAC address's interface is on this one.
        let is_here = |address: &&VirtualAddress| {
            [it.address_interface(), &it.interface].contains(&it.device_of(address))
        };
        it.addresses.all().filter(is_here).map(|address| address.address)
    });
    let here: Vec<IpAddr> = own.chain(addresses).collect();
    let mut others = hosts().filter(|it| it.ifindex != ifindex && it.prefix < 32);
    let Some(other) = others.find(|other| here.iter().any(|address| other.is_near(*address))) else {
        return;
    };
    let named = facts.host.links.iter().find(|(index, _)| *index == other.ifindex);
    let second = named.map_or("another interface", |(_, other)| other);
    // The settings of the interface on which a request arrives, or leaves, decide.
    let is_below = |key: &str, least| facts.effective(second, key).is_some_and(|value| value < least);
    let fix = "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2";
    if is_below("arp_ignore", 1) {
        let what =
            format!("{second} answers ARP requests for the virtual addresses with its own MAC address too");
        findings.warn(format!("{name} and {second} share a subnet: {what}"), fix);
    } else if is_below("arp_announce", 2) {
        let what = format!("ARP requests from a virtual address may leave {second} with its MAC address");
        findings.warn(format!("{name} and {second} share a subnet: {what}"), fix);
    }
    if facts.effective(name, "rp_filter") == Some(1) {
        findings.warn(
            format!("{name} and {second} share a subnet: rp_filter 1 drops what comes by the other one"),
            format!("sysctl -w net.ipv4.conf.all.rp_filter=2 {}=2", sysctl("ipv4", name, "rp_filter")),
        );
    }
}

pub(super) fn forwarding(config: &Config, facts: &Facts, findings: &mut Findings) {
    let routing = config.instances.iter().map(|it| &it.settings).find(|it| !it.routes.is_empty());
    let Some(settings) = routing else { return };
    let (path, key) = match settings.family {
        Family::V4 => ("ipv4/ip_forward", "net.ipv4.ip_forward"),
        Family::V6 => ("ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"),
    };
    match facts.setting(path) {
        Some(0) => findings.warn(
            format!("{} has virtual_routes, and this host forwards nothing", settings.name),
            format!("sysctl -w {key}=1, if it is a router"),
        ),
        _ => findings.ok(format!("forwarding is on, as virtual_routes of {} suggest", settings.name)),
    }
}

/// A service that is bound to a virtual address starts only where the address is: on the master.
pub(super) fn listeners(config: &Config, facts: &Facts, findings: &mut Findings) {
    let virtual_addresses = || config.instances.iter().flat_map(|it| it.settings.addresses.all());
    let is_virtual = |address: IpAddr| virtual_addresses().any(|it| it.address == address);
    let free = |family| {
        let path = match family {
            Family::V4 => "ipv4/ip_nonlocal_bind",
            Family::V6 => "ipv6/ip_nonlocal_bind",
        };
        facts.setting(path) == Some(1)
    };
    let bound: Vec<&ListeningService> =
        facts.listeners.iter().filter(|it| is_virtual(it.address.ip())).collect();
    let stuck = bound.iter().filter(|it| !free(Family::of(it.address.ip())));
    for ListeningService { address, process } in stuck.take(NAMED) {
        let who = process.as_deref().unwrap_or("a service");
        let key = if address.is_ipv4() { "net.ipv4.ip_nonlocal_bind" } else { "net.ipv6.ip_nonlocal_bind" };
        findings.warn(
            format!("{who} listens on {address}, which it cannot do on a backup"),
            format!("sysctl -w {key}=1, or listen on all addresses"),
        );
    }
    if findings.is_well() && !bound.is_empty() {
        findings.ok("services on virtual addresses start on a backup too (ip_nonlocal_bind)");
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{instance, judged};
    use super::*;
    use crate::daemon::process::fit::Host;
    use crate::driver::netlink::table::Address;

    fn facts(settings: &[(&str, i64)], further: &[(u32, &str)]) -> Facts {
        let address = |(ifindex, text): &(u32, &str)| {
            let (address, prefix) = text.split_once('/').unwrap();
            Address {
                ifindex: *ifindex,
                address: address.parse().unwrap(),
                prefix: prefix.parse().unwrap(),
                peer: None,
                secondary: false,
                usable: true,
                marked: false,
            }
        };
        let addresses = [(2, "192.0.2.10/24")].iter().chain(further).map(address).collect();
        let links = vec![(2, "eth0".to_owned()), (3, "eth1".to_owned())];
        let settings = settings.iter().map(|(path, value)| ((*path).to_owned(), *value)).collect();
        Facts { host: Host { links, addresses, ..Host::default() }, settings, ..Facts::default() }
    }

    #[test]
    fn settings_of_arp_that_harm_are_reported() {
        let of = |addresses: &str, settings: &[(&str, i64)], further: &[(u32, &str)]| {
            judged(arp, &instance("", addresses), &facts(settings, further))
        };
        let well = "ok ARP: no kernel setting works against the virtual addresses";
        assert_eq!(of("192.0.2.1/24", &[], &[]), [well]);
        let same_subnet = [("ipv4/conf/all/arp_ignore", 2)];
        assert_eq!(of("192.0.2.1/24", &same_subnet, &[]), [well]);
        assert_eq!(of("192.0.2.1/32", &same_subnet, &[]), [well], "192.0.2.10/24 is on eth0");
        let lines = of("198.51.100.1/32", &same_subnet, &[(3, "198.51.100.11/24")]);
        assert!(lines[0].starts_with("FAIL eth0: arp_ignore 2 answers no host outside"), "{lines:?}");
        for (settings, further, expected) in [
            (&[("ipv4/conf/eth0/arp_ignore", 8)][..], &[][..], "FAIL eth0: arp_ignore 8 answers no"),
            (&[("ipv4/conf/all/drop_gratuitous_arp", 1)], &[], "warn eth0: drop_gratuitous_arp"),
            (&[("ipv4/conf/eth0/proxy_arp", 1)], &[], "warn eth0: proxy_arp"),
            (&[("ipv4/conf/eth0/accept_local", 1)], &[], "warn eth0: accept_local"),
            (
                &[("ipv4/conf/all/arp_ignore", 0), ("ipv4/conf/eth0/arp_ignore", 1)],
                &[(3, "192.0.2.11/24")],
                "warn eth0 and eth1 share a subnet: eth1 answers ARP requests",
            ),
            (
                &[("ipv4/conf/eth1/arp_ignore", 1), ("ipv4/conf/all/arp_announce", 1)],
                &[(3, "192.0.2.11/24")],
                "warn eth0 and eth1 share a subnet: ARP requests from a virtual address",
            ),
            (
                &[("ipv4/conf/all/rp_filter", 1)],
                &[(3, "192.0.2.11/24")],
                "warn eth0 and eth1 share a subnet: rp_filter 1",
            ),
        ] {
            let lines = of("192.0.2.1/32", settings, further);
            assert!(lines.len() == 1 && lines[0].starts_with(expected), "{expected}: {lines:?}");
        }
        let flux = [("ipv4/conf/all/arp_ignore", 0)];
        assert_eq!(of("192.0.2.1/24", &flux, &[(3, "198.51.100.11/24")]), [well]);
        let elsewhere = [(3, "198.51.100.11/24")];
        assert_eq!(of("192.0.2.1/24 dev eth1", &flux, &elsewhere), [well]);
        assert_eq!(of("198.51.100.1/24 dev eth1", &flux, &elsewhere), [well]);
        // The virtual address is in the subnet of the other interface only.
        let lines = of("198.51.100.1/24", &flux, &[(3, "198.51.100.11/24")]);
        assert!(lines[0].starts_with("warn eth0 and eth1 share a subnet: eth1 answers"), "{lines:?}");
        let secured = [("ipv4/conf/all/arp_ignore", 1), ("ipv4/conf/all/arp_announce", 2)];
        assert_eq!(of("192.0.2.1/24", &secured, &[(3, "192.0.2.11/24")]), [well]);
    }

    #[test]
    fn routes_need_forwarding() {
        let config =
            instance("virtual_routes {\n198.51.100.0/24 via 192.0.2.254 dev eth0\n}", "192.0.2.1/24");
        let of = |value| judged(forwarding, &config, &facts(&[("ipv4/ip_forward", value)], &[]));
        assert!(of(0)[0].starts_with("warn web has virtual_routes, and this host forwards nothing"));
        assert!(of(1)[0].starts_with("ok forwarding is on"));
        assert!(
            judged(forwarding, &instance("", "192.0.2.1"), &facts(&[("ipv4/ip_forward", 0)], &[])).is_empty()
        );
    }

    #[test]
    fn a_service_on_a_virtual_address_is_reported_unless_it_may_bind_to_it() {
        let of = |address: &str, free| {
            let process = Some("nginx".to_owned());
            let listeners = vec![ListeningService { address: address.parse().unwrap(), process }];
            let facts = Facts { listeners, ..facts(&[("ipv4/ip_nonlocal_bind", free)], &[]) };
            judged(super::listeners, &instance("", "192.0.2.1/24"), &facts)
        };
        assert_eq!(
            of("192.0.2.1:80", 0),
            ["warn nginx listens on 192.0.2.1:80, which it cannot do on a backup | sysctl -w \
                 net.ipv4.ip_nonlocal_bind=1, or listen on all addresses"]
        );
        assert!(of("192.0.2.1:80", 1)[0].starts_with("ok "));
        assert!(of("0.0.0.0:80", 0).is_empty());
    }
}
