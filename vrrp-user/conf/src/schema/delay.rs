//! `interface_up_down_delays`: one interface per line.

use std::sync::Arc;
use std::time::Duration;

use super::super::diagnostic::Report;
use super::super::model::LinkDelays;
use super::super::source::At;
use super::super::tree::Statement;
use super::value;

const MOST: Duration = Duration::from_secs(255);

/// `INTERFACE DOWN [UP]`
pub(super) fn read(delays: &mut Vec<(At<Arc<str>>, LinkDelays)>, inner: &[Statement], report: &mut Report) {
    for line in inner {
        let name = &line.keyword;
        let faults = report.faults();
        if line.args.is_empty() {
            report
                .left_out(name.at, format!("`{}` has no delay", name.text))
                .help("write after its name the seconds that it must be down, then those that it must be up");
        }
        if let Some(extra) = line.args.get(2) {
            report.warning(extra.at, format!("`{}` is ignored: a line has at most two delays", extra.text));
        }
        let mut delay = |index: usize| {
            let word = line.args.get(index).map(std::slice::from_ref)?;
            value::read_seconds(&name.text, name.at, word, Duration::ZERO, MOST, report)
        };
        let (down, up) = (delay(0), delay(1));
        let span = |delay: Option<At<Duration>>| delay.map_or(Duration::ZERO, |delay| delay.value);
        if report.faults() == faults {
            let name = name.placed();
            delays.push((name, LinkDelays { down: span(down), up: span(up) }));
        }
    }
}
