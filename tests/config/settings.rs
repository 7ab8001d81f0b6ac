//! Settings that a configuration leads to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vrrp_ebpf::wire::{ChecksumForm, Family};
use vrrp_user::config::{
    AnnouncePauses, CheckTarget, Config, Loaded, NotifyCommand, ScriptCommand, ScriptUser, VirtualAddress,
    parse,
};
use vrrp_user::protocol::{
    AnnounceSettings, Auth, Priority, TrackId, TrackSettings, TrackedObject, UnicastPeer, Version, Vrid,
    Weight,
};

#[test]
fn every_keyword_that_works_reaches_its_setting() {
    let Loaded { config, .. } =
        parse("everything.conf", include_str!("../corpus/valid/everything.conf")).unwrap();
    let Config { globals, instances, checks: scripts, tracked_interfaces, .. } = config;

    assert_eq!(globals.router_id.as_deref(), Some("node one"));
    assert_eq!(globals.script_user, Some(user("checker", Some("checkers"))));
    assert!(globals.script_security);

    let one = &instances[0].settings;
    assert_eq!((&*one.name, &*one.interface), ("one", "eth0"));
    assert_eq!((one.vrid, one.priority), (Vrid::new(1).unwrap(), Priority(150)));
    assert_eq!((one.family, one.version), (Family::V4, Version::V3));
    assert_eq!(one.advert_interval.duration(), Duration::from_millis(100));
    assert_eq!((one.preempt, one.preempt_delay), (true, Duration::from_millis(2500)));
    assert!(!one.initial_master);
    assert_eq!(one.auth, Auth::None);
    assert_eq!(one.source, Some(ip("192.0.2.10")));
    assert_eq!(one.unicast, None);
    assert_eq!(one.checksum, ChecksumForm::Pseudo, "the instance switches the global setting off");
    assert_eq!(one.down_timer_adverts, 2);
    assert!(one.lower_prio_no_advert && one.ignore_own_link);
    assert_eq!(one.higher_prio_send_advert, Some(false));
    let address = |address: &str, prefix| VirtualAddress::new(ip(address), prefix);
    assert_eq!(
        one.addresses.advertised,
        [
            VirtualAddress {
                label: Some("eth0:1".into()),
                scope: 253,
                broadcast: Some(ip("192.0.2.255")),
                ..address("192.0.2.1", 24)
            },
            VirtualAddress {
                device: Some("eth1".into()),
                broadcast: Some(ip("192.0.2.255")),
                no_prefix_route: true,
                ..address("192.0.2.2", 24)
            },
        ]
    );
    assert_eq!(one.addresses.excluded, [VirtualAddress { dad: true, ..address("2001:db8::1", 64) }]);
    assert_eq!(
        one.announce,
        AnnounceSettings {
            delay: Duration::from_secs(1),
            repeat: 1,
            refresh: Duration::from_secs(10),
            refresh_repeat: 1,
            lower_prio_delay: Duration::from_secs(1),
            lower_prio_repeat: 2,
        }
    );
    let pauses = AnnouncePauses { garp: Duration::from_millis(1), gna: Duration::from_micros(1) };
    assert_eq!((one.announce_pauses, one.extra_announce), (pauses, None));
    assert_eq!(
        one.tracks,
        [
            track(0, TrackedObject::Script("ping".into()), -10, true, Some(true)),
            track(1, TrackedObject::Interface("eth1".into()), 0, false, None),
            track(2, TrackedObject::Interface("eth2".into()), 20, true, None),
        ]
    );
    let notify = &instances[0].notify;
    assert_eq!(
        notify.master,
        Some(NotifyCommand {
            command: direct(&["/usr/bin/logger", "now master"]),
            user: Some(user("logger", Some("adm"))),
        })
    );
    assert_eq!(notify.backup, Some(NotifyCommand { command: direct(&["/usr/bin/backup"]), user: None }));
    assert_eq!(
        notify.fault.as_ref().map(|hook| &hook.command),
        Some(&direct(&["/usr/bin/alarm", "||", "exit", "1"]))
    );
    assert_eq!(notify.stop, Some(NotifyCommand { command: direct(&["/usr/bin/stopped"]), user: None }));
    assert_eq!(
        notify.any,
        Some(NotifyCommand { command: direct(&["/usr/bin/any"]), user: Some(user("root", None)) })
    );

    let two = &instances[1].settings;
    assert_eq!((two.version, two.priority, two.initial_master), (Version::V2, Priority::OWNER, true));
    assert_eq!(two.auth, Auth::Pass(*b"a#b\0\0\0\0\0"));
    let unicast = two.unicast.as_ref().unwrap();
    assert_eq!(unicast.ttl, 64);
    assert_eq!(unicast.peers, [UnicastPeer::new(ip("192.0.2.11")), UnicastPeer::new(ip("192.0.2.12"))]);
    assert_eq!(two.checksum, ChecksumForm::Plain);
    assert_eq!(two.down_timer_adverts, 4);
    assert_eq!(two.announce.lower_prio_repeat, 1);
    assert_eq!(two.higher_prio_send_advert, Some(true));
    assert!(!two.lower_prio_no_advert);
    assert_eq!(two.tracks, [track(3, TrackedObject::Script("http".into()), 0, false, Some(false))]);

    let three = &instances[2].settings;
    assert_eq!((three.family, three.version, three.preempt), (Family::V6, Version::V3, false));
    assert_eq!(three.checksum, ChecksumForm::Pseudo, "IPv6 has no other form");
    assert_eq!(three.priority, Priority::DEFAULT);
    assert_eq!(
        three.tracks,
        [
            track(3, TrackedObject::Script("http".into()), 0, false, Some(false)),
            track(0, TrackedObject::Script("ping".into()), 5, true, Some(false)),
        ]
    );

    assert_eq!(scripts.iter().map(|script| script.id.0).collect::<Vec<_>>(), [0, 3]);
    let ping = &scripts[0];
    assert_eq!(ping.target, run(&["/bin/ping", "-c", "1", "192.0.2.254"]));
    assert_eq!((ping.interval, ping.timeout), (Duration::from_millis(500), Duration::from_millis(250)));
    assert_eq!((ping.weight, ping.reverse, ping.rise, ping.fall), (Weight(5), true, 2, 3));
    assert_eq!(ping.user, Some(user("nobody", Some("nogroup"))));
    let http = &scripts[1];
    assert_eq!(http.target, run(&["curl", "-sf", "http://127.0.0.1/", "|", "grep", "-q", "ok"]));
    assert_eq!(
        (http.interval, http.timeout, http.init_fail),
        (Duration::from_secs(1), Duration::from_secs(1), true)
    );
    assert_eq!(tracked_interfaces, [(TrackId(1), Arc::from("eth1")), (TrackId(2), Arc::from("eth2"))]);
}

