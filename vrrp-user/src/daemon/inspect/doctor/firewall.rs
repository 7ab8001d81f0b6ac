//! Firewall rules that keep adverts from leaving, or from other programs of this host.

use std::collections::BTreeSet;
use std::net::IpAddr;

use vrrp_ebpf::wire::{Family, PROTOCOL, ah};

use super::interfaces::here;
use super::rules::{Advert, Chain, Direction, Dropped, dropped};
use super::{Facts, Findings, iptables, nftables};
use crate::config::{Config, InstanceSettings};
use crate::protocol::Auth;

/// A program that writes its chains again and again, so that a rule in them does not last.
struct Owner {
    name: &'static str,
    /// Beginnings of the names of its chains.
    chains: &'static [&'static str],
    table: Option<&'static str>,
    remedy: &'static str,
}

impl Owner {
    const ALL: [Self; 4] = [
        Self {
            name: "Calico",
            chains: &["cali-"],
            table: Some("calico"),
            remedy: "a GlobalNetworkPolicy that allows `protocol: 112` to and from the host endpoint",
        },
        Self {
            name: "Cilium",
            chains: &["CILIUM_", "cilium_"],
            table: None,
            remedy: "a CiliumClusterwideNetworkPolicy with `protocol: VRRP` in `toPorts` for this node, and \
                     `enable-extended-ip-protocols`",
        },
        Self {
            name: "Kubernetes",
            chains: &["KUBE-"],
            table: Some("kube-proxy"),
            remedy: "kube-proxy and kubelet drop what another rule has marked (0x8000): look for the rule that marks \
                     adverts",
        },
        Self {
            name: "a CNI plugin",
            chains: &["CNI-"],
            table: None,
            remedy: "a rule in CNI-ADMIN, the chain that the plugin `firewall` leaves to the host",
        },
    ];

    fn of(found: &Dropped) -> Option<&'static Self> {
        let table = found.table.rsplit(' ').next();
        Self::ALL.iter().find(|owner| {
            owner.chains.iter().any(|beginning| found.chain.starts_with(beginning))
                || (owner.table.is_some() && owner.table == table)
        })
    }
}

pub(super) fn firewall(config: &Config, facts: &Facts, findings: &mut Findings) {
    let mut chains = Vec::new();
    match &facts.nftables {
        // The daemon's own table drops no advert.
        Some(Ok(text)) => {
            let own = format!("inet {}", config.globals.firewall.table);
            chains.extend(nftables::chains(text).into_iter().filter(|it| it.table != own));
            translate(&mut chains, &nftables::with_extensions(text), facts, findings);
        }
        Some(Err(why)) => findings.skip(format!("nftables: its rules cannot be read: {why}")),
        None => {}
    }
    for (family, rules) in &facts.iptables {
        match rules {
            Ok(text) => chains.extend(iptables::chains(text, *family)),
            Err(why) => findings.skip(format!("iptables: its rules cannot be read: {why}")),
        }
    }
    for (name, _) in here(config, facts) {
        let settings = || config.instances.iter().map(|it| &it.settings).filter(|it| &*it.interface == name);
        for direction in [Direction::Out, Direction::In] {
            let adverts = settings().flat_map(|it| adverts(it, direction));
            // One line for an interface, a way and a chain.
            let mut reported: Vec<(String, String)> = Vec::new();
            for advert in adverts {
                let Some(found) = dropped(&chains, &advert) else { continue };
                let place = (found.table.clone(), found.chain.clone());
                if !reported.contains(&place) {
                    reported.push(place);
                    report(&advert, &found, findings);
                }
            }
        }
    }
    if findings.list.is_empty() && !here(config, facts).is_empty() {
        findings.ok(match chains.len() {
            0 => "firewall: no rules".to_owned(),
            _ => "firewall: adverts pass in both directions".to_owned(),
        });
    }
}

/// Replaces the tables with extensions of iptables by what iptables-save says of them.
fn translate(chains: &mut Vec<Chain>, tables: &BTreeSet<String>, facts: &Facts, findings: &mut Findings) {
    // `iptables filter` is `ip filter` for `nft`.
    let place = |chain: &Chain| chain.table.replacen("tables", "", 1);
    for (family, rules) in &facts.iptables_nft {
        match rules {
            Ok(text) => {
                let mut said = iptables::chains(text, *family);
                said.retain(|it| tables.contains(&place(it)));
                chains.retain(|it| !said.iter().any(|other| place(other) == it.table));
                chains.extend(said);
            }
            Err(why) => findings.skip(format!("iptables-nft: its rules cannot be read: {why}")),
        }
    }
}

