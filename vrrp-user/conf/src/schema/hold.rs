//! `damping` and `min_hold` of a check.

use std::time::Duration;

use super::super::check::{Damping, HoldSettings};
use super::super::diagnostic::{Report, did_you_mean};
use super::super::lexer::Word;
use super::super::source::{At, Position};
use super::draft::{HoldDraft, ScriptDraft};
use super::table::{Kind, Row};
use super::value::{self, SPAN_MAX};

pub(super) const ROWS: &[Row<ScriptDraft>] = &[
    Row::works(
        "min_hold",
        Kind::Seconds(Duration::ZERO, SPAN_MAX, |check, span| check.hold.least = Some(span)),
        "0",
        "least time that a failed check counts as failed",
    ),
    Row::works(
        "damping",
        Kind::Own("N SECONDS [hold SECONDS]", damping),
        "none; hold as the first SECONDS",
        "after N changes (2 to 100) within that time it counts as failed, until it has not changed for `hold`",
    ),
];

impl HoldDraft {
    pub(crate) fn settings(&self) -> HoldSettings {
        HoldSettings {
            least: self.least.map_or(Duration::ZERO, |span| span.value),
            damping: self.damping.map(|damping| damping.value),
        }
    }

    /// The first keyword written.
    pub(crate) fn written(&self) -> Option<(&'static str, Position)> {
        let least = self.least.map(|it| ("min_hold", it.at));
        least.or(self.damping.map(|it| ("damping", it.at)))
    }
}

const CHANGES: std::ops::RangeInclusive<u32> = 2..=100;

fn damping(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let (changes, within, more) = match args {
        [changes, within, more @ ..] => (changes, within, more),
        _ => {
            report
                .error(keyword.at, "`damping` needs a number of changes and a time")
                .help("for five changes within a minute write `damping 5 60`");
            return;
        }
    };
    let Some(count) = changes.text.parse().ok().filter(|count| CHANGES.contains(count)) else {
        let (low, high) = (CHANGES.start(), CHANGES.end());
        report.error(changes.at, format!("`damping` takes {low} to {high} changes, not `{}`", changes.text));
        return;
    };
    let Some(within) = span(within, report) else { return };
    let quiet = match more {
        [] => Some(within),
        [option, rest @ ..] if option.text == "hold" => {
            let quiet =
                value::read_seconds("hold", option.at, rest, Duration::from_nanos(1), SPAN_MAX, report);
            quiet.map(|quiet| quiet.value)
        }
        [option, ..] => {
            report
                .error(option.at, format!("unknown option `{}` of `damping`", option.text))
                .help_with(|| did_you_mean(&option.text, ["hold"]));
            None
        }
    };
    let Some(quiet) = quiet else { return };
    check.hold.damping = Some(At { value: Damping { changes: count, within, quiet }, at: keyword.at });
}

fn span(word: &Word, report: &mut Report) -> Option<Duration> {
    let span = value::read_seconds(
        "damping",
        word.at,
        std::slice::from_ref(word),
        Duration::from_nanos(1),
        SPAN_MAX,
        report,
    );
    span.map(|span| span.value)
}
