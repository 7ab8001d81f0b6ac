//! Effects of tracked objects on the priority: the same file gives the same priorities and faults as with keepalived.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use vrrp_tests::needs;
use vrrp_user::config::{CheckTarget, Config, Loaded, parse};
use vrrp_user::protocol::TrackedObject;

/// By name: the effective priority, and whether it is in Fault.
type Instances = BTreeMap<String, (u8, bool)>;

/// Runs keepalived with the configuration on standard input, and prints its dump of the state. `up0` to `up9` have a
/// link, `down0` to `down9` have none.
const RUN: &str = r#"
mount --make-rprivate / && mount -t tmpfs tracked /tmp && cat > /tmp/k.conf || exit 99
ip link set lo up
for i in 0 1 2 3; do
    ip link add up$i type veth peer name peer$i && ip link set up$i up && ip link set peer$i up || exit 99
    ip address add 10.$i.0.1/24 dev up$i || exit 99
done
ip link add down0 type veth peer name down1 || exit 99
echo 3 > /tmp/three; echo 0 > /tmp/zero; echo 1000 > /tmp/thousand
keepalived -n -l -P -D -f /tmp/k.conf -p /tmp/pid -r /tmp/vrrp > /tmp/log 2>&1 &
pid=$!
for _ in $(seq 100); do
    kill -0 $pid 2> /dev/null || { cat /tmp/log >&2; wait $pid; exit 98; }
    [ -s /tmp/vrrp ] && [ "$(grep -c 'VRRP_Script(.*) \(succeeded\|failed\)' /tmp/log)" -ge $SCRIPTS ] && break
    sleep 0.1
done
sleep 0.5
kill -USR1 "$(cat /tmp/vrrp)"
for _ in $(seq 50); do [ -s /tmp/keepalived.data ] && break; sleep 0.1; done
sleep 0.2
kill $pid; wait $pid
cat /tmp/log >&2
cat /tmp/keepalived.data
"#;

const CHECKS: &str = "
vrrp_script good {
    script /bin/true
    interval 1
}
vrrp_script bad {
    script /bin/false
    interval 1
}
vrrp_script good_reversed {
    script /bin/true
    interval 1
    weight 10 reverse
}
track_file three {
    file /tmp/three
}
track_file zero {
    file /tmp/zero
    weight 0
}
track_file thousand {
    file /tmp/thousand
}
";

#[test]
#[needs("root", "ip", "keepalived")]
fn weights_move_the_priority_as_with_keepalived() {
    let mut instances = Vec::new();
    for weight in [20, -20, 0] {
        for way in ["", "reverse"] {
            for (list, names) in
                [("script", ["good", "bad"]), ("interface", ["up3", "down0"]), ("file", ["three", "zero"])]
            {
                instances.extend(names.map(|name| one(list, &format!("{name} weight {weight} {way}"))));
            }
        }
    }
    instances.extend(
        ["good_reversed", "good_reversed weight -7", "good_reversed weight 7 noreverse"].map(scripts),
    );
    instances.push(one("file", "thousand") + &one("interface", "down0 weight -200"));
    compare(&instances, "");
}

#[test]
#[needs("root", "ip", "keepalived")]
fn the_own_interface_counts_by_its_link_alone_as_with_keepalived() {
    let own = ["", "weight 20", "weight -20", "weight 0 reverse"]
        .map(|options| one("interface", &format!("OWN {options}")));
    let without = own.clone().map(|track| format!("{track}dont_track_primary\n"));
    let own: Vec<String> = own.into_iter().chain(without).collect();
    compare(&own, "");

    for keyword in ["", "dont_track_primary"] {
        let tracks = one("interface", "up0 weight 7");
        let group = format!("vrrp_sync_group G {{\ngroup {{\nV0\nV1\n}}\n{tracks}}}\n");
        compare(&[format!("{keyword}\n"), String::new()], &group);
    }
}

#[test]
#[needs("root", "ip", "keepalived")]
fn of_the_weights_of_group_and_member_the_same_one_counts_as_with_keepalived() {
    let members = |weights: [&str; 3]| {
        let [script, interface, file] = weights;
        let bad = scripts(&format!("bad {script}"));
        bad + &one("interface", &format!("up3 {interface}")) + &one("file", &format!("three {file}"))
    };
    let weighted = ["weight -10", "weight 10", "weight 2"];
    let others = ["weight -7", "weight 7 reverse", "weight -3"];
    let none = ["weight 0 reverse", "weight 0", "weight 0 reverse"];
    let nothing = String::new;
    // Without options, a file adds its number.
    let defaults = one("file", "three") + &one("interface", "up3 weight -5");
    for keyword in ["", "sync_group_tracking_weight"] {
        let group =
            |tracks: &str| format!("vrrp_sync_group G {{\ngroup {{\nV0\nV1\n}}\n{keyword}\n{tracks}}}\n");
        compare(&[members(weighted), nothing()], &group(&members(others)));
        compare(&[members(none), nothing()], &group(&members(others)));
        compare(&[members(others), nothing()], &group(&members(none)));
        compare(&[members(weighted), nothing()], &group(""));
        compare(&[defaults.clone(), nothing()], &group(""));
        compare(&[nothing(), "priority 255\n".to_owned()], &group(&members(others)));
        compare(&[nothing(), format!("priority 255\n{defaults}")], &group(""));
    }
}

