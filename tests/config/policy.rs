//! Strict mode, and the senders and clients that an instance accepts.

use std::time::Duration;

use vrrp_ebpf::wire::ChecksumForm;
use vrrp_user::config::{InstanceSettings, Loaded, parse};
use vrrp_user::protocol::{Auth, Order};

/// One instance with these lines, which begin on line 3, after these global ones.
fn read(globals: &str, lines: &str) -> Result<Loaded, Vec<String>> {
    let text = format!(
        "global_defs {{ {globals} }}\nvrrp_instance V {{\n {}\n interface eth0\n virtual_router_id 51\n}}\n",
        lines.replace("; ", "\n ")
    );
    parse("t", &text).map_err(|found| found.iter().map(ToString::to_string).collect())
}

fn settings(globals: &str, lines: &str) -> InstanceSettings {
    let instance = read(globals, lines).unwrap().config.instances.remove(0);
    std::sync::Arc::unwrap_or_clone(instance.settings)
}

/// Findings, one line each, without advice.
fn findings(globals: &str, lines: &str) -> Vec<String> {
    let found = match read(globals, lines) {
        Ok(loaded) => loaded.diagnostics.iter().map(ToString::to_string).collect(),
        Err(found) => found,
    };
    found.iter().map(|finding| finding.lines().next().unwrap_or_default().to_owned()).collect()
}

const V4: &str = "virtual_ipaddress { 192.0.2.1/24 }";

#[test]
fn handover_is_overlap_by_default() {
    for (globals, lines, order) in [
        ("", "", Order::Overlap),
        ("", "handover strict", Order::Strict),
        ("vrrp_handover strict", "", Order::Strict),
        ("vrrp_handover strict", "handover overlap", Order::Overlap),
    ] {
        let settings = settings(globals, &format!("{lines}; {V4}"));
        assert_eq!(settings.handover, order, "{globals:?} {lines:?}");
    }
    let found = findings("", &format!("handover stric; {V4}"));
    assert_eq!(found, ["t:3:11: error: `handover` is overlap or strict, not `stric`"]);
}

#[test]
fn values_too_small_are_raised_to_the_minimum() {
    let one = settings("vrrp_down_timer_adverts 1", V4);
    assert_eq!((one.down_timer_adverts, settings("", V4).down_timer_adverts), (2, 3));
    let unicast = format!("down_timer_adverts 1; unicast_ttl 0; unicast_peer {{ 192.0.2.7 }}; {V4}");
    let it = settings("", &unicast);
    assert_eq!((it.down_timer_adverts, it.unicast.unwrap().ttl), (2, 1));
    let found = findings("", &unicast);
    assert!(found[0].contains("`down_timer_adverts 1` is raised to 2"), "{found:?}");
    assert!(found[1].contains("`unicast_ttl 0` is raised to 1"), "{found:?}");
}

#[test]
fn addresses_accept_by_default() {
    for (globals, lines, accept) in [
        ("", "", true),
        ("", "no_accept", false),
        ("", "no_accept; priority 255", true),
        ("vrrp_strict", "", false),
        ("vrrp_strict", "priority 255", true),
        ("vrrp_strict", "strict_mode off", true),
        ("vrrp_strict off", "", true),
        ("", "strict_mode", false),
        ("vrrp_strict", "accept", false),
        ("vrrp_strict", "accept; version 3", true),
        ("vrrp_strict\n vrrp_version 3", "accept", true),
    ] {
        assert_eq!(settings(globals, &format!("{lines}; {V4}")).accept, accept, "{globals}: {lines}");
    }
}

#[test]
fn strict_mode_resets_unsupported_settings() {
    let lines = format!(
        "{V4}; state MASTER; priority 100; preempt_delay 5; down_timer_adverts 5; garp_lower_prio_repeat 3; \
         garp_lower_prio_delay 2; lower_prio_no_advert off; owner_ignore_adverts off; \
         authentication {{\n auth_type PASS\n auth_pass secret\n }}; use_vmac; vmac_xmit_base"
    );
    let strict = settings("vrrp_strict", &lines);
    let spans = (strict.preempt_delay, strict.announce.lower_prio_delay);
    assert_eq!(spans, (Duration::ZERO, Duration::ZERO));
    assert_eq!((strict.down_timer_adverts, strict.announce.lower_prio_repeat), (3, 0));
    assert_eq!((strict.auth, strict.initial_master), (Auth::None, false));
    assert!(strict.lower_prio_no_advert && strict.owner_ignores && strict.vmacs.sender().is_some());
    let mut found = findings("vrrp_strict", &lines);
    found.retain(|line| line.contains("is not used"));
    assert_eq!(found.len(), 9, "{found:#?}");
    let lax = settings("vrrp_strict", &format!("strict_mode no; {lines}"));
    assert_eq!((lax.down_timer_adverts, lax.announce.lower_prio_repeat), (5, 3));
    assert!(!lax.owner_ignores && lax.auth != Auth::None && lax.vmacs.sender().is_none());
}

