//! Explanations as plain text.

use std::fmt::{self, Display, Write};

use super::super::diagnostic::Printable;
use super::super::width::{padded, width};
use super::track::Effect;
use super::value::span;
use super::{Explained, Explanation, Finding, FindingSeverity, Origin, Tracked, Value};

/// Formats an explanation by instance. Default values are left out unless `all` is set.
pub fn text(explanation: &Explanation, all: bool) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut text, explanation, all);
    text
}

fn write_all(f: &mut String, explanation: &Explanation, all: bool) -> fmt::Result {
    if explanation.refused {
        writeln!(f, "{} has errors; no part of it would be used", explanation.file)?;
    } else {
        writeln!(f, "{}", explanation.file)?;
        values(f, "global_defs", &explanation.global_defs, all)?;
        for instance in &explanation.instances {
            write_instance(f, instance, all)?;
        }
        for group in &explanation.groups {
            writeln!(f, "\nvrrp_sync_group {}  ({})", Printable(&group.name), group.place)?;
            values(f, "settings", &group.values, all)?;
        }
    }
    findings(f, &explanation.findings)
}

fn write_instance(f: &mut String, instance: &Explained, all: bool) -> fmt::Result {
    writeln!(f, "\nvrrp_instance {}  ({})", Printable(&instance.name), instance.place)?;
    values(f, "settings", &instance.values, all)?;
    values(f, "addresses", &instance.addresses, true)?;
    values(f, "routes and rules", &instance.paths, true)?;
    if !instance.tracked.is_empty() {
        writeln!(f, "\n  tracked")?;
        let rows = instance
            .tracked
            .iter()
            .map(|it| [format!("{} {}", it.kind, it.name), effect(it), origin(&it.weight_from)]);
        table(f, &rows.collect::<Vec<_>>())?;
    }
    let timers = &instance.timers;
    writeln!(f, "\n  times as a backup")?;
    table(
        f,
        &[
            ["advert interval".to_owned(), span(timers.advert_interval), String::new()],
            ["skew".to_owned(), span(timers.skew), String::new()],
            ["master_down_interval".to_owned(), span(timers.master_down_interval), String::new()],
        ],
    )?;
    writeln!(f, "\n  takes over from a master with the same settings when")?;
    let rows = instance.takeovers.iter().flat_map(|it| {
        let within = match it.within {
            Some(within) if within.least == within.most => format!("after {}", span(within.most)),
            Some(within) => format!("after {} to {}", span(within.least), span(within.most)),
            None => "never".to_owned(),
        };
        let below = it.remark.clone().map(|remark| [String::new(), remark, String::new()]);
        [Some([it.after.clone(), within, String::new()]), below].into_iter().flatten()
    });
    table(f, &rows.collect::<Vec<_>>())?;
    findings(f, &instance.findings)
}

fn values(f: &mut String, title: &str, values: &[Value], all: bool) -> fmt::Result {
    let shown = values.iter().filter(|value| all || value.from != Origin::Default || value.noted);
    let rows: Vec<[String; 3]> = shown
        .map(|value| {
            let mark = if value.noted { " *" } else { "" };
            [format!("{}{mark}", value.keyword), value.value.clone(), origin(&value.from)]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n  {title}")?;
    table(f, &rows)
}

fn findings(f: &mut String, findings: &[Finding]) -> fmt::Result {
    if !findings.is_empty() {
        f.push('\n');
    }
    for finding in findings {
        let word = match finding.severity {
            FindingSeverity::Note => "note",
            FindingSeverity::Warning => "warning",
            FindingSeverity::LeftOut => "left out",
            FindingSeverity::Error => "error",
        };
        match &finding.place {
            Some(place) => writeln!(f, "  {word}: {place}: {}", Printable(&finding.message))?,
            None => writeln!(f, "  {word}: {}", Printable(&finding.message))?,
        }
        if let Some(help) = &finding.help {
            writeln!(f, "    help: {}", Printable(help))?;
        }
    }
    Ok(())
}

fn effect(track: &Tracked) -> String {
    let effect = match track.reaction {
        Some(Effect::Fault) => "failed: FAULT".to_owned(),
        Some(Effect::Priority { good, failed }) => format!("good: {good}, failed: {failed}"),
        Some(Effect::None) => "changes nothing".to_owned(),
        None => format!("adds its number times {}", track.weight),
    };
    match &track.held {
        Some(held) => format!("{effect}; held failed {held}"),
        None => effect,
    }
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Written(place) => place.to_string(),
        Origin::Globals(place) => format!("{place} (global_defs)"),
        Origin::Check(place) => format!("{place} (the check)"),
        Origin::Group(place) => format!("{place} (the sync group)"),
        Origin::Default => "default".to_owned(),
        Origin::Follows(keyword) => format!("follows from `{keyword}`"),
    }
}

/// Pads the columns to their widest cell, except the last one.
fn table(f: &mut String, rows: &[[String; 3]]) -> fmt::Result {
    let printable = |cell: &String| Printable(cell).to_string();
    let rows: Vec<[String; 3]> = rows.iter().map(|row| row.each_ref().map(printable)).collect();
    let widest = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
    };
    let (first, second) = (widest(0), widest(1));
    for [a, b, c] in &rows {
        let line = format!("    {}  {}  {c}", padded(a, first), padded(b, second));
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

impl Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(self, true))
    }
}
