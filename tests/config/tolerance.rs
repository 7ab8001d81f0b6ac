//! Files with faults that keepalived logs and runs with: they give the same instances here.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use vrrp_tests::needs;
use vrrp_user::config::{Diagnostic, Loaded, Reader, ScriptCommand, Severity, Tolerance};
use vrrp_user::protocol::Auth;

use crate::corpus::compare;
use crate::dumped::{self, Dump, differences, ours};

/// Runs keepalived with the configuration on standard input, in its own network namespace and `/tmp`, and prints its
/// dump of the state. If keepalived does not run, its exit code is the script's.
const RUN: &str = r#"
mount --make-rprivate / && mount -t tmpfs tolerance /tmp && cat > /tmp/k.conf || exit 99
ip link set lo up
ip link add lan0 type veth peer name lan1 && ip link set lan0 up && ip link set lan1 up || exit 99
ip address add 192.0.2.100/24 dev lan0
for i in 0 1 2; do
    ip link add eth$i type veth peer name peer$i && ip link set eth$i up && ip link set peer$i up || exit 99
    ip address add 10.2$i.0.100/16 dev eth$i || exit 99
done
ip address add fd00:21::100/64 dev eth1 nodad
mkdir -p /etc/keepalived && mount -t tmpfs scripts /etc/keepalived && mount -t tmpfs scripts /usr/local/bin || exit 99
for name in check_haproxy check-docker-health keepalived-notify check_nginx notify; do
    for folder in /usr/local/bin /etc/keepalived; do
        printf '#!/bin/sh\n' > $folder/$name.sh && chmod +x $folder/$name.sh
    done
done
keepalived -n -l -P -f /tmp/k.conf -p /tmp/pid -r /tmp/vrrp > /tmp/log 2>&1 &
pid=$!
for _ in $(seq 100); do
    kill -0 $pid 2> /dev/null || { wait $pid; exit $?; }
    grep -q 'no configuration to run' /tmp/log && { kill $pid; wait $pid; exit 0; }
    [ -s /tmp/vrrp ] && grep -q 'Entering [A-Z]* STATE' /tmp/log && break
    sleep 0.1
done
kill -USR1 "$(cat /tmp/vrrp)"
for _ in $(seq 50); do [ -s /tmp/keepalived.data ] && break; sleep 0.1; done
sleep 0.2
kill $pid; wait $pid
cat /tmp/keepalived.data
"#;

/// Differences on purpose, as docs/configuration.md and docs/interop.md name them.
const DIFFERENT: &[&str] = &[
    // keepalived counts the weight that it says it ignores.
    "strangers/ansible.conf: VRRP Instance = external: Tracked interfaces",
    // An address is set once, with a warning.
    "strangers/sloppy.conf: VRRP Instance = VI 2: Virtual IP",
];

#[test]
#[needs("root", "ip", "keepalived")]
fn files_that_keepalived_starts_on_are_read_alike() {
    let mut found = Vec::new();
    for (directory, count) in [("tolerated", 56), ("strangers", 11), ("guides", 7)] {
        let files = files(directory);
        assert_eq!(files.len(), count);
        for path in files {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let ours = tolerant(&name, &text).map(|loaded| ours(&loaded.config)).ok();
            let differ = differences(ours.as_ref(), theirs(&text).as_ref());
            let differ = differ.into_iter().map(|it| format!("{directory}/{name}: {it}\n"));
            found.extend(differ.filter(|it| !DIFFERENT.iter().any(|known| it.starts_with(known))));
        }
    }
    assert!(found.is_empty(), "ours and keepalived's:\n{}", found.concat());
}