#[test]
fn defaults_are_keepalived_s() {
    let text = "vrrp_instance a {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress { 192.0.2.1 }\n}";
    let Loaded { config, .. } = parse("t", text).unwrap();
    let it = &config.instances[0].settings;
    assert_eq!((it.version, it.priority, it.initial_master), (Version::V2, Priority(100), false));
    assert_eq!(it.advert_interval.duration(), Duration::from_secs(1));
    assert_eq!((it.preempt, it.preempt_delay, it.down_timer_adverts), (true, Duration::ZERO, 3));
    assert_eq!(it.addresses.advertised[0].prefix, 32);
    assert_eq!(it.announce, AnnounceSettings::default());
    assert_eq!(it.tracks, []);
    assert_eq!(config.globals, Default::default());
}

#[test]
fn traps_are_read_as_keepalived_reads_them() {
    let Loaded { config, .. } = parse("traps.conf", include_str!("../corpus/valid/traps.conf")).unwrap();
    let settings: Vec<_> = config.instances.iter().map(|instance| &instance.settings).collect();
    let hint = settings[0];
    assert_eq!(hint.priority, Priority(101));
    assert!(hint.preempt && hint.preempt_delay.is_zero(), "state MASTER clears both");
    assert_eq!(hint.auth, Auth::Pass(*b"'abc'\0\0\0"));
    assert_eq!(hint.tracks[0].weight, Weight(253));
    assert_eq!(config.checks[0].target, run(&["/usr/bin/killall", "-0", "haproxy"]));
    assert_eq!(config.checks[0].interval, Duration::from_secs(1));
    assert_eq!(config.checks.len(), 1, "an untracked script is not run");
    assert_eq!(hint.announce.repeat, 1);
    assert_eq!(hint.announce_pauses.garp, Duration::from_secs(2));

    let six = settings[1];
    assert_eq!((six.version, &six.auth, six.tracks.len()), (Version::V3, &Auth::None, 0));
    assert_eq!((six.addresses.advertised[0].label.as_ref(), six.addresses.advertised[0].scope), (None, 0));
    assert_eq!((six.unicast.as_ref(), six.source), (None, Some(ip("fe80::9"))));

    let three = settings[2];
    assert_eq!(three.advert_interval.duration(), Duration::from_millis(330));
    assert!(!three.preempt && three.preempt_delay.is_zero());
    assert_eq!(three.checksum, ChecksumForm::Pseudo);
    assert_eq!(three.addresses.advertised[0].broadcast, None);
}

