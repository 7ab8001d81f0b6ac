//! `track_script` and `track_interface`: names with weights.

use std::sync::Arc;

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::source::At;
use super::super::tree::Statement;
use super::table::{self, Kind, Row};
use super::value;

#[derive(Clone, Debug, Default)]
pub(crate) struct TrackDraft {
    pub(crate) name: At<Arc<str>>,
    pub(crate) weight: Option<At<i64>>,
    pub(crate) reverse: Option<bool>,
    /// A block above has defined the object; keepalived knows no other.
    pub(crate) is_above: bool,
}

/// Options after a name.
pub(super) const OPTIONS: &[Row<TrackDraft>] = &[
    Row::works(
        "weight",
        Kind::Own("-253 to 253", weight),
        "that of the script, or 0",
        "0: FAULT while down; positive: added while up; negative: added while down",
    ),
    Row::works(
        "reverse",
        Kind::Flag(|track, _| track.reverse = Some(true)),
        "",
        "inverts the sign of the weight; weight 0: FAULT while up",
    ),
    Row::works(
        "noreverse",
        Kind::Flag(|track, _| track.reverse = Some(false)),
        "",
        "undoes `reverse` of the script",
    ),
];

fn weight(track: &mut TrackDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    track.weight = value::read_weight(keyword.at, args, report);
}

/// Reads tracked objects, one per line.
pub(super) fn read(tracks: &mut Vec<TrackDraft>, inner: &[Statement], report: &mut Report) {
    for statement in value::lines(inner, report, &|_| true) {
        let name = statement.keyword.placed();
        let mut track = TrackDraft { name, ..TrackDraft::default() };
        if report.is_tolerant()
            && let Some(first) = statement.args.first()
            && (first.text != "weight" || statement.args.len() == 1)
        {
            let name = &track.name.value;
            let behind = &first.text;
            let message = match &**behind {
                "weight" => format!("`{name}` is not tracked: `weight` behind it has no number"),
                _ => format!("`{name}` is not tracked: `{behind}` behind it is not `weight`"),
            };
            report
                .left_out(first.at, message)
                .elects(true)
                .help("write one name per line, or `NAME weight NUMBER`");
            continue;
        }
        table::read_options(OPTIONS, "after a tracked name", &statement.args, &mut track, report);
        if track.weight.is_none() && track.reverse.is_some() {
            report
                .warning(
                    track.name.at,
                    format!(
                        "keepalived does not track `{}`: its option needs a `weight` before it",
                        track.name.value
                    ),
                )
                .help("write `weight N` before the option, on all nodes");
        }
        if tracks.iter().any(|other| other.name.value == track.name.value) {
            report.warning(
                track.name.at,
                format!("`{}` is tracked already; this line is ignored", track.name.value),
            );
        } else {
            tracks.push(track);
        }
    }
}
