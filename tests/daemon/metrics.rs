//! Metrics: valid OpenMetrics text with the values of the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vrrp_tests::require;
use vrrp_user::daemon::metrics::{Format, Metrics, render};
use vrrp_user::daemon::status::table;
use vrrp_user::driver::clock;
use vrrp_user::driver::probe::check::{Outcome, ProbeResult};
use vrrp_user::driver::probe::watch::By;
use vrrp_user::driver::probe::{Cause, Held};
use vrrp_user::driver::process::End;

use crate::setup::{config, context, filled};

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
    let identity = [first, ("interface", "eth0"), ("vrid", "51"), ("family", "ipv4")];
    let state =
        |state| value(&samples, "vrrpx_instance_state", &[&identity[..], &[("state", state)]].concat());
    assert_eq!(["INIT", "BACKUP", "MASTER", "FAULT"].map(state), [0.0, 1.0, 0.0, 0.0]);
    let of = |name, labels: &[(&str, &str)]| value(&samples, name, &[&[first], labels].concat());
    assert_eq!(of("vrrpx_instance_priority", &[]), 80.0);
    assert_eq!(of("vrrpx_instance_transitions_total", &[("reason", "higher_priority")]), 1.0);
    assert_eq!(of("vrrpx_adverts_sent_total", &[]), 12.0);
    assert_eq!(of("vrrpx_adverts_received_total", &[]), 4.0);
    assert_eq!(of("vrrpx_rejects_total", &[("reason", "checksum")]), 3.0);
    assert_eq!(of("vrrpx_rejects_total", &[("reason", "ttl")]), 0.0);
    assert_eq!(of("vrrpx_peer_rejected", &[("peer", "10.0.0.3"), ("reason", "checksum")]), 1.0);
    assert_eq!(of("vrrpx_peer_priority", &[("peer", "10.0.0.2")]), 150.0);
    assert_eq!(of("vrrpx_peer_adverts_total", &[("peer", "10.0.0.2")]), 4.0);
    let age = of("vrrpx_peer_last_advert_age_seconds", &[("peer", "10.0.0.2")]);
    assert!((0.0..5.0).contains(&age), "{age}");
    let group = |state| value(&samples, "vrrpx_group_state", &[("group", "both"), ("state", state)]);
    assert_eq!(["INIT", "BACKUP", "MASTER", "FAULT"].map(group), [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(value(&samples, "vrrpx_unknown_vrid_total", &[]), 1.0);
    assert_eq!(
        value(&samples, "vrrpx_receive_path", &[("interface", "eth0"), ("receive_path", "socket")]),
        1.0
    );
    assert_eq!(value(&samples, "vrrpx_receive_path", &[("receive_path", "native")]), 0.0);
    assert_eq!(value(&samples, "vrrpx_build_info", &[("router_id", "node1")]), 1.0);
    assert_eq!(value(&samples, "vrrpx_instance_priority", &[("vrrp_instance", "VI \"2\"")]), 0.0);
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
        by: By::Polling,
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
    assert_eq!(of("vrrpx_check_held", &[("reason", "min_hold")]), 0.0);
    assert_eq!(of("vrrpx_check_duration_seconds", &[]), 0.25);
    assert_eq!(of("vrrpx_check_polls_total", &[]), 7.0);
    let status = context.status();
    let held = status.checks[0].held.as_ref().unwrap();
    assert!(held.reason == "flapping" && (80.0..=90.0).contains(&held.seconds), "{held:?}");
    let text = table(&status);
    assert!(text.contains("  check: held down because it flaps; 1m "), "{text}");
}

#[test]
fn a_check_that_cannot_run_shows_why_and_keeps_its_result() {
    let context = filled();
    let round = ProbeResult {
        track: context.config.checks[0].id,
        outcome: Outcome::Well,
        lasted: Duration::from_millis(250),
        printed: None,
        by: By::Polling,
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
    for (name, count, sum) in
        [("vrrpx_peer_interarrival_seconds", 3.0, 0.3), ("vrrpx_engine_lateness_seconds", 2.0, 0.000_305)]
    {
        let buckets = buckets(&samples, name);
        let bounds: Vec<f64> = buckets.iter().map(|(bound, _)| bound.parse().unwrap()).collect();
        assert!(bounds.is_sorted_by(|low, high| low < high), "{name}: {bounds:?}");
        assert!(buckets.is_sorted_by(|(_, low), (_, high)| low <= high), "{name}: {buckets:?}");
        assert_eq!(buckets.last(), Some(&("+Inf".to_owned(), count)), "{name}");
        assert_eq!(value(&samples, &format!("{name}_count"), &[]), count);
        assert!((value(&samples, &format!("{name}_sum"), &[]) - sum).abs() < 1e-9, "{name}");
    }
    let gaps = buckets(&samples, "vrrpx_peer_interarrival_seconds");
    // Three gaps of 100 ms.
    assert!(
        gaps.iter()
            .all(|(bound, count)| *count == if bound.parse::<f64>().unwrap() < 0.1 { 0.0 } else { 3.0 })
    );
}

#[test]
fn an_empty_configuration_gives_valid_metrics() {
    let samples = parse(&render(&context(config(vec![], vec![])), Format::OpenMetrics).unwrap());
    assert_eq!(value(&samples, "vrrpx_suspensions_total", &[]), 0.0);
}

#[tokio::test(flavor = "current_thread")]
async fn a_scrape_over_http_and_an_address_in_use() {
    let metrics = Metrics::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = metrics.address().unwrap();
    let error = Metrics::bind(address).await.unwrap_err().to_string();
    assert_eq!(error, format!("--metrics {address}: Address already in use (os error 98)"));

    let server = tokio::spawn(metrics.serve(Arc::clone(&filled())));
    let get = async |path: &str, accept: &str| {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = get("/metrics", "application/openmetrics-text; version=1.0.0").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(!parse(body).is_empty());
    let answer = get("/metrics", "*/*").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(body.contains("\n# TYPE vrrpx_build_info gauge\n") && !body.contains("# EOF"), "{body}");
    assert!(get("/", "*/*").await.starts_with("HTTP/1.1 404"));
    server.abort();
}

/// Format 0.0.4 has the same samples, and Prometheus finds nothing to say about it.
#[test]
fn promtool_takes_the_text_format() {
    let [text, openmetrics] =
        [Format::Text, Format::OpenMetrics].map(|format| render(&filled(), format).unwrap());
    let count = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(count(&text), count(&openmetrics));
    if !require("promtool") {
        return;
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test(flavor = "current_thread")]
async fn idle_clients_give_way_and_are_cut_off_in_time() {
    let metrics = Metrics::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = metrics.address().unwrap();
    let server = tokio::spawn(metrics.serve(Arc::clone(&filled())));
    let mut idle = Vec::new();
    for number in 0..400 {
        idle.push(TcpStream::connect(address).await.unwrap());
        if number % 40 == 0 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
    let began = clock::now();
    let mut ends = Vec::new();
    for mut client in idle {
        // An incomplete request no longer holds a place.
        let _ = client.write_all(b"GET /metrics HT").await;
        let mut rest = Vec::new();
        // A reset also counts as an end.
        let _ = client.read_to_end(&mut rest).await;
        ends.push(clock::now().since(began));
    }
    let soon = ends.iter().filter(|end| **end < Duration::from_secs(2)).count();
    // All except the 128 that are allowed.
    assert!((270..=400).contains(&soon), "{soon} of 400 were closed at once");
    let last = *ends.last().unwrap();
    assert!((3..10).contains(&last.as_secs()), "the last one is cut off after {last:?}");
    server.abort();
}
