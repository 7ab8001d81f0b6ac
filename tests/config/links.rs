//! Link delays, and an instance's requirements on its interface.

use std::time::Duration;

use vrrp_user::config::{LinkDelays, parse};

/// Version 3, adverts each second.
fn file(delays: &str, lines: &str) -> String {
    format!(
        "interface_up_down_delays {{\n{delays}\n}}\nvrrp_instance a {{\ninterface eth0\nversion 3\n\
        virtual_router_id 1\nvirtual_ipaddress {{ 192.0.2.1/24 }}\n{lines}\n}}\n"
    )
}

fn delays(down: u64, up: u64) -> LinkDelays {
    LinkDelays { down: Duration::from_nanos(down), up: Duration::from_nanos(up) }
}

#[test]
fn delays_are_limited_by_the_instances_intervals() {
    const MOST: u64 = 2_000_000_000 - 1_000_000_000 / 256;
    let rows = [
        ("eth0 1.5 0.2", "", Some(delays(1_500_000_000, 200_000_000)), false),
        ("eth0 1.5", "", Some(delays(1_500_000_000, 0)), false),
        ("eth0 3 9", "", Some(delays(MOST, 9_000_000_000)), true),
        ("eth0 3 3", "", Some(delays(MOST, MOST)), true),
        ("eth0 1 1", "down_timer_adverts 2", Some(delays(996_093_750, 996_093_750)), true),
        ("eth0 0", "", None, false),
        ("eth1 255 0.000001", "", Some(delays(255_000_000_000, 1000)), false),
        ("eth0 3\neth0 1", "", Some(delays(1_000_000_000, 0)), true),
    ];
    for (line, more, expected, is_cut) in rows {
        let loaded = parse("t", &file(line, more)).unwrap_or_else(|findings| panic!("{line}: {findings:?}"));
        let found: Vec<LinkDelays> = loaded.config.link_delays.iter().map(|(_, delays)| *delays).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{line} {more}");
        let reported = loaded.diagnostics.iter().any(|it| it.message.contains("is cut to"));
        assert_eq!(reported, is_cut, "{line} {more}: {:?}", loaded.diagnostics);
    }
}

#[test]
fn malformed_delays_are_refused_with_their_place() {
    let rows = [
        ("eth0", 1, "`eth0` has no delay"),
        ("eth0 256", 6, "`eth0` is a number of seconds from 0 to 255, not `256`"),
        ("eth0 1 soon", 8, "`eth0` is a number of seconds from 0 to 255, not `soon`"),
        (
            "a-name-of-17-bytes 1",
            1,
            "`a-name-of-17-bytes` cannot be an interface: a name has 1 to 15 bytes and no `/`",
        ),
    ];
    for (line, column, message) in rows {
        let findings = parse("t", &file(line, "")).unwrap_err();
        let found = findings.first().unwrap();
        assert_eq!((found.line, found.column, &*found.message), (2, column, message), "{line}");
    }
}

#[test]
fn interface_requirements_of_an_instance_are_read() {
    let loaded = parse("t", &file("", "promote_secondaries\ntrack_src_ip\nunicast_fault_no_peer")).unwrap();
    assert!(loaded.config.instances[0].promote_secondaries);
    assert_eq!(loaded.diagnostics, []);
    let loaded = parse("t", &file("", "use_vmac\npromote_secondaries")).unwrap();
    assert!(!loaded.config.instances[0].promote_secondaries);
    assert_eq!(loaded.diagnostics[0].message, "with `use_vmac` it is always set, as with keepalived");
}

/// Without the keyword, keepalived uses multicast.
#[test]
fn unicast_without_a_peer_is_multicast_or_a_fault() {
    let peers = |lines: &str| {
        let loaded = parse("t", &file("", lines)).unwrap();
        loaded.config.instances[0].settings.unicast.as_ref().map(|unicast| unicast.peers.len())
    };
    assert_eq!(peers("unicast_src_ip 192.0.2.7"), None);
    assert_eq!(peers("unicast_src_ip 192.0.2.7\nunicast_fault_no_peer"), Some(0));
    assert_eq!(peers("unicast_fault_no_peer"), None);
}

/// keepalived reads past a prefix or a range behind the address of a host, and logs nothing.
#[test]
fn what_follows_the_address_of_a_host_is_ignored_with_a_warning() {
    let lines = "unicast_src_ip 192.0.2.7/24\nunicast_peer {\n192.0.2.8/24 min_ttl 250\n192.0.2.9-12\n}";
    let loaded = parse("t", &file("", lines)).unwrap();
    let settings = &loaded.config.instances[0].settings;
    assert_eq!(settings.source, Some("192.0.2.7".parse().unwrap()));
    let peers = settings.unicast.iter().flat_map(|unicast| &unicast.peers);
    let peers: Vec<_> = peers.map(|peer| (peer.address.to_string(), peer.min_ttl)).collect();
    assert_eq!(peers, [("192.0.2.8".to_owned(), 250), ("192.0.2.9".to_owned(), 0)]);
    let ignored = |text: &str| loaded.diagnostics.iter().filter(|it| it.message.contains(text)).count();
    assert_eq!((ignored("`/24` behind it is ignored"), ignored("`-12` behind it is ignored")), (2, 1));
    let loaded = parse("t", &file("", "mcast_src_ip 192.0.2.7/24\nmcast_dst_ip 224.0.0.77/32"));
    let settings = &loaded.unwrap().config.instances[0].settings;
    assert_eq!(
        (settings.source, settings.group),
        (Some("192.0.2.7".parse().unwrap()), Some("224.0.0.77".parse().unwrap()))
    );
    assert!(parse("t", &file("", "unicast_src_ip node1/24")).is_err());
}

#[test]
fn unicast_may_go_without_an_interface() {
    let without = |lines: &str| file("", lines).replace("interface eth0\n", "");
    let unicast = "unicast_src_ip 192.0.2.7\nunicast_peer {\n192.0.2.8\n}\nvrf blue";
    let loaded = parse("t", &without(unicast)).unwrap();
    assert_eq!(&*loaded.config.instances[0].settings.interface, "");
    assert_eq!(loaded.diagnostics, []);
    for lines in ["", "unicast_peer {\n192.0.2.8\n}", &format!("{unicast}\nuse_vmac")] {
        let findings = parse("t", &without(lines)).unwrap_err();
        let is_reported = findings.iter().any(|it| it.message == "vrrp_instance `a` has no `interface`");
        assert!(is_reported, "{lines}: {findings:?}");
    }
}
