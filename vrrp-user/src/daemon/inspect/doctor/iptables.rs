//! Chains of iptables' older kernel interface, from the text of iptables-save(8).

use std::net::IpAddr;

use vrrp_ebpf::wire::Family;

use super::rules::{Chain, Direction, Hook, Rule, RuleVerdict, Test};

/// Chains of the kernel that an advert passes, with their place on its path.
const BUILT_IN: [(&str, Direction, u8); 4] = [
    ("PREROUTING", Direction::In, 1),
    ("INPUT", Direction::In, 2),
    ("OUTPUT", Direction::Out, 0),
    ("POSTROUTING", Direction::Out, 1),
];

/// The chains of one family.
pub(super) fn chains(text: &str, family: Family) -> Vec<Chain> {
    let program = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    let (mut chains, mut table) = (Vec::<Chain>::new(), String::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = format!("{program} {name}");
        } else if let Some(rest) = line.strip_prefix(':') {
            let mut words = rest.split_whitespace();
            let (name, policy) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let place = BUILT_IN.iter().find(|(built_in, ..)| *built_in == name);
            chains.push(Chain {
                table: table.clone(),
                name: name.to_owned(),
                hook: place.map(|(_, direction, stage)| Hook {
                    direction: *direction,
                    stage: *stage,
                    priority: 0,
                }),
                family: Some(family),
                drops: policy == "DROP",
                ..Chain::default()
            });
        } else if let Some(rest) = line.strip_prefix("-A ") {
            let mut words = rest.split_whitespace();
            let name = words.next().unwrap_or_default();
            if let Some(chain) = chains.iter_mut().find(|chain| chain.table == table && chain.name == name) {
                chain.rules.push(rule(words));
            }
        }
    }
    chains
}

fn rule<'a>(mut words: impl Iterator<Item = &'a str>) -> Rule {
    let (mut tests, mut verdict, mut is_inverted) = (Vec::new(), None, false);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        let list = |text: &str| text.to_lowercase().split(',').map(str::to_owned).collect();
        let test = match word {
            "!" => {
                is_inverted = true;
                continue;
            }
            "-p" => match value() {
                "all" => continue,
                name => Test::Protocol(vec![protocol(name)]),
            },
            "-d" => network(value()).map_or(Test::Unknown, |network| Test::Destination(vec![network])),
            "-i" => Test::From(vec![value().to_owned()]),
            "-o" => Test::To(vec![value().to_owned()]),
            "--state" | "--ctstate" => Test::State(list(value())),
            "--pkt-type" | "--dst-type" => Test::Kind(list(value())),
            // Names of extensions; their options follow.
            "-m" => match value() {
                "conntrack" | "state" | "pkttype" | "addrtype" | "comment" => continue,
                "tcp" | "udp" | "icmp" | "icmp6" | "multiport" => Test::Never,
                _ => Test::Unknown,
            },
            "--comment" => {
                let mut text = value();
                // A quoted text of several words.
                while text.starts_with('"') && !text.ends_with('"') || text == "\"" {
                    match words.next() {
                        Some(next) if next.ends_with('"') => break,
                        Some(_) => {}
                        None => break,
                    }
                    text = "\"";
                }
                continue;
            }
            "-j" => {
                verdict = match value() {
                    "ACCEPT" => Some(RuleVerdict::Accept),
                    "DROP" | "REJECT" => Some(RuleVerdict::Drop),
                    "RETURN" => Some(RuleVerdict::Return),
                    "LOG" | "NFLOG" | "MARK" | "CONNMARK" | "TRACE" | "NOTRACK" | "CT" | "TCPMSS" => None,
                    name => Some(RuleVerdict::Jump(name.to_owned())),
                };
                break;
            }
            "-g" => {
                verdict = Some(RuleVerdict::Goto(value().to_owned()));
                break;
            }
            "-s" | "--limit" | "--src-type" => {
                value();
                Test::Unknown
            }
            // Further options of conntrack.
            word if word.starts_with("--ct") => {
                value();
                Test::Unknown
            }
            // Fragments.
            "-f" => Test::Never,
            // An option of an extension, whose name is a condition already.
            _ => {
                is_inverted = false;
                continue;
            }
        };
        tests.push((std::mem::take(&mut is_inverted), test));
    }
    Rule { tests, verdict }
}

/// The number of a protocol; 0, which no packet has, for an unknown name.
pub(super) fn protocol(name: &str) -> u8 {
    match name {
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        "igmp" => 2,
        "ah" => 51,
        "esp" => 50,
        "ipv6-icmp" | "icmpv6" => 58,
        "vrrp" | "carp" => 112,
        number => number.parse().unwrap_or(0),
    }
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Some(whole), |prefix| prefix.parse().ok())?;
    Some((address, prefix))
}

#[cfg(test)]
mod tests {
    use super::super::rules::{Advert, dropped};
    use super::*;

    fn of(text: &str) -> Option<(String, bool, bool)> {
        let advert = Advert {
            direction: Direction::In,
            family: Family::V4,
            protocol: 112,
            interface: "eth0",
            destination: [224, 0, 0, 18].into(),
        };
        dropped(&chains(text, Family::V4), &advert).map(|it| (it.chain, it.by_policy, it.is_certain))
    }

    #[test]
    fn rules_of_iptables_save_are_understood() {
        let filter = |policy: &str, rules: &str| {
            of(&format!(
                "*filter\n:INPUT {policy} [0:0]\n:OUTPUT ACCEPT [0:0]\n:other - [0:0]\n{rules}\nCOMMIT\n"
            ))
        };
        let input = || "INPUT".to_owned();
        assert_eq!(filter("ACCEPT", ""), None);
        assert_eq!(filter("DROP", "-A INPUT -i lo -j ACCEPT"), Some((input(), true, true)));
        assert_eq!(filter("DROP", "-A INPUT -p vrrp -j ACCEPT"), None);
        assert_eq!(filter("DROP", "-A INPUT -p 112 -m comment --comment \"two words\" -j ACCEPT"), None);
        assert_eq!(
            filter("DROP", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"),
            Some((input(), true, true))
        );
        assert_eq!(
            filter("DROP", "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
            Some((input(), true, true))
        );
        assert_eq!(filter("ACCEPT", "-A INPUT -d 224.0.0.18/32 -j DROP"), Some((input(), false, true)));
        assert_eq!(filter("ACCEPT", "-A INPUT ! -d 224.0.0.0/4 -j DROP"), None);
        for unknown in [
            "-s 192.0.2.9/32",
            "-m addrtype --src-type LOCAL",
            "-m conntrack --ctstatus EXPECTED",
            "-m set ! --match-set known src -p vrrp",
        ] {
            let rules = format!("-A INPUT {unknown} -j DROP");
            assert_eq!(filter("ACCEPT", &rules), Some((input(), false, false)), "{unknown}");
        }
        assert_eq!(filter("ACCEPT", "-A INPUT -f -j DROP"), None);
        assert_eq!(filter("DROP", "-A INPUT -j other\n-A other -p vrrp -j ACCEPT"), None);
        assert_eq!(
            filter(
                "ACCEPT",
                "-A INPUT -j other\n-A other -p vrrp -j REJECT --reject-with icmp-port-unreachable"
            ),
            Some(("other".to_owned(), false, true))
        );
    }
}
