//! `vrrp_sync_group`: settings that its members get, and findings.

use vrrp_user::config::{Group, Loaded, NotifyCommand, ScriptCommand, parse};
use vrrp_user::protocol::{InstanceId, TrackSettings, TrackedObject, Weight};

/// The text after three instances, which begin on line 1.
fn with_instances(text: &str) -> String {
    let instances: String = [("a", "track_interface { tun0 weight -5 }"), ("b", ""), ("c", "priority 255")]
        .iter()
        .zip(1..)
        .map(|((name, more), vrid)| {
            format!(
                "vrrp_instance {name} {{\n interface eth0\n virtual_router_id {vrid}\n \
                 virtual_ipaddress {{ 192.0.2.{vrid}/24 }}\n {more}\n}}\n"
            )
        })
        .collect();
    format!("{instances}vrrp_script check {{ script /bin/true\n weight 10\n }}\n{text}")
}

fn findings(text: &str) -> Vec<String> {
    let found = match parse("t", &with_instances(text)) {
        Ok(loaded) => loaded.diagnostics,
        Err(diagnostics) => diagnostics,
    };
    // Findings of this block only; the script of the setup may be unused.
    let found = found.iter().map(ToString::to_string);
    found.filter(|finding| !finding.contains("no instance tracks")).collect()
}

#[test]
fn members_track_what_the_group_tracks() {
    let text = "
        vrrp_sync_group G {
            group {
                b
                a
            }
            track_script { check }
            track_interface { eth9 weight -30 }
            sync_group_tracking_weight
            notify /bin/any root
            notify_master \"/bin/master x\"
        }";
    let Loaded { config, diagnostics, .. } = parse("t", &with_instances(text)).unwrap();
    assert_eq!(diagnostics, []);
    let [Group { settings, notify }] = &config.groups[..] else { panic!("{:?}", config.groups) };
    assert_eq!((&*settings.name, &settings.members[..]), ("G", &[InstanceId(1), InstanceId(0)][..]));
    let words = ["/bin/master", "x"].map(Into::into).to_vec();
    assert_eq!(notify.master, Some(NotifyCommand { command: ScriptCommand::Direct(words), user: None }));
    assert_eq!(notify.any.as_ref().and_then(|any| any.user.as_ref()).map(|user| &*user.name), Some("root"));

    let tracks = |index: usize| {
        let tracks = &config.instances[index].settings.tracks;
        tracks
            .iter()
            .map(|TrackSettings { object, weight, .. }| (object.clone(), weight.0))
            .collect::<Vec<_>>()
    };
    let check = (TrackedObject::Script("check".into()), 10);
    let eth9 = (TrackedObject::Interface("eth9".into()), -30);
    let tun0 = (TrackedObject::Interface("tun0".into()), -5);
    assert_eq!(tracks(0), [check.clone(), tun0, eth9.clone()]);
    assert_eq!(tracks(1), [check, eth9]);
    assert_eq!(tracks(2), []);
}

#[test]
fn weights_of_members_count_as_with_keepalived() {
    let text = "vrrp_sync_group G {\n group { a b }\n track_script { check weight 0 }\n}";
    let Loaded { config, .. } = parse("t", &with_instances(text)).unwrap();
    let tracks = |index: usize| {
        let tracks = config.instances[index].settings.tracks.iter();
        tracks.map(|track| (track.object.clone(), track.weight)).collect::<Vec<_>>()
    };
    let check = (TrackedObject::Script("check".into()), Weight(0));
    assert_eq!(tracks(0), [check.clone(), (TrackedObject::Interface("tun0".into()), Weight(-5))]);
    assert_eq!(tracks(1), [check]);
    let expected = "t:5:20: warning: the weight of `tun0` counts although it is in vrrp_sync_group `G`, as with \
                    keepalived\nhelp: write `sync_group_tracking_weight` in the group, or no weight here";
    assert_eq!(findings(text), [expected]);
}

