//! Options of an address.

use std::net::IpAddr;

use vrrp_user::config::{VirtualAddress, parse};

fn file(line: &str) -> String {
    format!(
        "vrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{ 10.0.0.1/24 }}\n\
        virtual_ipaddress_excluded {{\n{line}\n}}\n}}\n"
    )
}

fn address(text: &str, prefix: u8) -> VirtualAddress {
    VirtualAddress::new(text.parse().unwrap(), prefix)
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn options_are_read_as_keepalived_reads_them() {
    let rows = [
        ("192.0.2.1 peer 192.0.2.2/30", VirtualAddress { peer: ip("192.0.2.2"), ..address("192.0.2.1", 30) }),
        (
            "2001:db8::1 peer 2001:db8::2",
            VirtualAddress { peer: ip("2001:db8::2"), ..address("2001:db8::1", 128) },
        ),
        (
            "2001:db8::1/64 preferred_lft 600",
            VirtualAddress { preferred: Some(600), ..address("2001:db8::1", 64) },
        ),
        (
            "2001:db8::1/128 preferred_lft forever",
            VirtualAddress { preferred: None, ..address("2001:db8::1", 128) },
        ),
        ("2001:db8::1/128", VirtualAddress { preferred: Some(0), ..address("2001:db8::1", 128) }),
        (
            "2001:db8::1/64 home mngtmpaddr no_track",
            VirtualAddress { home: true, temporary: true, tracked: false, ..address("2001:db8::1", 64) },
        ),
        (
            "239.1.2.3/32 autojoin dev eth1",
            VirtualAddress { autojoin: true, device: Some("eth1".into()), ..address("239.1.2.3", 32) },
        ),
    ];
    for (line, expected) in rows {
        let loaded = parse("t", &file(line)).unwrap_or_else(|findings| panic!("{line}: {findings:?}"));
        assert_eq!(loaded.config.instances[0].settings.addresses.excluded, [expected], "{line}");
        assert_eq!(loaded.diagnostics, [], "{line}");
    }
}

#[test]
fn impossible_options_are_reported_with_their_place() {
    let rows = [
        ("192.0.2.1/24 peer 192.0.2.2/30", 1, "with a `peer` the prefix is the peer's, as with keepalived"),
        ("192.0.2.1 peer 2001:db8::1", 16, "the peer is not of the same family as the address"),
        ("192.0.2.1/24 peer there", 19, "`there` is not an IP address with a prefix"),
        ("192.0.2.1 peer 192.0.2.2 brd +", 30, "a point-to-point link has no broadcast address; none is set"),
        ("192.0.2.1/24 preferred_lft 9", 28, "`preferred_lft` has no effect for IPv4"),
        ("192.0.2.1/24 home", 14, "`home` has no effect for IPv4"),
        (
            "2001:db8::1/64 preferred_lft soon",
            30,
            "`preferred_lft` is a number of seconds or `forever`, not `soon`",
        ),
    ];
    for (line, column, message) in rows {
        let findings = parse("t", &file(line)).map_or_else(|findings| findings, |loaded| loaded.diagnostics);
        let found = findings.first().unwrap();
        assert_eq!((found.line, found.column, &*found.message), (6, column, message), "{line}");
    }
}

#[test]
fn excess_words_after_a_static_item_are_named_once() {
    let text =
        "track_group all {\ngroup { a }\n}\nstatic_ipaddress {\n192.0.2.9/24 track_group all dev eth1\n}\n\
        static_rules {\nnop preference 3 track_group all\n}\n"
            .to_owned()
            + &file("");
    let loaded = parse("t", &text).unwrap();
    let reported: Vec<u32> = loaded.diagnostics.iter().map(|it| it.line).collect();
    assert_eq!(reported, [1, 8], "{:?}", loaded.diagnostics);
    assert_eq!(loaded.config.statics.rules.len(), 1);
    assert_eq!(&*loaded.config.statics.addresses[0].0, "eth1");
}

/// As in keepalived 2.4; 2.2.7 advertises each line.
#[test]
fn an_address_that_is_written_twice_is_set_and_advertised_once() {
    let text = "vrrp_instance a {\ninterface lan0\nvirtual_router_id 1\n\
                virtual_ipaddress_excluded {\n192.0.2.4/24\n192.0.2.5/24\n192.0.2.6/24 dev lan1\n}\n\
                virtual_ipaddress {\n192.0.2.1/24\n192.0.2.2/24\n192.0.2.1/32\n192.0.2.1/24 dev lan1\n192.0.2.5/24\n\
                192.0.2.6/24\n}\n}\n";
    let loaded = parse("t", text).unwrap();
    let settings = &loaded.config.instances[0].settings;
    let shown = |addresses: &[VirtualAddress]| {
        addresses.iter().map(|it| format!("{}/{}", it.address, it.prefix)).collect::<Vec<_>>()
    };
    assert_eq!(shown(&settings.addresses.advertised), ["192.0.2.1/24", "192.0.2.2/24", "192.0.2.6/24"]);
    assert_eq!(shown(&settings.addresses.excluded), ["192.0.2.4/24", "192.0.2.5/24", "192.0.2.6/24"]);
    let lines: Vec<u32> = loaded.diagnostics.iter().map(|it| it.line).collect();
    assert_eq!(lines, [12, 13, 14], "{:?}", loaded.diagnostics);
}
