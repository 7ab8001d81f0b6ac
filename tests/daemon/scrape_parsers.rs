//! Scrapes in both formats, as Prometheus and its Python client read them.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use vrrp_tests::needs;
use vrrp_user::daemon::metrics::{Format, render, render_keepalived};
use vrrp_user::daemon::status::DaemonContext;

use crate::scrape_size::crowd;
use crate::setup::{config, context, filled};

type Render = fn(&Arc<DaemonContext>, Format) -> Result<String, std::fmt::Error>;

/// Prints every sample of standard input that the parser of a format finds. Values measured twice differ.
const PARSE: &str = r#"
import sys
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

of = {"Text": parser, "OpenMetrics": openmetrics}[sys.argv[1]]
for family in of.text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        print(sample.name, sorted(sample.labels.items()))
"#;

/// All that is served, of an empty configuration, of one with each kind of row, and of many instances.
fn scrapes() -> impl Iterator<Item = [String; 2]> {
    let contexts = [context(config(vec![], vec![])), filled(), crowd()];
    contexts.into_iter().flat_map(|context| {
        [render as Render, render_keepalived]
            .map(|render| [Format::Text, Format::OpenMetrics].map(|format| render(&context, format).unwrap()))
    })
}

/// What a program prints of `input`; it must succeed without a word on standard error.
fn piped(mut program: Command, input: &str) -> String {
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // The program prints while it reads.
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{program:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[needs("promtool")]
fn promtool_takes_the_text_format() {
    for [text, _] in scrapes() {
        let mut promtool = Command::new("promtool");
        promtool.args(["check", "metrics"]);
        piped(promtool, &text);
    }
}

/// Each format by its own parser, which find the same samples.
#[test]
#[needs("prometheus_client")]
fn python_takes_both_formats() {
    for scrape in scrapes() {
        let [text, openmetrics] =
            [("Text", &scrape[0]), ("OpenMetrics", &scrape[1])].map(|(format, scrape)| {
                let mut python = Command::new("/usr/bin/python3");
                python.args(["-c", PARSE, format]);
                let mut samples: Vec<String> = piped(python, scrape).lines().map(str::to_owned).collect();
                samples.sort_unstable();
                assert_eq!(samples.len(), scrape.lines().filter(|line| !line.starts_with('#')).count());
                samples
            });
        assert_eq!(text, openmetrics);
    }
}