/// An advert of each form that the instance sends or receives.
fn adverts(settings: &InstanceSettings, direction: Direction) -> Vec<Advert<'_>> {
    let protocol = if matches!(settings.auth, Auth::Ah(_)) { ah::PROTOCOL } else { PROTOCOL };
    let (family, interface) = (settings.family, &*settings.interface);
    let interface = match direction {
        Direction::In => interface,
        Direction::Out => settings.vmacs.sender().map_or(interface, |name| &**name),
    };
    let destinations: Vec<IpAddr> = match &settings.unicast {
        None => vec![settings.group()],
        // Where it comes in, the destination is this host.
        Some(unicast) => unicast.peers.iter().map(|peer| peer.address).collect(),
    };
    let of = |destination| Advert { direction, family, protocol, interface, destination };
    destinations.into_iter().map(of).collect()
}

fn report(advert: &Advert<'_>, found: &Dropped, findings: &mut Findings) {
    let Dropped { table, chain, by_policy, is_certain } = found;
    let verb = if *is_certain { "drops" } else { "may drop" };
    let by = if *by_policy { " by its policy" } else { "" };
    let owner = Owner::of(found).map_or_else(String::new, |owner| format!(" of {}", owner.name));
    let what = format!("{table} chain {chain}{owner} {verb} protocol {}{by}", advert.protocol);
    let leaves = || format!("{what}, on its way out of {}", advert.interface);
    let fix = remedy(advert, found);
    match advert.direction {
        Direction::Out if *is_certain => findings.fail(leaves(), fix),
        Direction::Out => findings.warn(leaves(), fix),
        Direction::In => {
            findings.warn(format!("{what}: vrrpx hears it before, other programs here do not"), fix);
        }
    }
}

/// The command, or the policy of the chain's owner, that lets adverts pass.
fn remedy(advert: &Advert<'_>, found: &Dropped) -> String {
    if let Some(owner) = Owner::of(found) {
        return owner.remedy.to_owned();
    }
    let protocol = if advert.protocol == PROTOCOL { "vrrp" } else { "ah" };
    let Dropped { table, chain, .. } = found;
    if let Some((program, _)) = table.split_once(' ').filter(|(program, _)| program.ends_with("tables")) {
        let chain = if advert.direction == Direction::In { "INPUT" } else { "OUTPUT" };
        return format!("{program} -I {chain} -p {protocol} -j ACCEPT");
    }
    if table.ends_with(" firewalld") {
        // A reload would drop adverts while it loads.
        let add = format!("--add-protocol={protocol}");
        return format!("firewall-cmd --permanent {add} && firewall-cmd {add}");
    }
    let field = match (table.starts_with("ip6 "), advert.family) {
        (true, _) => "meta l4proto",
        (false, Family::V4) => "ip protocol",
        (false, Family::V6) => "meta l4proto",
    };
    format!("nft insert rule {table} {chain} {field} {protocol} accept")
}

#[cfg(test)]
mod tests {
    use super::super::facts::InterfaceFacts;
    use super::super::tests::{instance, judged};
    use super::*;
    use crate::daemon::process::fit::Host;

    fn facts(nftables: &str) -> Facts {
        let host = Host { links: vec![(2, "eth0".to_owned())], ..Host::default() };
        let interfaces = [("eth0".to_owned(), InterfaceFacts::default())].into();
        Facts { host, interfaces, nftables: Some(Ok(nftables.to_owned())), ..Facts::default() }
    }

