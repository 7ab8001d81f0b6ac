//! `virtual_rules` and `static_rules`.

use std::net::IpAddr;

use vrrp_ebpf::wire::Family;
use vrrp_user::config::{Lookup, Rule, RuleAction, parse};

fn file(lines: &str) -> String {
    format!(
        "vrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{ 192.0.2.1/24 }}\n\
        virtual_rules {{\n{lines}\n}}\n}}\n"
    )
}

fn network(text: &str, prefix: u8) -> Option<(IpAddr, u8)> {
    Some((text.parse().unwrap(), prefix))
}

fn lookup(table: u32) -> RuleAction {
    RuleAction::Lookup(Lookup { table: Some(table), ..Lookup::default() })
}

/// A rule for all packets, with preference 5.
fn rule(action: RuleAction) -> Rule {
    Rule {
        family: Family::V4,
        preference: 5,
        inverted: false,
        from: None,
        to: None,
        input: None,
        output: None,
        mark: None,
        tos: 0,
        tunnel: None,
        users: None,
        ip_protocol: None,
        source_ports: None,
        destination_ports: None,
        action,
        protocol: 18,
        tracked: true,
    }
}

#[test]
fn rules_are_read_as_ip_reads_them() {
    let rows = [
        ("table 7 preference 5", rule(lookup(7))),
        ("lookup main priority 5 inet", rule(lookup(254))),
        ("inet6 order 5 table 0x10", Rule { family: Family::V6, ..rule(lookup(16)) }),
        (
            "not from 192.0.2.7/24 to 198.51.100.1 table 7 preference 5",
            Rule {
                inverted: true,
                from: network("192.0.2.0", 24),
                to: network("198.51.100.1", 32),
                ..rule(lookup(7))
            },
        ),
        (
            "from all to 2001:db8::/32 table 7 preference 5",
            Rule { family: Family::V6, to: network("2001:db8::", 32), ..rule(lookup(7)) },
        ),
        ("from 0.0.0.0/0 table 7 preference 5", rule(lookup(7))),
        (
            "dev eth0 oif eth1 fwmark 0x10/0xff tos 0x10 table 7 preference 5",
            Rule {
                input: Some("eth0".into()),
                output: Some("eth1".into()),
                mark: Some((16, Some(255))),
                tos: 16,
                ..rule(lookup(7))
            },
        ),
        (
            "uidrange 1000-1999 ipproto tcp sport 80 dport 1-9 tunnel-id 3 protocol boot table 7 preference 5",
            Rule {
                users: Some((1000, 1999)),
                ip_protocol: Some(6),
                source_ports: Some((80, 80)),
                destination_ports: Some((1, 9)),
                tunnel: Some(3),
                protocol: 3,
                ..rule(lookup(7))
            },
        ),
        (
            "realms 3/4 sup_pl 0 sup_group default table 7 preference 5",
            rule(RuleAction::Lookup(Lookup {
                table: Some(7),
                realms: Some(3 << 16 | 4),
                suppressed_prefix: Some(0),
                suppressed_group: Some(0),
            })),
        ),
        ("l3mdev preference 5", rule(RuleAction::Lookup(Lookup::default()))),
        ("goto 6 preference 5", rule(RuleAction::Goto(6))),
        ("type blackhole preference 5", rule(RuleAction::Blackhole)),
        ("prohibit preference 5", rule(RuleAction::Prohibit)),
        ("prohibit preference 5 no_track", Rule { tracked: false, ..rule(RuleAction::Prohibit) }),
        ("nop preference 5", rule(RuleAction::Nop)),
    ];
    for (line, expected) in rows {
        let loaded = parse("t", &file(line)).unwrap_or_else(|findings| panic!("{line}: {findings:?}"));
        assert_eq!(*loaded.config.instances[0].settings.rules, [expected], "{line}");
        assert_eq!(loaded.diagnostics, [], "{line}");
    }
}

/// Downwards from keepalived's first preference, per family, in the order of the file.
#[test]
fn rules_without_a_preference_get_one_and_a_warning() {
    let text = "static_rules {\nfrom 192.0.2.1 table 7\n}\n".to_owned()
        + &file("from 192.0.2.2 table 7\nto 2001:db8::/32 table 7\nfrom 192.0.2.3 table 7");
    let loaded = parse("t", &text).unwrap();
    let preferences = |rules: &[Rule]| -> Vec<u32> { rules.iter().map(|rule| rule.preference).collect() };
    assert_eq!(preferences(&loaded.config.statics.rules), [16384]);
    assert_eq!(preferences(&loaded.config.instances[0].settings.rules), [16383, 16384, 16382]);
    let reported: Vec<_> = loaded.diagnostics.iter().map(|it| (it.line, &*it.message)).collect();
    let message = |number| format!("without `preference` the rule gets {number}, as with keepalived");
    let expected =
        [(2, 16384), (9, 16383), (10, 16384), (11, 16382)].map(|(line, number)| (line, message(number)));
    assert!(reported.into_iter().eq(expected.iter().map(|(line, text)| (*line, &**text))), "{expected:?}");
}

#[test]
fn mistakes_in_a_rule_are_reported_with_their_place() {
    let rows = [
        ("from 192.0.2.0/24", 1, "a rule needs an action, such as `table`"),
        ("from", 1, "`from` needs a value"),
        ("from 192.0.2.0/33 table 7", 6, "`192.0.2.0/33` is not an IP address with a prefix"),
        (
            "from 192.0.2.1 to 2001:db8::1 table 7",
            19,
            "a rule is for IPv4 or for IPv6, but its words name both",
        ),
        ("form 192.0.2.1 table 7", 1, "unknown word `form` in a rule"),
        ("table 7 nop", 9, "a rule has one action only"),
        ("table mine", 7, "unknown table `mine`"),
        ("table 0", 7, "table 0 cannot be looked up"),
        ("preference 9 goto 9", 14, "`goto 9` must lead to a later rule"),
        ("goto 9", 1, "`goto 9` must lead to a later rule"),
        ("nop realms 3", 5, "this word needs `table` or `l3mdev` in the rule"),
        ("table 7 sport 9-8", 15, "`9-8` is not a port, or ports as `5000-5999`"),
        ("table 7 sport 65536", 15, "a port is 1 to 65535, not `65536`"),
        ("table 7 uidrange 9", 18, "`9` is not users, as `1000-1999`"),
        ("table 7 fwmark x/3", 16, "`x` is not a number"),
        ("table 7 tos 256", 13, "unknown tos `256`"),
    ];
    for (line, column, message) in rows {
        let findings = parse("t", &file(line)).unwrap_err();
        let found = findings.first().unwrap();
        assert_eq!((found.line, found.column, &*found.message), (6, column, message), "{line}");
    }
}