#[test]
fn addresses_that_do_not_fit_an_advert_are_excluded() {
    let addresses: String = (1..=100).map(|n| format!("fe80::{n:x}/64\n")).collect();
    let text = format!(
        "vrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{\n{addresses}}}\n}}"
    );
    let Loaded { config, diagnostics, .. } = parse("t", &text).unwrap();
    let addresses = &config.instances[0].settings.addresses;
    assert_eq!((addresses.advertised.len(), addresses.excluded.len()), (89, 11));
    assert_eq!(
        diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["t:94:1: warning: an advert holds 89 addresses; this one is set but not advertised (and 10 more)"]
    );
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn user(name: &str, group: Option<&str>) -> ScriptUser {
    ScriptUser { name: name.into(), group: group.map(Arc::from) }
}

fn direct(words: &[&str]) -> ScriptCommand {
    ScriptCommand::Direct(words.iter().map(|word| Arc::from(*word)).collect())
}

fn run(words: &[&str]) -> CheckTarget {
    CheckTarget::Command(direct(words))
}

fn track(id: u32, object: TrackedObject, weight: i16, reverse: bool, initial: Option<bool>) -> TrackSettings {
    TrackSettings { id: TrackId(id), object, weight: Weight(weight), reverse, initial }
}

#[test]
fn groups_and_delays_come_from_the_globals_unless_an_instance_has_its_own() {
    let instance = |name: &str, vrid: u8, more: &str, address: &str| {
        format!(
            "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\n{more}\nvirtual_ipaddress {{\n{address}\n}}\n}}\n"
        )
    };
    let globals = "global_defs {\nvrrp_mcast_group4 224.0.0.99\nvrrp_mcast_group6 ff02::12\n\
                   vrrp_startup_delay 2.5\nvrrp_delay_after_boot 60\n}\n";
    let text = globals.to_owned()
        + &instance("a", 1, "", "192.0.2.1/24")
        + &instance("b", 2, "mcast_dst_ip 239.1.2.3", "192.0.2.2/24")
        + &instance("c", 3, "", "fe80::3/64")
        + &instance("d", 4, "mcast_dst_ip 224.0.0.18", "192.0.2.4/24");
    let Loaded { config, diagnostics, .. } = parse("t", &text).unwrap();
    assert_eq!(diagnostics, []);
    let groups: Vec<_> = config.instances.iter().map(|it| it.settings.group).collect();
    assert_eq!(groups, [Some(ip("224.0.0.99")), Some(ip("239.1.2.3")), None, None]);
    assert_eq!(config.instances[2].settings.group(), ip("ff02::12"));
    assert_eq!(config.globals.startup_delay, Duration::from_millis(2500));
    assert_eq!(config.globals.delay_after_boot, Duration::from_secs(60));
}

#[test]
fn a_group_that_is_not_multicast_is_refused_with_its_place() {
    for (text, reported) in [
        (
            "global_defs {\nvrrp_mcast_group4 192.0.2.1\n}",
            "t:2:19: error: `vrrp_mcast_group4` needs a multicast address, not 192.0.2.1",
        ),
        (
            "global_defs {\nvrrp_mcast_group6 224.0.0.18\n}",
            "t:2:19: error: `vrrp_mcast_group6` takes no 224.0.0.18",
        ),
        (
            "global_defs {\nvrrp_mcast_group4 all\n}",
            "t:2:19: error: `vrrp_mcast_group4` needs an IP address, not `all`",
        ),
    ] {
        let found = parse("t", text).unwrap_err();
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [reported]);
    }
}