    fn ruleset(table: &str, hook: &str) -> String {
        format!(
            r#"{{"nftables": [{{"chain": {{"family": "inet", "table": "{table}", "name": "c", "hook": "{hook}", "prio": 0,
            "policy": "drop"}}}}]}}"#
        )
    }

    #[test]
    fn a_drop_on_the_way_out_is_a_failure_and_one_on_the_way_in_a_warning() {
        let of = |rules: &str| judged(firewall, &instance("", "192.0.2.1"), &facts(rules));
        assert_eq!(of(r#"{"nftables": []}"#), ["ok firewall: no rules"]);
        assert_eq!(
            of(&ruleset("filter", "output")),
            [
                "FAIL inet filter chain c drops protocol 112 by its policy, on its way out of eth0 | nft insert rule inet \
                 filter c ip protocol vrrp accept"
            ]
        );
        let lines = of(&ruleset("firewalld", "input"));
        assert!(
            lines[0].starts_with("warn inet firewalld chain c drops protocol 112 by its policy: vrrpx hears"),
            "{lines:?}"
        );
        assert!(lines[0].contains("firewall-cmd --permanent --add-protocol=vrrp"), "{lines:?}");
        assert_eq!(of(&ruleset("filter", "forward")), ["ok firewall: adverts pass in both directions"]);
        assert_eq!(of(&ruleset("vrrpx", "input")), ["ok firewall: no rules"], "the daemon's own");
    }

    #[test]
    fn adverts_are_those_of_the_instance() {
        let drops_group = r#"{"nftables": [{"chain": {"family": "ip", "table": "f", "name": "c", "hook": "output", "prio": 0,
            "policy": "accept"}}, {"rule": {"family": "ip", "table": "f", "chain": "c", "expr": [{"match": {"op": "==",
            "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "224.0.0.18"}}, {"drop": null}]}}]}"#;
        let of = |lines| judged(firewall, &instance(lines, "192.0.2.1"), &facts(drops_group));
        assert!(of("")[0].starts_with("FAIL ip f chain c drops protocol 112, on"), "{:?}", of(""));
        let unicast = "unicast_src_ip 192.0.2.10\nunicast_peer {\n192.0.2.11\n}";
        assert_eq!(of(unicast), ["ok firewall: adverts pass in both directions"]);
    }

    #[test]
    fn tables_of_iptables_nft_are_judged_by_what_iptables_says() {
        let rules = r#"{"nftables": [{"chain": {"family": "ip", "table": "filter", "name": "INPUT",
            "hook": "input", "prio": 0, "policy": "drop"}}, {"rule": {"family": "ip", "table": "filter",
            "chain": "INPUT", "expr": [{"xt": {"type": "match", "name": "comment"}}, {"accept": null}]}}]}"#;
        let of = |saved: Result<&str, &str>| {
            let saved = saved.map(str::to_owned).map_err(str::to_owned);
            let facts = Facts { iptables_nft: vec![(Family::V4, saved)], ..facts(rules) };
            judged(firewall, &instance("", "192.0.2.1"), &facts)
        };
        let filter = |protocol: &str| {
            format!("*filter\n:INPUT DROP [0:0]\n-A INPUT -p {protocol} -m comment --comment x -j ACCEPT\n")
        };
        assert_eq!(of(Ok(&filter("vrrp"))), ["ok firewall: adverts pass in both directions"]);
        let lines = of(Ok(&filter("tcp")));
        let reported = "warn iptables filter chain INPUT drops protocol 112 by its policy";
        assert!(lines.len() == 1 && lines[0].starts_with(reported), "{lines:?}");
        let lines = of(Err("not found"));
        assert_eq!(lines[0], "skip iptables-nft: its rules cannot be read: not found");
        assert!(lines[1].contains("ip filter chain INPUT may drop"), "{lines:?}");
    }

    /// A rule that is inserted into such a chain would be gone soon.
    #[test]
    fn chains_of_container_networks_have_the_policy_of_their_owner_as_remedy() {
        let rows = [
            ("cali-to-host-endpoint", "Calico", "GlobalNetworkPolicy that allows `protocol: 112`"),
            ("CILIUM_OUTPUT", "Cilium", "CiliumClusterwideNetworkPolicy with `protocol: VRRP`"),
            ("KUBE-FIREWALL", "Kubernetes", "look for the rule that marks"),
            ("CNI-OUTPUT", "a CNI plugin", "a rule in CNI-ADMIN"),
        ];
        for (chain, owner, remedy) in rows {
            let saved = format!(
                "*filter\n:OUTPUT ACCEPT [0:0]\n:{chain} - [0:0]\n-A OUTPUT -j {chain}\n-A {chain} -j DROP\nCOMMIT\n"
            );
            let facts = Facts { iptables: vec![(Family::V4, Ok(saved))], ..facts(r#"{"nftables": []}"#) };
            let lines = judged(firewall, &instance("", "192.0.2.1"), &facts);
            let what =
                format!("FAIL iptables filter chain {chain} of {owner} drops protocol 112, on its way out");
            assert!(
                lines.len() == 1 && lines[0].starts_with(&what) && lines[0].contains(remedy),
                "{lines:?}"
            );
        }
        for (table, chain, owner) in [("calico", "c", "Calico"), ("kube-proxy", "c", "Kubernetes")] {
            let lines = judged(firewall, &instance("", "192.0.2.1"), &facts(&ruleset(table, "output")));
            assert!(
                lines[0].starts_with(&format!("FAIL inet {table} chain {chain} of {owner} drops")),
                "{lines:?}"
            );
            assert!(!lines[0].contains("nft insert"), "{lines:?}");
        }
    }

    #[test]
    fn rules_that_cannot_be_read_are_skipped() {
        let facts = Facts { nftables: Some(Err("cannot run nft".to_owned())), ..facts("") };
        let lines = judged(firewall, &instance("", "192.0.2.1"), &facts);
        assert_eq!(lines, ["skip nftables: its rules cannot be read: cannot run nft"]);
    }
}
