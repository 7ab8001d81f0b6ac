//! The shipped alert rules and dashboard: valid, and made of metrics that the daemon serves.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vrrp_tests::needs;
use vrrp_user::daemon::metrics::{Format, render};

use crate::setup::{Folder, filled};

fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vrrp-user/dist")
}

/// Names of all samples that the daemon can serve: each family has its head also without rows.
fn served() -> BTreeSet<String> {
    let text = render(&filled(), Format::Text).unwrap();
    let heads = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names = heads.flat_map(|(name, kind)| match kind {
        "histogram" => ["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")).to_vec(),
        _ => vec![name.to_owned()],
    });
    names.collect()
}

/// Names of our metrics in an expression, apart from its strings.
fn names(expression: &str) -> Vec<String> {
    let outside: String = expression.split('"').step_by(2).collect();
    let words = outside.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let is_ours = |word: &&str| word.starts_with("vrrpx_") || word.starts_with("process_");
    words.filter(is_ours).map(str::to_owned).collect()
}

fn rules() -> Vec<String> {
    let text = fs::read_to_string(dist().join("vrrpx.rules.yml")).unwrap();
    text.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned).collect()
}

fn dashboard() -> Value {
    let text = fs::read_to_string(dist().join("vrrpx.dashboard.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Expressions of the dashboard's panels.
fn panels() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

fn promtool(arguments: &[&str], folder: &Path) {
    let output = Command::new("promtool").args(arguments).current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "promtool {arguments:?}: {}", said.join("\n"));
}

#[test]
fn every_metric_of_the_rules_and_the_dashboard_is_served() {
    let served = served();
    let expressions = [rules(), panels()].concat();
    assert!(expressions.len() > 30, "{}", expressions.len());
    for expression in &expressions {
        let names = names(expression);
        assert!(!names.is_empty() || expression.starts_with("up{"), "{expression}");
        for name in names {
            assert!(served.contains(&name), "{name} of {expression} is not served");
        }
    }
}

/// Metrics that neither rules nor dashboard use: details that a person looks up, or adds to another dashboard.
const LOOKED_UP: [&str; 22] = [
    "process_max_fds",
    "process_start_time_seconds",
    "vrrpx_announcements_sent_total",
    "vrrpx_check_held",
    "vrrpx_check_skipped",
    "vrrpx_config_last_reload_success_timestamp_seconds",
    "vrrpx_engine_turns_total",
    "vrrpx_fenced_total",
    "vrrpx_fifo_lines_lost_total",
    "vrrpx_group_state",
    "vrrpx_mails_waiting",
    "vrrpx_memory_locked",
    "vrrpx_nested_tags_total",
    "vrrpx_reattached_total",
    "vrrpx_receive_path",
    "vrrpx_reloads_total",
    "vrrpx_steady_adverts_total",
    "vrrpx_steered_priority",
    "vrrpx_unknown_router_adverts_total",
    "vrrpx_unknown_vrid_total",
    "vrrpx_webhook_refusals_total",
    "vrrpx_webhook_waiting",
];

#[test]
fn every_metric_is_in_the_rules_or_the_dashboard_or_looked_up() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let queries = variables.iter().filter_map(|it| it["query"]["query"].as_str().map(str::to_owned));
    let all = [rules(), panels(), queries.collect()].concat();
    let shown: BTreeSet<String> = all.iter().flat_map(|it| names(it)).collect();
    let text = render(&filled(), Format::Text).unwrap();
    let heads = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let is_shown = |name: &str| shown.contains(name) || shown.contains(&format!("{name}_bucket"));
    let rest: BTreeSet<&str> = heads.map(|(name, _)| name).filter(|name| !is_shown(name)).collect();
    assert_eq!(rest, BTreeSet::from(LOOKED_UP));
}

#[test]
#[needs("promtool")]
fn the_rules_alert_when_they_should_and_only_then() {
    promtool(&["check", "rules", "vrrpx.rules.yml"], &dist());
    promtool(&["test", "rules", "vrrpx.rules.test.yml"], &dist());
}

/// By promtool, which reads expressions of rules only.
#[test]
#[needs("promtool")]
fn the_expressions_of_the_dashboard_are_valid() {
    let folder = Folder::new();
    let records = panels().into_iter().enumerate().map(|(number, expression)| {
        let quoted = serde_json::to_string(&expression).unwrap();
        format!("      - {{ record: \"panel:{number}\", expr: {quoted} }}\n")
    });
    let records: String = records.collect();
    let text = format!("groups:\n  - name: panels\n    rules:\n{records}");
    fs::write(folder.file("panels.yml"), text).unwrap();
    promtool(&["check", "rules", "panels.yml"], folder.path());
}