#[test]
fn strict_mode_refuses_instances_that_keepalived_leaves_out() {
    for (lines, expected) in [
        ("no_virtual_ipaddress", "t:2:15: error: strict mode: `V` needs a `virtual_ipaddress`"),
        (
            "virtual_ipaddress { 2001:db8::1/64 }",
            "t:3:22: error: strict mode: the first IPv6 address must be link-local (RFC 9568 §5.2.9)",
        ),
    ] {
        let found = findings("vrrp_strict", lines);
        assert!(found.iter().any(|line| line == expected), "{found:#?}");
        assert_eq!(found.iter().filter(|line| line.contains("error")).count(), 1, "{found:#?}");
    }
}

#[test]
fn unicast_peers_may_be_the_only_accepted_senders() {
    let unicast = |globals, lines: &str| {
        settings(globals, &format!("{V4}; {lines}")).unicast.map(|unicast| unicast.checks_source)
    };
    let peers = "unicast_peer { 192.0.2.7 }";
    assert_eq!(unicast("", "check_unicast_src"), None);
    assert_eq!(unicast("", peers), Some(false));
    assert_eq!(unicast("vrrp_check_unicast_src", peers), Some(true));
    assert_eq!(unicast("vrrp_check_unicast_src", &format!("check_unicast_src no; {peers}")), Some(false));
    let far = "unicast_peer { 192.0.2.7 min_ttl 60 max_ttl 64 }";
    let peer = settings("", &format!("{V4}; {far}")).unicast.unwrap();
    assert!(peer.checks_source);
    assert_eq!((peer.peers[0].min_ttl, peer.peers[0].max_ttl), (60, 64));
    let none = findings("", &format!("{V4}; unicast_peer {{ 192.0.2.7 min_ttl 65 max_ttl 64 }}"));
    assert_eq!(none, ["t:4:17: error: `min_ttl` 65 is above `max_ttl` 64"]);
}

#[test]
fn version_2_is_spoken_beside_version_3_only() {
    let pass = "authentication {\n auth_type PASS\n auth_pass secret\n }";
    let both = settings("", &format!("version 3; also_version_2; {pass}; {V4}"));
    assert_eq!((both.also_v2, both.auth), (true, Auth::Pass(*b"secret\0\0")));
    for (lines, expected) in [
        (V4.to_owned(), "t:3:2: warning: `also_version_2` has no effect: the instance uses version 2"),
        ("virtual_ipaddress { fe80::1/64 }".to_owned(), "t:3:2: error: version 2 has no IPv6"),
        (
            format!("version 3; advert_int 0.5; {V4}"),
            "t:3:2: warning: version 2 counts whole seconds: its adverts carry the interval rounded up",
        ),
    ] {
        assert_eq!(findings("", &format!("also_version_2; {lines}")), [expected]);
    }
}

#[test]
fn the_checksum_has_a_choice_over_ipv4_only() {
    let sent = |globals, lines: &str| {
        let settings = settings(globals, &format!("version 3; {lines}"));
        (settings.checksum, settings.answers_checksum)
    };
    use ChecksumForm::{Plain, Pseudo};
    for (globals, lines, expected) in [
        ("", "", (Pseudo, false)),
        ("", "checksum auto", (Pseudo, true)),
        ("v3_checksum_as_v2", "checksum auto", (Plain, true)),
        ("v3_checksum_as_v2", "checksum pseudo", (Pseudo, false)),
        ("", "v3_checksum_as_v2; checksum plain", (Plain, false)),
    ] {
        assert_eq!(sent(globals, &format!("{lines}; {V4}")), expected, "{globals}: {lines}");
    }
    let v6 = sent("", "checksum auto; virtual_ipaddress { fe80::1/64 }");
    assert_eq!(v6, (Pseudo, false));
    let found = findings("", &format!("checksum plian; {V4}"));
    assert_eq!(found, ["t:3:11: error: `checksum` is auto, pseudo or plain, not `plian`"]);
}

#[test]
fn the_table_of_the_firewall_has_a_name_that_nftables_takes() {
    let firewall = |globals| read(globals, V4).unwrap().config.globals.firewall;
    let other = firewall("nftables strict_1\n nftables_priority 10\n nftables_counters");
    assert_eq!((&*other.table, other.priority, other.counters), ("strict_1", 10, true));
    for line in ["nftables keepalived-sipproxy", "nftables _a", "nftables .a/b.c"] {
        assert!(line.ends_with(&*firewall(line).table), "{line}");
    }
    assert_eq!((&*firewall("nftables").table, firewall("").priority), ("vrrpx", -1));
    let found = findings("nftables \"x; flush ruleset\"", V4);
    assert_eq!(found, ["t:1:24: error: `x; flush ruleset` cannot be an nftables table"]);
    for name in ["-a", "1a", "a*b", "ä"] {
        assert_eq!(findings(&format!("nftables {name}"), V4).len(), 1, "{name}");
    }
}