#[test]
fn authentication_of_version_2() {
    let file = |kind: &str, version: u8| {
        format!(
            "vrrp_instance one {{\ninterface eth0\nversion {version}\nvirtual_router_id 1\nauthentication {{\n\
             auth_type {kind}\nauth_pass abc\n}}\nvirtual_ipaddress {{\n192.0.2.1/24\n}}\n}}\n"
        )
    };
    for (kind, version, auth) in [
        ("PASS", 2, Auth::Pass(*b"abc\0\0\0\0\0")),
        ("AH", 2, Auth::Ah(*b"abc\0\0\0\0\0")),
        ("NONE", 2, Auth::None),
        ("AH", 3, Auth::None),
    ] {
        let Loaded { config, diagnostics, .. } = parse("t", &file(kind, version)).unwrap();
        assert_eq!(config.instances[0].settings.auth, auth);
        assert_eq!(diagnostics.len(), usize::from(version == 3), "{diagnostics:?}");
    }
}

/// As keepalived 2.2.7 reads them.
#[test]
fn a_second_authentication_block_changes_only_its_keywords() {
    let text = "vrrp_instance a {\ninterface eth0\nvirtual_router_id 1\nauthentication {\nauth_type PASS\n\
         auth_pass abc\n}\nauthentication {\nauth_pass def\n}\nvirtual_ipaddress {\n192.0.2.1/24\n}\n}\n";
    let loaded = parse("t", text).unwrap();
    assert_eq!(loaded.config.instances[0].settings.auth, Auth::Pass(*b"def\0\0\0\0\0"));
    let found: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("t:8:1: warning: a second `authentication` block: "), "{found:?}");
}

/// As keepalived 2.2.7 sends each.
#[test]
fn passwords_are_encoded_as_keepalived_sends_them() {
    for (written, sent) in [
        (r#""a\"b\\c""#, r"a\"),
        (r#""a\\b""#, r"a\\b"),
        ("'x y'", "'x"),
        (r#"ab"c d""#, "ab"),
        (r"q\\r", r"q\\r"),
        ("\"a b\"", "a b"),
    ] {
        let text = format!(
            "vrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\nauthentication {{\nauth_type PASS\n\
             auth_pass {written}\n}}\nvirtual_ipaddress {{\n192.0.2.1/24\n}}\n}}\n"
        );
        let loaded = parse("t", &text).unwrap();
        let mut bytes = [0; 8];
        bytes[..sent.len()].copy_from_slice(sent.as_bytes());
        assert_eq!(loaded.config.instances[0].settings.auth, Auth::Pass(bytes), "{written}");
        let cut = loaded.diagnostics.iter().any(|it| it.message.contains("password ends at the first quote"));
        assert_eq!(cut, ["a\\", "'x", "ab"].contains(&sent), "{written}: {:?}", loaded.diagnostics);
    }
}
