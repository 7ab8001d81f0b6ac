//! Names shared by two blocks of a file: refused, or treated as in keepalived.

use vrrp_user::config::{Loaded, Reader, Tolerance, parse};

fn instance(name: &str, interface: &str, vrid: u8, lines: &str) -> String {
    format!(
        "vrrp_instance {name} {{\ninterface {interface}\nversion 3\nvirtual_router_id {vrid}\npriority 100\n{lines}\n\
         virtual_ipaddress {{\n192.0.2.{vrid}/24\n}}\n}}\n"
    )
}

/// Names of the interfaces with virtual MAC addresses, and the findings.
fn vmacs(text: &str) -> (Vec<String>, Vec<String>) {
    let Loaded { config, diagnostics, .. } = parse("t", text).unwrap();
    let all = config.instances.iter().flat_map(|instance| instance.settings.vmacs.all());
    let names = all.map(|vmac| format!("{} on {}", vmac.name.as_arc(), vmac.parent)).collect();
    (names, diagnostics.iter().map(ToString::to_string).collect())
}

/// Errors of a text.
fn errors(text: &str) -> String {
    let found = parse("t", text).err().unwrap_or_default();
    found.iter().map(|it| format!("{it}\n")).collect()
}

#[test]
fn a_second_virtual_mac_of_a_name_gets_another_one() {
    let text = instance("a", "eth0", 10, "use_vmac vrrp")
        + &instance("b", "eth1", 11, "use_vmac vrrp")
        + &instance("c", "eth0", 12, "use_vmac vrrp.11");
    let (names, found) = vmacs(&text);
    assert_eq!(names, ["vrrp on eth0", "vrrp1.11 on eth1", "vrrp.11 on eth0"]);
    let [found] = &found[..] else { panic!("{found:?}") };
    for part in ["vrrp_instance `a` already uses the name `vrrp`", "`vrrp1.11` is created instead"] {
        assert!(found.contains(part), "{found}");
    }
}