#[test]
fn an_option_without_a_weight_is_named() {
    let found = |line: &str| {
        let text = format!(
            "{CHECKS}vrrp_instance a {{\ninterface up0\nvirtual_router_id 1\nvirtual_ipaddress {{\n10.0.1.1/24\n}}\n\
             {}}}\n",
            scripts(line)
        );
        let found = parse("t", &text).unwrap().diagnostics;
        found.iter().any(|finding| finding.message.starts_with("keepalived does not track `good`"))
    };
    assert!(found("good reverse") && found("good noreverse"));
    assert!(!found("good") && !found("good weight 0 reverse"));
}

fn scripts(line: &str) -> String {
    one("script", line)
}

fn one(list: &str, line: &str) -> String {
    format!("track_{list} {{\n{}\n}}\n", line.trim_end())
}

/// Compares instances with these lines, named `V0` and up, each on one of three interfaces.
fn compare(instances: &[String], more: &str) {
    let mut text = CHECKS.to_owned();
    for (index, lines) in instances.iter().enumerate() {
        let (interface, number) = (index % 3, index + 1);
        let lines = lines.replace("OWN", &format!("up{interface}"));
        write!(
            text,
            "vrrp_instance V{index} {{\ninterface up{interface}\nvirtual_router_id {number}\npriority 150\n\
             virtual_ipaddress {{\n10.{interface}.1.{number}/24\n}}\n{lines}}}\n"
        )
        .unwrap();
    }
    text.push_str(more);
    let Loaded { config, .. } = parse("t", &text).unwrap_or_else(|found| panic!("{found:?}\n{text}"));
    let (ours, theirs) = (
        ours(&config),
        theirs(&text, config.checks.iter().filter(|it| matches!(it.target, CheckTarget::Command(_))).count()),
    );
    assert_eq!(with_groups(&config, ours), with_groups(&config, theirs), "{text}");
}

fn ours(config: &Config) -> Instances {
    let instances = config.instances.iter().map(|instance| {
        let settings = &instance.settings;
        let results = settings.tracks.iter().map(|track| {
            let value = match &track.object {
                TrackedObject::Script(name) => i32::from(name.starts_with("good")),
                TrackedObject::Interface(name) => i32::from(name.starts_with("up")),
                TrackedObject::File(name) => [("three", 3), ("zero", 0), ("thousand", 1000)]
                    .into_iter()
                    .find_map(|(other, number)| (**name == *other).then_some(number))
                    .unwrap(),
                TrackedObject::Process(_) => panic!("no process is tracked"),
            };
            (track, value)
        });
        let fails = results.clone().any(|(track, value)| track.fails(value));
        let sum = results
            .filter(|(track, value)| !track.fails(*value))
            .map(|(track, value)| track.adds(value))
            .sum();
        (settings.name.to_string(), (settings.priority.weighted(sum).0, fails))
    });
    instances.collect()
}

/// Extends one member's Fault to its group, regardless of when keepalived reports the others.
fn with_groups(config: &Config, mut instances: Instances) -> Instances {
    for group in &config.groups {
        let members = group.settings.members.iter();
        let names: Vec<_> =
            members.map(|id| config.instance(*id).unwrap().settings.name.to_string()).collect();
        let fails = names.iter().any(|name| instances[name].1);
        names.iter().for_each(|name| instances.get_mut(name).unwrap().1 = fails);
    }
    instances
}

/// keepalived's instances after this many scripts have a result.
fn theirs(text: &str, scripts: usize) -> Instances {
    let mut run = Command::new("unshare")
        .args(["--net", "--mount", "bash", "-c", RUN])
        .env("SCRIPTS", scripts.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    run.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = run.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let mut instances = Instances::new();
    let mut current: Option<&mut (u8, bool)> = None;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((what, value)) = line.split_once(" = ") else { continue };
        match (what, &mut current) {
            (" VRRP Instance", _) => current = Some(instances.entry(value.to_owned()).or_default()),
            ("   Effective priority", Some(instance)) => instance.0 = value.parse().unwrap(),
            ("   State", Some(instance)) => instance.1 = value == "FAULT",
            _ => {}
        }
    }
    instances
}
