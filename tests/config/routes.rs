//! `virtual_routes`, `static_routes` and `static_ipaddress`.

use std::net::IpAddr;

use vrrp_user::config::{Hop, Placement, Route, RouteKind, RouteOption, RoutePreference, parse};

fn file(line: &str) -> String {
    format!(
        "vrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{ 192.0.2.1/24 }}\n\
        virtual_routes {{\n{line}\n}}\n}}\n"
    )
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn hop(gateway: Option<&str>, device: Option<&str>) -> Hop {
    Hop { gateway: gateway.map(address), device: device.map(Into::into), weight: 1, onlink: false }
}

/// A route to 198.51.100.0/24.
fn route(hops: Vec<Hop>) -> Route {
    Route {
        kind: RouteKind::Unicast,
        destination: (address("198.51.100.0"), 24),
        from: None,
        source: None,
        hops,
        table: 254,
        metric: None,
        tos: 0,
        scope: None,
        protocol: 18,
        options: vec![],
        locked: vec![],
        congestion_control: None,
        congestion_locked: false,
        realms: None,
        preference: None,
        placement: Placement::Prepend,
        tracked: true,
    }
}

#[test]
fn routes_are_read_as_ip_reads_them() {
    let gate = || vec![hop(Some("192.0.2.254"), None)];
    let rows = [
        ("198.51.100.0/24 via 192.0.2.254", route(gate())),
        ("to 198.51.100.7/24 gw 192.0.2.254", route(gate())),
        (
            "198.51.100.0/24 via inet 192.0.2.254 dev eth1",
            route(vec![hop(Some("192.0.2.254"), Some("eth1"))]),
        ),
        (
            "src 192.0.2.1 to 198.51.100.0/24 dev eth1 metric 5 table 100 tos 0x10 scope link protocol static",
            Route {
                source: Some(address("192.0.2.1")),
                metric: Some(5),
                table: 100,
                tos: 16,
                scope: Some(253),
                protocol: 4,
                ..route(vec![hop(None, Some("eth1"))])
            },
        ),
        ("default via 192.0.2.254", Route { destination: (address("0.0.0.0"), 0), ..route(gate()) }),
        (
            "default via fe80::1 dev eth0",
            Route { destination: (address("::"), 0), ..route(vec![hop(Some("fe80::1"), Some("eth0"))]) },
        ),
        ("blackhole 198.51.100.0/24", Route { kind: RouteKind::Blackhole, ..route(vec![]) }),
        (
            "198.51.100.0/24 nexthop via 192.0.2.3 weight 2 nexthop dev eth1 onlink",
            route(vec![
                Hop { weight: 2, ..hop(Some("192.0.2.3"), None) },
                Hop { onlink: true, ..hop(None, Some("eth1")) },
            ]),
        ),
        (
            "198.51.100.0/24 via 192.0.2.3 or 192.0.2.4",
            route(vec![hop(Some("192.0.2.3"), None), hop(Some("192.0.2.4"), None)]),
        ),
        (
            "198.51.100.0/24 via inet6 fe80::1 dev eth0 append",
            Route { placement: Placement::Append, ..route(vec![hop(Some("fe80::1"), Some("eth0"))]) },
        ),
        (
            "198.51.100.0/24 via 192.0.2.254 realms 3/4 features ecn congctl lock reno add no_track",
            Route {
                realms: Some(3 << 16 | 4),
                options: vec![(RouteOption::Features, 1)],
                congestion_control: Some("reno".into()),
                congestion_locked: true,
                placement: Placement::Alone,
                tracked: false,
                ..route(gate())
            },
        ),
        (
            "inet6 default dev eth0 pref high fastopen_no_cookie 1",
            Route {
                destination: (address("::"), 0),
                preference: Some(RoutePreference::High),
                options: vec![(RouteOption::FastOpenNoCookie, 1)],
                ..route(vec![hop(None, Some("eth0"))])
            },
        ),
        (
            "198.51.100.0/24 via 192.0.2.254 mtu lock 1400 rtt 5ms",
            Route {
                options: vec![(RouteOption::Mtu, 1400), (RouteOption::Rtt, 5)],
                locked: vec![RouteOption::Mtu],
                ..route(gate())
            },
        ),
    ];
    for (line, expected) in rows {
        let loaded = parse("t", &file(line)).unwrap_or_else(|findings| panic!("{line}: {findings:?}"));
        assert_eq!(*loaded.config.instances[0].settings.routes, [expected], "{line}");
        assert_eq!(loaded.diagnostics, [], "{line}");
    }
}

#[test]
fn mistakes_in_a_route_are_reported_with_their_place() {
    let rows = [
        ("198.51.100.0/33 via 192.0.2.1", 1, "`198.51.100.0/33` is not an IP address with a prefix"),
        ("198.51.100.0/24", 1, "a route needs `via` or `dev`"),
        ("via 192.0.2.1", 1, "a route needs a destination"),
        ("198.51.100.0/24 via", 17, "`via` needs a value"),
        ("198.51.100.0/24 via here", 21, "`here` is not an IP address"),
        ("198.51.100.0/24 vai 192.0.2.1", 17, "unknown word `vai` in a route"),
        ("198.51.100.0/24 dev eth0 table mine", 32, "unknown table `mine`"),
        ("198.51.100.0/24 dev eth0 weight 0", 33, "`weight` is 1 to 256, not `0`"),
        ("198.51.100.0/24 dev eth0 metric x", 33, "`x` is not a number"),
        ("198.51.100.0/24 dev eth0 pref best", 31, "`pref` is low, medium or high, not `best`"),
        ("198.51.100.0/24 dev eth0 features x", 35, "`features` is `ecn`, not `x`"),
        ("198.51.100.0/24 dev eth0 scope x", 32, "`x` is not a scope"),
        (
            "blackhole 198.51.100.0/24 via 192.0.2.1",
            1,
            "a route of this kind has no next hop, so it takes no `via`",
        ),
    ];
    for (line, column, message) in rows {
        let findings = parse("t", &file(line)).unwrap_err();
        let found = findings.first().unwrap();
        assert_eq!((found.line, found.column, &*found.message), (6, column, message), "{line}");
    }
}

/// Without these options it would be another route.
#[test]
fn routes_that_cannot_be_set_as_written_are_named_and_not_set() {
    for line in ["198.51.100.0/24 encap mpls 7 via 192.0.2.1", "198.51.100.0/24 dev eth0 vrf blue"] {
        let loaded = parse("t", &file(line)).unwrap();
        assert_eq!(*loaded.config.instances[0].settings.routes, [], "{line}");
        assert!(loaded.diagnostics[0].message.ends_with("the route is not set"), "{line}");
    }
    let loaded = parse("t", &file("2001:db8::/32 dev eth0 expires 60")).unwrap();
    assert_eq!(loaded.config.instances[0].settings.routes.len(), 1);
    assert!(loaded.diagnostics[0].message.ends_with("the route is set without it"));
}

#[test]
fn static_items_have_an_interface() {
    let text = "global_defs {\ndefault_interface lan0\n}\nstatic_ipaddress {\n192.0.2.9/24\n192.0.2.10/24 dev eth1\n}\n\
        static_routes {\n198.51.100.0/24 via 192.0.2.254\n}\n";
    let loaded = parse("t", text).unwrap();
    let statics = loaded.config.statics;
    let places: Vec<(&str, IpAddr)> =
        statics.addresses.iter().map(|(device, address)| (&**device, address.address)).collect();
    assert_eq!(places, [("lan0", address("192.0.2.9")), ("eth1", address("192.0.2.10"))]);
    assert_eq!(statics.routes, [route(vec![hop(Some("192.0.2.254"), None)])]);
}