#[test]
fn two_families_on_one_interface_share_no_virtual_mac() {
    let text = instance("a", "eth0", 10, "use_vmac vr")
        + &instance("b", "eth0", 10, "use_vmac vr").replace("192.0.2.10/24", "fe80::10/64");
    let (names, found) = vmacs(&text);
    assert_eq!(names, ["vr on eth0", "vrrp.10 on eth0"]);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn the_interface_of_an_instance_is_not_made() {
    for lines in ["use_vmac eth1", "use_vmac eth0"] {
        let text = instance("a", "eth0", 10, lines) + &instance("b", "eth1", 11, "");
        let errors = errors(&text);
        assert!(errors.contains("cannot be created"), "{lines}: {errors}");
    }
}

#[test]
fn an_address_may_use_another_instance_s_virtual_mac() {
    let text = instance("a", "eth0", 10, "use_vmac vip0")
        + &instance("b", "eth1", 11, "virtual_ipaddress_excluded {\n192.0.2.99/24 dev vip0\n}");
    assert_eq!(vmacs(&text), (vec!["vip0 on eth0".to_owned()], vec![]));
}

#[test]
fn a_block_of_a_kind_has_a_name_of_its_own() {
    let tracking = "track_script {\nx\n}\ntrack_process {\nx\n}\ntrack_file {\nx weight 0\n}";
    let tracked = instance("x", "eth0", 10, tracking);
    let group = "vrrp_sync_group x {\ngroup {\nx\n}\n}\n";
    let blocks = [
        "vrrp_script x {\nscript /bin/true\n}\n",
        "vrrp_track_process x {\nprocess sleep\n}\n",
        "track_file x {\nfile /tmp/x\n}\n",
    ];
    // keepalived distinguishes the kinds, and so do status and metrics.
    let file = blocks.concat() + &tracked + group;
    assert_eq!(errors(&file), "");
    let config = parse("t", &file).unwrap().config;
    let tracks = &config.instances[0].settings.tracks;
    assert_eq!((config.checks.len(), tracks.len()), (3, 3));
    assert!(tracks.iter().all(|track| tracks.iter().filter(|other| other.id == track.id).count() == 1));
    for (again, block) in blocks.iter().copied().chain([group]).zip([
        "vrrp_script x",
        "vrrp_track_process x",
        "track_file x",
        "vrrp_sync_group x",
    ]) {
        let errors = errors(&(file.clone() + again));
        assert!(errors.contains(&format!("there are two blocks `{block}`")), "{block}: {errors}");
    }
    let errors = errors(&(file + &instance("x", "eth1", 11, "")));
    assert!(errors.contains("there are two blocks `vrrp_instance x`"), "{errors}");
}

#[test]
fn a_check_shares_no_name_with_a_tracked_file_or_process() {
    for (target, block, body) in [
        ("file /tmp/y", "track_file", "file /tmp/x"),
        ("process sleep", "vrrp_track_process", "process sleep"),
    ] {
        let text = format!("vrrp_check x {{\n{target}\n}}\n{block} x {{\n{body}\n}}\n")
            + &instance("a", "eth0", 10, "track_check {\nx\n}");
        let errors = errors(&text);
        assert!(errors.contains(&format!("there is also a block `{block} x`")), "{errors}");
        assert_eq!(self::errors(&text.replace("vrrp_check x", "vrrp_check y").replace("\nx\n", "\ny\n")), "");
    }
}

#[test]
fn no_file_is_written_for_two_purposes() {
    let file = |lines: &str| format!("global_defs {{\n{lines}\n}}\n") + &instance("a", "eth0", 10, "");
    for (lines, why) in [
        ("state_dump_file /tmp/a\njson_dump_file /tmp/a", "is already the file of `state_dump_file`"),
        ("stats_dump_file /tmp/a\nstate_dump_file /tmp/a", "is already the file of `stats_dump_file`"),
        ("vrrp_notify_fifo /tmp/a\nstats_dump_file /tmp/a", "is already the file of `vrrp_notify_fifo`"),
        ("notify_fifo /tmp/a\nvrrp_notify_fifo /tmp/a", "is already the file of `notify_fifo`"),
    ] {
        let errors = errors(&file(lines));
        assert!(errors.contains(why), "{lines}: {errors}");
    }
    assert_eq!(errors(&file("state_dump_file /tmp/a\nstate_dump_file /tmp/a\njson_dump_file /tmp/b")), "");
    let others = ["state_dump_file", "notify_fifo", "vrrp_notify_fifo"];
    for lines in others.map(|other| format!("{other} /tmp/a\nreload_file /tmp/a")) {
        assert!(errors(&file(&lines)).contains("`/tmp/a` is already the file of"), "{lines}");
    }
}

#[test]
fn no_file_is_written_that_is_read() {
    let tracking = "track_file {\nx weight 1\n}";
    for keyword in ["reload_file", "state_dump_file", "json_dump_file", "notify_fifo"] {
        let text = format!("global_defs {{\n{keyword} /tmp/x\n}}\ntrack_file x {{\nfile /tmp/x\n}}\n")
            + &instance("a", "eth0", 10, tracking);
        let found = errors(&text);
        assert!(
            found.contains(&format!("the file that `x` tracks: `{keyword}` would overwrite it")),
            "{found}"
        );
        assert_eq!(errors(&text.replace("file /tmp/x\n}\nvrrp", "file /tmp/y\n}\nvrrp")), "");
        // The configuration itself, by its absolute path or not.
        let text = format!("global_defs {{\n{keyword} PATH\n}}\n") + &instance("a", "eth0", 10, "");
        let here = std::env::current_dir().unwrap();
        for name in ["/etc/vrrpx.conf".to_owned(), "vrrpx.conf".to_owned()] {
            let path = here.join(&name);
            let found = parse(&name, &text.replace("PATH", path.to_str().unwrap())).unwrap_err();
            let said = found.iter().map(ToString::to_string).collect::<String>();
            assert!(
                said.contains(&format!("a file of this configuration: `{keyword}` would destroy it")),
                "{said}"
            );
        }
    }
}

#[test]
fn a_virtual_address_is_no_static_one() {
    let text = "static_ipaddress {\n192.0.2.10/24 dev eth1\n}\n".to_owned() + &instance("a", "eth0", 10, "");
    let found = parse("t", &text).unwrap().diagnostics;
    let [found] = &found[..] else { panic!("{found:?}") };
    assert!(found.message.contains("192.0.2.10 is in `static_ipaddress` too"), "{found}");
    assert_eq!((found.line, found.help.as_deref()), (11, Some("remove the one at t:2")));
}

#[test]
fn virtual_servers_may_share_addresses() {
    let server = "virtual_server 192.0.2.80 80 {\nreal_server 192.0.2.81 80 {\n}\n}\n";
    assert_eq!(errors(&(server.repeat(2) + &instance("a", "eth0", 10, ""))), "");
}

#[test]
fn an_unknown_name_gets_the_one_that_is_meant() {
    let blocks = "vrrp_script chk_nginx {\nscript /bin/true\n}\ntrack_file load {\nfile /tmp/x\n}\n";
    let of = |lines: &str| errors(&(blocks.to_owned() + &instance("web", "eth0", 10, lines)));
    for (lines, expected) in [
        ("track_script {\nchk_ngnix\n}", "help: did you mean `chk_nginx`?"),
        ("track_script {\nnginx\n}", "help: there is only `chk_nginx`"),
        ("track_script {\nload\n}", "help: it is a track_file: track it in `track_file`"),
        ("track_file {\nchk_nginx\n}", "help: it is a vrrp_script or vrrp_check: track it in `track_script`"),
        ("track_process {\nnginx\n}", "help: write a block `vrrp_track_process nginx { … }`"),
        ("virtual_routes {\n10.0.0.0/8 via 192.0.2.9 table mian\n}", "help: did you mean `main`?"),
    ] {
        let found = of(lines);
        assert!(found.contains(&format!("`\n{expected}\n")), "{lines}: {found}");
    }
    let group = errors(&(instance("web", "eth0", 10, "") + "vrrp_sync_group g {\ngroup {\nvip\n}\n}\n"));
    assert!(group.contains("there is no vrrp_instance `vip`\nhelp: there is only `web`"), "{group}");
}

#[test]
fn a_required_value_that_is_wrong_is_one_finding() {
    let of = |old: &str, new: &str| {
        let text = instance("web", "eth0", 10, "").replace(old, new);
        let [strict, tolerant] = [Tolerance::Strict, Tolerance::AsKeepalived].map(|tolerance| {
            let found = Reader::new(None).tolerating(tolerance).parse("t", &text).err().unwrap_or_default();
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        });
        assert_eq!(strict, tolerant, "the instance cannot be used without it");
        strict
    };
    let range =
        |value| format!("t:4:19: error: `virtual_router_id` is a number from 1 to 255, not `{value}`");
    assert_eq!(of("_id 10", "_id 300"), [range("300")]);
    assert_eq!(of("_id 10", "_id x"), [range("x")]);
    assert_eq!(of("_id 10", "_id"), ["t:4:1: error: `virtual_router_id` needs a value"]);
    assert_eq!(of("interface eth0", "interface"), ["t:2:1: error: `interface` needs a value"]);
    let absent = "t:1:15: error: vrrp_instance `web` has no `virtual_router_id`";
    assert_eq!(of("virtual_router_id 10\n", ""), [absent]);
}

#[test]
fn the_range_of_advert_int_is_that_of_the_version() {
    let of = |version: &str, value: &str| {
        let text = instance("web", "eth0", 10, &format!("advert_int {value}")).replace("version 3", version);
        errors(&text)
    };
    let expected = |range: &str, value: &str| {
        format!("t:6:12: error: `advert_int` is a number of seconds from {range}, not `{value}`\n")
    };
    for value in ["0.001", "0", "300", "fast"] {
        assert_eq!(of("version 2", value), expected("1 to 255 in version 2", value));
        assert_eq!(of("version 3", value), expected("0.01 to 40.95 in version 3", value));
    }
    assert!(
        of("version 2", "0.5").contains("version 2 counts whole seconds, 1 to 255"),
        "{}",
        of("version 2", "0.5")
    );
    assert_eq!(of("version 2", "255") + &of("version 3", "40.95"), "");
}