/// keepalived is master of both, and the address stays while either is.
#[test]
#[needs("root", "ip", "keepalived")]
fn an_address_of_two_instances_is_a_warning() {
    let instance = |name, vrid, address| {
        format!(
            "vrrp_instance {name} {{\ninterface lan0\nvirtual_router_id {vrid}\nvirtual_ipaddress {{\n{address}\n}}\n\
             virtual_ipaddress_excluded {{\n192.0.2.9/24\n}}\n}}\n"
        )
    };
    let text = instance("a", 51, "192.0.2.1/24") + &instance("b", 52, "192.0.2.2/24");
    let loaded = tolerant("t", &text).unwrap();
    let found: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    assert!(found.iter().any(|it| it.contains("warning: 192.0.2.9 is written twice")), "{found:?}");
    assert!(loaded.config.instances.iter().all(|it| it.settings.addresses.all().count() == 2));
    assert_eq!(differences(Some(&ours(&loaded.config)), theirs(&text).as_ref()), [""; 0]);
    assert!(Reader::new(None).parse("t", &text).is_err());
}

#[test]
fn ignored_lines_are_named_and_refused_in_strict_mode() {
    for path in files("tolerated") {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let shown = |findings: &[Diagnostic]| findings.iter().map(|it| format!("{it}\n")).collect::<String>();
        let found = match tolerant(&name, &text) {
            Ok(loaded) => {
                let left_out = loaded.diagnostics.iter().any(|it| it.severity == Severity::LeftOut);
                assert!(left_out, "{name}: {}", shown(&loaded.diagnostics));
                shown(&loaded.diagnostics)
            }
            Err(findings) => shown(&findings),
        };
        compare(&path.with_extension("expected"), &found);
        assert!(Reader::new(None).parse(&name, &text).is_err(), "{name}");
    }
}

/// As keepalived 2.2.7 dumps these files.
#[test]
fn quotes_options_and_order_count_as_for_keepalived() {
    let loaded = |name: &str| {
        let path = files("tolerated").into_iter().find(|path| path.ends_with(name)).unwrap();
        tolerant(name, &std::fs::read_to_string(path).unwrap()).unwrap().config
    };
    let quoted = &loaded("single-quotes.conf").instances[0];
    assert_eq!(quoted.settings.auth, Auth::Pass(*b"'a\0\0\0\0\0\0"));
    let words = ["/bin/true", "a b"].map(Arc::from).to_vec();
    assert_eq!(quoted.notify.master.as_ref().map(|it| &it.command), Some(&ScriptCommand::Direct(words)));
    let split = loaded("quote-in-a-word.conf");
    let labels = split.instances[0].settings.addresses.advertised.iter().map(|it| it.label.as_deref());
    assert_eq!(labels.collect::<Vec<_>>(), [None, Some("lan0"), None, None]);
    let masters: Vec<bool> = split.instances.iter().map(|it| it.settings.initial_master).collect();
    assert_eq!(masters, [true, true]);
    assert_eq!(loaded("track-below.conf").instances[0].settings.tracks, []);
    let tracks = loaded("track-option-first.conf");
    let weights = |index: usize| -> Vec<i16> {
        tracks.instances[index].settings.tracks.iter().map(|it| it.weight.0).collect()
    };
    assert_eq!([0, 1, 2, 3].map(weights), [vec![], vec![5], vec![], vec![]]);
}

#[test]
fn quotes_that_keepalived_reads_in_another_way_are_warnings() {
    let warned = |line: &str| {
        let text = format!(
            "vrrp_instance a {{\ninterface lan0\nvirtual_router_id 1\n{line}\nno_virtual_ipaddress\n}}\n"
        );
        let found = Reader::new(None).parse("t", &text).unwrap().diagnostics;
        found.iter().any(|it| it.message.contains("keepalived") && it.line == 4)
    };
    for line in ["priority '150'", "priority 1\"5\"0"] {
        assert!(warned(line), "{line}");
    }
    for line in ["priority \"150\"", "notify_master '/bin/true'", "notify_master /bin/\"true\""] {
        assert!(!warned(line), "{line}");
    }
}

#[test]
fn a_template_that_is_not_rendered_is_one_finding() {
    let text = "vrrp_instance {{ name }} {\n{% if a %}\ninterface {{ it }}\n}\n";
    let found = Reader::new(None).parse("t", text).unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].message.contains("template"), "{found:?}");
    let sound =
        "vrrp_instance a { # {{ x }}\ninterface \"{{x}}\"\nvirtual_router_id 1\nno_virtual_ipaddress\n}\n";
    let found = Reader::new(None).parse("t", sound);
    let found = found.map_or_else(|found| found, |loaded| loaded.diagnostics);
    assert!(found.iter().all(|it| !it.message.contains("template")), "{found:?}");
}