#[test]
fn settings_that_count_otherwise_than_written_are_reported() {
    let cases = [
        (
            "track_script { check }",
            "",
            "t:5:17: warning: `check` is not tracked: vrrp_sync_group `G` ignores its weight, as with keepalived",
        ),
        (
            "track_file { number }",
            "",
            "t:5:15: warning: `number` is tracked without a weight in vrrp_sync_group `G`, as with keepalived",
        ),
        (
            "track_file { number weight 5 }",
            "",
            "t:5:15: warning: `number` is not tracked: vrrp_sync_group `G` ignores its weight, as with keepalived",
        ),
        (
            "track_interface { eth0 weight 5 }",
            "",
            "t:5:20: warning: `eth0` is the instance's own interface: its weight is ignored, as with keepalived",
        ),
        (
            "dont_track_primary\n track_interface { eth0 }",
            "",
            "t:6:20: warning: `eth0` is the instance's own interface, which `dont_track_primary` excludes, as with \
             keepalived",
        ),
        (
            "",
            "track_interface { eth0 weight 5 }",
            "t:24:20: warning: `eth0` is the own interface of `a`: its weight is ignored there, as with keepalived",
        ),
        (
            "track_interface { tun0 weight 5 }",
            "sync_group_tracking_weight\n track_interface { tun0 weight 7 }",
            "t:5:20: warning: `tun0` is tracked by `a` and by vrrp_sync_group `G`: the group's line counts, as with \
             keepalived",
        ),
        (
            "track_interface { tun0 }",
            "track_interface { tun0 weight 7 }",
            "t:5:20: warning: `tun0` is tracked by `a` and by vrrp_sync_group `G`: the instance's line, which has no \
             weight, counts, as with keepalived",
        ),
        (
            "priority 255",
            "track_script { check }",
            "t:24:17: warning: `check` is tracked without a weight, because vrrp_sync_group `G` has a member of \
             priority 255, as with keepalived",
        ),
    ];
    for (member, group, expected) in cases {
        let text = with_instances(&format!(
            "track_file number {{ file /n }}\nvrrp_sync_group G {{ group {{ a b }}\n {group}\n}}"
        ));
        let found = match parse("t", &text.replacen("track_interface { tun0 weight -5 }", member, 1)) {
            Ok(loaded) => loaded.diagnostics,
            Err(diagnostics) => diagnostics,
        };
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(shown.iter().any(|finding| finding.starts_with(expected)), "{expected}\n{shown:#?}");
    }
}

#[test]
fn mistakes_are_reported_with_their_place() {
    let cases = [
        ("group { b bb }", "t:23:12: error: there is no vrrp_instance `bb`"),
        ("group { b b }", "t:23:12: warning: `b` is listed already"),
        ("group { b }", "t:22:17: warning: vrrp_sync_group `G` has one member only"),
        ("notify /bin/true", "t:22:17: warning: vrrp_sync_group `G` has no members, so it does nothing"),
        ("group { b c }", "t:22:17: warning: vrrp_sync_group `G` has members with and without priority 255"),
        ("grup { b }", "t:23:2: error: unknown block `grup` in vrrp_sync_group"),
        ("track_script { chek }", "t:23:17: error: there is no vrrp_script or vrrp_check `chek`"),
        ("smtp_alert", "t:23:2: warning: no mail is sent: there is neither `smtp_server` nor"),
        (
            "global_tracking",
            "t:23:2: warning: `global_tracking` means `sync_group_tracking_weight`, as with keepalived",
        ),
    ];
    for (line, expected) in cases {
        let group = if line.contains("group {") { "" } else { " group { a b }\n" };
        let group = if line.starts_with("notify") { "" } else { group };
        let found = findings(&format!("vrrp_sync_group G {{\n {line}\n{group}}}"));
        assert!(found.iter().any(|finding| finding.starts_with(expected)), "{line}: {found:?}");
    }
}

#[test]
fn an_instance_moves_with_one_group_only() {
    let text = "vrrp_sync_group G { group { a b } }\nvrrp_sync_group H { group { b c } }";
    let found = findings(text);
    let expected = "t:23:29: error: `b` is in vrrp_sync_group `G` already";
    assert!(found.iter().any(|finding| finding.starts_with(expected)), "{found:?}");
    let twice = findings("vrrp_sync_group G { group { a } }\nvrrp_sync_group G { group { b } }");
    let expected = "t:23:17: error: there are two blocks `vrrp_sync_group G`";
    assert!(twice.iter().any(|finding| finding.starts_with(expected)), "{twice:?}");
}
