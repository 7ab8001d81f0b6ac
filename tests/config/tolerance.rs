//! Files with faults that keepalived logs and runs with: they give the same instances here.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use vrrp_tests::needs;
use vrrp_user::config::{Config, Diagnostic, Loaded, Reader, ScriptCommand, Severity, Tolerance};
use vrrp_user::protocol::Auth;

use crate::corpus::compare;

/// By name: VRID, priority, and the advertised addresses.
type Instances = BTreeMap<String, (u8, u8, Vec<String>)>;

/// Runs keepalived with the configuration on standard input, in its own network namespace and `/tmp`, and prints its
/// dump of the state. If keepalived does not run, its exit code is the script's.
const RUN: &str = r#"
mount --make-rprivate / && mount -t tmpfs tolerance /tmp && cat > /tmp/k.conf || exit 99
ip link set lo up
ip link add lan0 type veth peer name lan1 && ip link set lan0 up && ip link set lan1 up || exit 99
ip address add 192.0.2.100/24 dev lan0
keepalived -n -l -P -f /tmp/k.conf -p /tmp/pid -r /tmp/vrrp > /tmp/log 2>&1 &
pid=$!
for _ in $(seq 100); do
    kill -0 $pid 2> /dev/null || { wait $pid; exit $?; }
    grep -q 'no configuration to run' /tmp/log && { kill $pid; wait $pid; exit 0; }
    [ -s /tmp/vrrp ] && grep -q 'Entering BACKUP STATE' /tmp/log && break
    sleep 0.1
done
kill -USR1 "$(cat /tmp/vrrp)"
for _ in $(seq 50); do [ -s /tmp/keepalived.data ] && break; sleep 0.1; done
sleep 0.2
kill $pid; wait $pid
cat /tmp/keepalived.data
"#;

#[test]
#[needs("root", "ip", "keepalived")]
fn files_that_keepalived_starts_on_give_the_same_instances() {
    let files = files();
    assert_eq!(files.len(), 54);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let ours = tolerant(&name, &text).map(|loaded| ours(&loaded.config)).ok();
        assert_eq!(ours, theirs(&text), "{name}");
    }
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
    assert_eq!(Some(ours(&loaded.config)), theirs(&text));
    assert!(Reader::new(None).parse("t", &text).is_err());
}

#[test]
fn ignored_lines_are_named_and_refused_in_strict_mode() {
    for path in files() {
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
        let path = files().into_iter().find(|path| path.ends_with(name)).unwrap();
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

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/tolerated");
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "conf")).collect();
    files.sort();
    files
}

fn ours(config: &Config) -> Instances {
    let instances = config.instances.iter().map(|instance| {
        let settings = &instance.settings;
        let addresses =
            settings.addresses.advertised.iter().map(|it| format!("{}/{}", it.address, it.prefix)).collect();
        (settings.name.to_string(), (settings.vrid.number(), settings.priority.0, addresses))
    });
    instances.collect()
}

/// `None` if keepalived does not run.
fn theirs(text: &str) -> Option<Instances> {
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
    let mut instances = Instances::new();
    let mut current: Option<&mut (u8, u8, Vec<String>)> = None;
    let mut in_addresses = false;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let value = line.split_once(" = ").map(|(_, value)| value.to_owned()).unwrap_or_default();
        if line.starts_with(" VRRP Instance = ") {
            current = Some(instances.entry(value).or_default());
        } else if let Some(instance) = &mut current {
            if line.starts_with("   Virtual Router ID = ") {
                instance.0 = value.parse().unwrap();
            } else if line.starts_with("   Priority = ") {
                instance.1 = value.parse().unwrap();
            }
            let is_address = line.starts_with("     ") && in_addresses;
            if is_address {
                let address = line.split_whitespace().next().unwrap();
                // It omits the prefix of a single address.
                let whole = if address.contains(':') { "/128" } else { "/32" };
                let prefix = if address.contains('/') { "" } else { whole };
                instance.2.push(format!("{address}{prefix}"));
            }
            in_addresses = line.starts_with("   Virtual IP (") || is_address;
        }
    }
    Some(instances)
}