#[test]
fn keywords_taken_for_mail_addresses_are_one_finding() {
    let text = "global_defs {\nnotification_email {\na@b.c\nsmtp_server 192.0.2.9\nrouter_id r\n}\n}\n";
    let found = Reader::new(None).parse("t", text).unwrap().diagnostics;
    let of_mail: Vec<&Diagnostic> = found.iter().filter(|it| (4..=5).contains(&it.line)).collect();
    assert_eq!(of_mail.len(), 1, "{found:?}");
    assert!(of_mail[0].message.contains("(and 1 more)"), "{found:?}");
}

#[test]
fn findings_that_may_change_the_master_come_first() {
    let text = "vrrp_instance a {\nfoo 1\ninterface lan0\nvirtual_router_id 1\nprioirty 200\nvirtual_ipaddress {\n\
                192.0.2.1/24\nfd00::1/64\n}\n}\n";
    let loaded = tolerant("t", text).unwrap();
    let lines: Vec<u32> = loaded.diagnostics.iter().map(|it| it.line).collect();
    assert_eq!(lines, [5, 2, 8], "{:?}", loaded.diagnostics);
    assert!(loaded.diagnostics[0].message.ends_with("; this may change who is master"));
}

#[test]
fn a_reload_tolerates_known_faults_and_refuses_new_ones() {
    let instance = |more: &str| {
        format!(
            "vrrp_instance a {{\ninterface lan0\nvirtual_router_id 1\n{more}\nvirtual_ipaddress {{\n192.0.2.1/24\n}}\n}}\n"
        )
    };
    let first = tolerant("t", &instance("garp_interval 2")).unwrap();
    let again = |text: &str| Reader::new(None).tolerating(first.tolerance.clone()).parse("t", text);
    let moved = again(&format!("\n\n{}", instance("priority 20\ngarp_interval 3"))).unwrap();
    assert_eq!(moved.config.instances[0].settings.priority.0, 20);
    assert_eq!(moved.tolerance, first.tolerance);
    let findings = again(&instance("garp_interval 2\nprioirty 20")).unwrap_err();
    let errors: Vec<&str> =
        findings.iter().filter(|it| it.severity == Severity::Error).map(|it| it.message.as_str()).collect();
    assert_eq!(errors, ["unknown keyword `prioirty` in vrrp_instance"]);
    let strict = Reader::new(None).parse("t", &instance("")).unwrap();
    assert_eq!(strict.tolerance, Tolerance::Strict);
}

#[test]
fn keepalived_s_name_and_path_are_tolerant_and_nothing_else_is() {
    let of = |path: &str, name| Tolerance::of(Path::new(path), name);
    assert_eq!(of("/etc/keepalived/keepalived.conf", false), Tolerance::AsKeepalived);
    assert_eq!(of("/etc/vrrpx/vrrpx.conf", true), Tolerance::AsKeepalived);
    assert_eq!(of("/etc/vrrpx/vrrpx.conf", false), Tolerance::Strict);
    assert_eq!(of("keepalived.conf", false), Tolerance::Strict);
}

fn tolerant(name: &str, text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    Reader::new(None).tolerating(Tolerance::AsKeepalived).parse(name, text)
}

fn files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(directory);
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "conf")).collect();
    files.sort();
    files
}

/// `None` if keepalived does not run.
fn theirs(text: &str) -> Option<Dump> {
    let mut run = Command::new("unshare")
        .args(["--net", "--mount", "bash", "-c", RUN])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    run.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = run.wait_with_output().unwrap();
    if output.status.code() == Some(2) {
        return None;
    }
    assert!(output.status.success(), "{}", output.status);
    Some(dumped::theirs(&String::from_utf8_lossy(&output.stdout)))
}
