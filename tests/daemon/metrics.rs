//! Metrics: valid OpenMetrics text with the values of the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vrrp_ebpf::wire::Reject;
use vrrp_ebpf::wire::address::widen;
use vrrp_tests::FIRST;
use vrrp_user::daemon::history::HookRun;
use vrrp_user::daemon::metrics::{Format, kept_rows, render, render_keepalived};
use vrrp_user::daemon::probe::check::{Outcome, ProbeResult};
use vrrp_user::daemon::probe::watch::NoticedBy;
use vrrp_user::daemon::probe::{Cause, Held};
use vrrp_user::daemon::status::{DaemonContext, table};
use vrrp_user::driver::clock;
use vrrp_user::driver::process::End;

use vrrp_user::config::{CheckSettings, CheckTarget, FileTarget, NotifySettings};
use vrrp_user::driver::process::Run;
use vrrp_user::protocol::InstanceId;

use crate::setup::{config, context, filled, instance, script};

/// Name, labels and value of every sample, parsed with a check of the text against OpenMetrics 1.0.
type Samples = Vec<(String, BTreeMap<String, String>, f64)>;

fn parse(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("ends with the EOF mark");
    let mut types: BTreeMap<String, String> = BTreeMap::new();
    let mut current = String::new();
    let mut samples = Samples::new();
    let mut seen = BTreeSet::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (kind, name, value) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            match kind {
                "TYPE" => assert!(types.insert(name.to_owned(), value.to_owned()).is_none(), "{name} twice"),
                "HELP" => assert!(!value.is_empty(), "{line}"),
                other => panic!("{other}"),
            }
            current = name.to_owned();
            continue;
        }
        let (name, labels, value) = sample(line);
        let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{name} outside of its family"));
        let allowed: &[&str] = match types[&current].as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => panic!("type {other}"),
        };
        assert!(allowed.contains(&suffix), "{line}");
        assert!(seen.insert((name.clone(), labels.clone())), "{line} twice");
        samples.push((name, labels, value));
    }
    samples
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let mut rest = &line[name.len()..];
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            let mut value = String::new();
            let mut characters = after.char_indices();
            let end = loop {
                match characters.next().unwrap_or_else(|| panic!("{line}")) {
                    (_, '\\') => value.push(characters.next().unwrap().1),
                    (at, '"') => break at,
                    (_, character) => value.push(character),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = after[end + 1..].trim_start_matches(',');
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    (name, labels, value.parse().unwrap_or_else(|_| panic!("{line}")))
}

fn value(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted = |of: &BTreeMap<String, String>| {
        labels.iter().all(|(label, value)| of.get(*label).is_some_and(|have| have == value))
    };
    let mut found = samples.iter().filter(|(have, of, _)| have == name && wanted(of));
    let (_, _, value) = found.next().unwrap_or_else(|| panic!("no {name} with {labels:?}"));
    assert!(found.next().is_none(), "{name} with {labels:?} is ambiguous");
    *value
}

fn has(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> bool {
    let is_wanted = |of: &BTreeMap<String, String>| {
        labels.iter().all(|(label, value)| of.get(*label).is_some_and(|have| have == value))
    };
    samples.iter().any(|(have, of, _)| have == name && is_wanted(of))
}

/// Buckets of a histogram in the order of the text.
fn buckets(samples: &Samples, name: &str) -> Vec<(String, f64)> {
    let name = format!("{name}_bucket");
    let of = samples.iter().filter(|(have, ..)| *have == name);
    of.map(|(_, labels, value)| (labels["le"].clone(), *value)).collect()
}

#[test]
fn values_are_those_of_the_sources() {
    let samples = parse(&render(&filled(), Format::OpenMetrics).unwrap());
    let first = ("vrrp_instance", "VI_1");
    let state = |state| value(&samples, "vrrpx_instance_state", &[first, ("state", state)]);
    assert_eq!(["INIT", "BACKUP", "MASTER", "FAULT"].map(state), [0.0, 1.0, 0.0, 0.0]);
    let identity = [("interface", "eth0"), ("vrid", "51"), ("family", "ipv4"), ("version", "3")];
    let of = |name, labels: &[(&str, &str)]| value(&samples, name, &[&[first], labels].concat());
    assert_eq!(of("vrrpx_instance_info", &identity), 1.0);
    assert_eq!(of("vrrpx_instance_priority", &[]), 80.0);
    let transition = [("to", "BACKUP"), ("reason", "higher_priority")];
    assert_eq!(of("vrrpx_instance_transitions_total", &transition), 1.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let ago = now - of("vrrpx_instance_last_transition_timestamp_seconds", &[]);
    assert!((90.0..95.0).contains(&ago), "{ago}");
    // Three intervals of the master, and (256 - 80) / 256 of one.
    assert!((of("vrrpx_instance_master_down_interval_seconds", &[]) - 0.368_75).abs() < 1e-6);
    let address = [("address", "192.0.2.51"), ("interface", "eth0")];
    assert_eq!(of("vrrpx_address_present", &address), 0.0);
    assert_eq!(of("vrrpx_adverts_sent_total", &[]), 12.0);
    assert_eq!(of("vrrpx_adverts_received_total", &[]), 4.0);
    assert_eq!(of("vrrpx_rejects_total", &[("reason", "checksum")]), 3.0);
    assert!(!has(&samples, "vrrpx_rejects_total", &[first, ("reason", "ttl")]));
    assert_eq!(of("vrrpx_peer_rejected", &[("peer", "10.0.0.3"), ("reason", "checksum")]), 1.0);
    let group = |state| value(&samples, "vrrpx_group_state", &[("group", "both"), ("state", state)]);
    assert_eq!(["INIT", "BACKUP", "MASTER", "FAULT"].map(group), [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(value(&samples, "vrrpx_unknown_vrid_total", &[]), 1.0);
    assert_eq!(
        value(&samples, "vrrpx_receive_path", &[("interface", "eth0"), ("receive_path", "socket")]),
        1.0
    );
    assert!(!has(&samples, "vrrpx_receive_path", &[("receive_path", "native")]));
    assert_eq!(value(&samples, "vrrpx_build_info", &[("router_id", "node1")]), 1.0);
    let second = [("vrrp_instance", "VI \"2\"")];
    assert_eq!(value(&samples, "vrrpx_instance_priority", &second), 100.0);
    assert!(!has(&samples, "vrrpx_instance_last_transition_timestamp_seconds", &second));
    assert_eq!(value(&samples, "vrrpx_realtime", &[]), 0.0);
    assert_eq!(value(&samples, "vrrpx_memory_locked", &[]), 1.0);
    assert_eq!(value(&samples, "vrrpx_guard_up", &[]), 0.0);
}

#[test]
fn a_check_that_is_held_shows_why() {
    let context = filled();
    let until = clock::now() + Duration::from_secs(90);
    context.history.check(ProbeResult {
        track: context.config.checks[0].id,
        outcome: Outcome::Ended(End::Exited(0)),
        lasted: Duration::from_millis(250),
        printed: None,
        by: NoticedBy::Polling,
        runs: 7,
        up: false,
        held: Some(Held { cause: Cause::Flapping, until }),
        news: false,
        skipped: None,
        is_known: true,
    });
    let samples = parse(&render(&context, Format::OpenMetrics).unwrap());
    let of = |name, labels: &[(&str, &str)]| value(&samples, name, &[&[("check", "check")], labels].concat());
    assert_eq!(of("vrrpx_check_up", &[("kind", "command")]), 0.0);
    assert_eq!(of("vrrpx_check_held", &[("reason", "flapping")]), 1.0);
    assert!(!has(&samples, "vrrpx_check_held", &[("reason", "min_hold")]), "it has no min_hold");
    let status = context.status();
    let held = status.checks[0].held.as_ref().unwrap();
    assert!(held.reason == "flapping" && (80.0..=90.0).contains(&held.seconds), "{held:?}");
    let text = table(&status);
    assert!(text.contains("  check: held down because it flaps, until 1m "), "{text}");
}

#[test]
fn a_check_that_cannot_run_shows_why_and_keeps_its_result() {
    let context = filled();
    let round = ProbeResult {
        track: context.config.checks[0].id,
        outcome: Outcome::Well,
        lasted: Duration::from_millis(250),
        printed: None,
        by: NoticedBy::Polling,
        runs: 7,
        up: true,
        held: None,
        news: false,
        skipped: Some("not started: Too many open files".into()),
        is_known: true,
    };
    let shown = || {
        let samples = parse(&render(&context, Format::OpenMetrics).unwrap());
        assert_eq!(value(&samples, "vrrpx_check_skipped", &[("check", "check")]), 1.0);
        let text = table(&context.status());
        let line = "  check: cannot run (not started: Too many open files); its last result stays in force\n";
        assert!(text.contains(line), "{text}");
        (samples, context.status().checks[0].up)
    };
    context.history.check(round.clone());
    let (samples, up) = shown();
    assert_eq!((value(&samples, "vrrpx_check_up", &[("check", "check")]), up), (1.0, Some(true)));
    context.history.check(ProbeResult { up: false, runs: 0, is_known: false, ..round });
    let (samples, up) = shown();
    assert!(samples.iter().all(|(name, ..)| name != "vrrpx_check_up"), "no sample without a result");
    assert_eq!(up, None);
}

#[test]
fn histograms_are_cumulative_and_end_at_their_count() {
    let samples = parse(&render(&filled(), Format::OpenMetrics).unwrap());
    let (name, count, sum) = ("vrrpx_engine_lateness_seconds", 2.0, 0.000_305);
    let buckets = buckets(&samples, name);
    let bounds: Vec<f64> = buckets.iter().map(|(bound, _)| bound.parse().unwrap()).collect();
    assert!(bounds.is_sorted_by(|low, high| low < high), "{bounds:?}");
    assert!(buckets.is_sorted_by(|(_, low), (_, high)| low <= high), "{buckets:?}");
    assert_eq!(buckets.last(), Some(&("+Inf".to_owned(), count)));
    assert_eq!(value(&samples, &format!("{name}_count"), &[]), count);
    assert!((value(&samples, &format!("{name}_sum"), &[]) - sum).abs() < 1e-9);
    // 5 µs and 300 µs.
    let late: Vec<f64> = buckets.iter().map(|(_, count)| *count).collect();
    assert_eq!(late, [1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]);
}

/// Routers with different faults, and two with the same.
#[test]
fn each_rejected_peer_has_rows_of_its_own() {
    let context = filled();
    let wrong = [([10, 0, 0, 4], Reject::AuthData), ([10, 0, 0, 5], Reject::VersionMismatch)];
    for (address, reject) in wrong.into_iter().chain([([10, 0, 0, 6], Reject::AuthData)]) {
        context.maps.reject(FIRST, reject, widen(address.into()), clock::now());
    }
    let samples = parse(&render(&context, Format::OpenMetrics).unwrap());
    for (peer, reason) in [
        ("10.0.0.3", "checksum"),
        ("10.0.0.4", "auth_data"),
        ("10.0.0.5", "version_mismatch"),
        ("10.0.0.6", "auth_data"),
    ] {
        let labels = [("vrrp_instance", "VI_1"), ("peer", peer), ("reason", reason)];
        assert_eq!(value(&samples, "vrrpx_peer_rejected", &labels), 1.0, "{peer}");
    }
}

/// The rows of reasons come with their first event; those of the daemon before stay.
#[test]
fn rows_that_have_come_stay_over_a_hot_restart() {
    let before = filled();
    let first = ("vrrp_instance", "VI_1");
    let row = |context: &Arc<DaemonContext>, name: &str, reason: &str| {
        let samples = parse(&render(context, Format::OpenMetrics).unwrap());
        has(&samples, name, &[first, ("reason", reason)])
            .then(|| value(&samples, name, &[first, ("reason", reason)]))
    };
    assert_eq!(row(&before, "vrrpx_rejects_total", "ttl"), None);
    before.maps.reject(FIRST, Reject::Ttl, [0; 16], clock::now());
    assert_eq!(row(&before, "vrrpx_rejects_total", "ttl"), Some(1.0));
    let fault = vrrp_user::daemon::host::reception::ReceptionFault::Program;
    before.history.reception_fault(InstanceId(0), Some(fault));
    before.history.reception_fault(InstanceId(0), None);

    let after = context(config(vec![instance("VI_1", 51, NotifySettings::default())], vec![]));
    let (id, rows) = kept_rows(&before).remove(0);
    after.history.keep_rows(id, &rows);
    assert_eq!(row(&after, "vrrpx_rejects_total", "ttl"), Some(0.0));
    assert_eq!(row(&after, "vrrpx_instance_transitions_total", "higher_priority"), Some(0.0));
    assert_eq!(row(&after, "vrrpx_rejects_total", "auth_data"), None);
    for context in [&before, &after] {
        let samples = parse(&render(context, Format::OpenMetrics).unwrap());
        assert_eq!(value(&samples, "vrrpx_reception_fault", &[first, ("receiver", "program")]), 0.0);
        assert!(!has(&samples, "vrrpx_reception_fault", &[("receiver", "host")]));
    }
    assert_eq!(kept_rows(&after), [(id, rows)], "and over the next one");
}

#[test]
fn a_hot_restart_keeps_the_time_of_the_transition() {
    let after = context(config(vec![instance("VI_1", 51, NotifySettings::default())], vec![]));
    after.history.resumed(InstanceId(0), clock::now() - Duration::from_secs(300));
    let samples = parse(&render(&after, Format::OpenMetrics).unwrap());
    let at = value(&samples, "vrrpx_instance_last_transition_timestamp_seconds", &[]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((300.0..305.0).contains(&(now - at)), "{at} at {now}");
}

#[test]
fn hooks_are_counted_by_result() {
    let context = filled();
    for code in [0, 0, 3] {
        let run = Run { end: End::Exited(code), lasted: Duration::from_millis(5) };
        context.history.hook(InstanceId(0), "notify", HookRun::ended("MASTER", run, None));
    }
    let run = Run { end: End::Exited(1), lasted: Duration::from_millis(5) };
    context.history.group_hook(
        vrrp_user::protocol::GroupId(0),
        "notify",
        HookRun::ended("MASTER", run, None),
    );
    let samples = parse(&render(&context, Format::OpenMetrics).unwrap());
    let runs = |result| value(&samples, "vrrpx_hook_runs_total", &[("result", result)]);
    assert_eq!(["success", "failure"].map(runs), [2.0, 2.0]);
}

#[test]
fn the_process_is_measured() {
    let samples = parse(&render(&filled(), Format::OpenMetrics).unwrap());
    let of = |name| value(&samples, name, &[]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - of("process_start_time_seconds");
    assert!((-2.0..3600.0).contains(&age), "{age}");
    let resident = of("process_resident_memory_bytes");
    assert!((1e6..1e10).contains(&resident), "{resident}");
    let (open, most) = (of("process_open_fds"), of("process_max_fds"));
    assert!(open >= 3.0 && most >= open, "{open} of {most}");
    assert!(of("process_cpu_seconds_total") < 3600.0);
}

/// The set that an exporter for keepalived serves, which dashboards are made for.
#[test]
fn the_names_of_the_exporter_for_keepalived() {
    let context = filled();
    context.live.instances[0].release_heard.store(2, Relaxed);
    let samples = parse(&render_keepalived(&context, Format::OpenMetrics).unwrap());
    let names: BTreeSet<&str> = samples.iter().map(|(name, ..)| &**name).collect();
    let expected = [
        "keepalived_up",
        "keepalived_vrrp_state",
        "keepalived_gratuitous_arp_delay_total",
        "keepalived_advertisements_received_total",
        "keepalived_advertisements_sent_total",
        "keepalived_become_master_total",
        "keepalived_release_master_total",
        "keepalived_packet_length_errors_total",
        "keepalived_advertisements_interval_errors_total",
        "keepalived_ip_ttl_errors_total",
        "keepalived_invalid_type_received_total",
        "keepalived_address_list_errors_total",
        "keepalived_authentication_invalid_total",
        "keepalived_authentication_mismatch_total",
        "keepalived_authentication_failure_total",
        "keepalived_priority_zero_received_total",
        "keepalived_priority_zero_sent_total",
        "keepalived_script_status",
    ];
    assert_eq!(names, BTreeSet::from(expected), "without excluded addresses, no row of their state");
    let first = [("iname", "VI_1"), ("intf", "eth0"), ("vrid", "51")];
    let state = [&first[..], &[("ip_address", "192.0.2.51/24")]].concat();
    assert_eq!(value(&samples, "keepalived_vrrp_state", &state), 1.0);
    assert_eq!(value(&samples, "keepalived_advertisements_sent_total", &first), 12.0);
    assert_eq!(value(&samples, "keepalived_advertisements_received_total", &first), 4.0);
    assert_eq!(value(&samples, "keepalived_release_master_total", &first), 1.0);
    assert_eq!(value(&samples, "keepalived_priority_zero_received_total", &first), 2.0);
    assert_eq!(value(&samples, "keepalived_script_status", &[("name", "check")]), 0.0);
    assert_eq!(value(&samples, "keepalived_up", &[]), 1.0);
}

#[test]
fn a_file_may_have_the_name_of_a_script() {
    let target = CheckTarget::File(FileTarget { path: "/nowhere".into(), initial: None });
    let file = CheckSettings { target, ..script(8, "true") };
    let context = context(config(vec![], vec![script(7, "true"), file]));
    let samples = parse(&render_keepalived(&context, Format::OpenMetrics).unwrap());
    assert_eq!(value(&samples, "keepalived_script_status", &[("name", "check")]), 0.0);
}

/// The tables of the handbook name each metric that is served, and no other one.
#[test]
fn the_handbook_names_every_metric() {
    let text = include_str!("../../docs/operations.md");
    let (_, text) = text.split_once("\n## Metrics\n").unwrap();
    let text = text.split("\n## ").next().unwrap();
    let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let mut reported = BTreeSet::new();
    let mut latest = String::new();
    for name in cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
        // "…_sent_total" ends like the name before it begins.
        let name = match name.strip_prefix("…_") {
            Some(end) => format!("{}_{end}", latest.trim_end_matches("_received_total")),
            None => name.to_owned(),
        };
        latest.clone_from(&name);
        reported.insert(name);
    }
    let reported = reported.into_iter().filter(|name| !name.starts_with("Vrrpx"));
    let mut served = BTreeSet::new();
    for render in [render, render_keepalived] {
        let text = render(&filled(), Format::Text).unwrap();
        let heads = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        served.extend(heads.map(str::to_owned));
    }
    assert_eq!(reported.collect::<BTreeSet<_>>(), served);
}

#[test]
fn an_empty_configuration_gives_valid_metrics() {
    let samples = parse(&render(&context(config(vec![], vec![])), Format::OpenMetrics).unwrap());
    assert_eq!(value(&samples, "vrrpx_suspensions_total", &[]), 0.0);
}
