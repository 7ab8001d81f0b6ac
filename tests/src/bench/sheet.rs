//! The table of a bench, printed line by line: a run that is cut short has printed what it had measured.
//!
//! Enters: rows, in their order. Leaves: the table in Markdown on standard output, under a line that describes the
//! machine; each number as a line of JSON in a file, if one is asked for; an error if a number of ours is beyond its
//! bound. Bounds are some ten times the goals: they fail a daemon that is ten times slower, not one on a busy machine.
//! Absent: progress, which goes to standard error.

use std::fs::File;
use std::io::{IsTerminal, Write, stdout};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{Plan, stats};
use crate::daemon::Daemon;

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    pub measure: String,
    pub goal: String,
    /// One value for each of the plan's daemons.
    pub values: Vec<Cell>,
}

/// What a row says of one daemon: a text, and the numbers in it.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    figures: Vec<Figure>,
    failed: bool,
}

/// A number of a cell.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    bound: Option<Bound>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// A number, as a line of JSON. A value that could not be measured is null.
#[derive(Debug, Serialize)]
struct Record<'a> {
    measure: &'a str,
    daemon: &'a str,
    figure: &'static str,
    value: Option<f64>,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<Bound>,
}

/// A table under construction.
#[derive(Debug)]
pub struct Sheet {
    lines: Vec<String>,
    /// Each daemon with its version.
    daemons: Vec<(Daemon, String)>,
    json: Option<File>,
    /// Total time stolen by the hypervisor when the last row was added.
    steal: Duration,
    failed: usize,
    /// Numbers beyond their bounds, each as a sentence.
    beyond: Vec<String>,
}

impl Sheet {
    /// Prints the head.
    pub fn new(plan: &Plan, json: Option<&Path>) -> Result<Self> {
        let create = |path: &Path| File::create(path).with_context(|| path.display().to_string());
        let daemons: Vec<_> = plan.daemons.iter().map(|daemon| (*daemon, daemon.version())).collect();
        let versions: Vec<_> = daemons.iter().map(|(_, version)| version.as_str()).collect();
        let head = [
            stats::machine(),
            String::new(),
            format!("| measure | goal | {} | steal |", versions.join(" | ")),
            format!("|---|---|{}---|", "---|".repeat(versions.len())),
        ];
        let json = json.map(create).transpose()?;
        let steal = stats::steal();
        let mut sheet = Self { lines: Vec::new(), daemons, json, steal, failed: 0, beyond: Vec::new() };
        head.into_iter().for_each(|line| sheet.print(line));
        Ok(sheet)
    }

    /// Prints a row that has just been measured, with the time stolen by the hypervisor since the previous one.
    pub fn add(&mut self, row: &Row) -> Result<()> {
        let before = std::mem::replace(&mut self.steal, stats::steal());
        let steal = self.steal.saturating_sub(before);
        let texts: Vec<_> = row.values.iter().map(|cell| cell.text.as_str()).collect();
        self.print(format!("| {} | {} | {} | {steal:.0?} |", row.measure, row.goal, texts.join(" | ")));
        for ((daemon, version), cell) in self.daemons.iter().zip(&row.values) {
            self.failed += usize::from(cell.failed);
            for figure in &cell.figures {
                // A bound is ours to keep; another daemon is measured as it is.
                let bound = figure.bound.filter(|_| matches!(daemon, Daemon::Vrrpx(_)));
                if let Some(bound) = bound.filter(|bound| !bound.holds(figure.value)) {
                    let Figure { name, value, unit, .. } = figure;
                    self.beyond.push(format!("{}: {name} is {value:.3} {unit}, {bound}", row.measure));
                }
                let Some(file) = &mut self.json else { continue };
                let record = Record {
                    measure: &row.measure,
                    daemon: version,
                    figure: figure.name,
                    value: figure.value.is_finite().then_some(figure.value),
                    unit: figure.unit,
                    bound,
                };
                writeln!(file, "{}", serde_json::to_string(&record)?).context("the JSON file")?;
            }
        }
        Ok(())
    }

    /// Prints the whole table again if progress stands between its lines, on a terminal.
    pub fn end(self) -> Result<()> {
        if stdout().is_terminal() {
            println!("\n{}", self.lines.join("\n"));
        }
        ensure!(self.failed == 0, "{} values could not be measured", self.failed);
        ensure!(self.beyond.is_empty(), "beyond the bounds:\n  {}", self.beyond.join("\n  "));
        Ok(())
    }

    fn print(&mut self, line: String) {
        println!("{line}");
        self.lines.push(line);
    }
}

impl Row {
    pub(super) fn new(measure: impl Into<String>, goal: impl Into<String>, values: Vec<Cell>) -> Self {
        Self { measure: measure.into(), goal: goal.into(), values }
    }
}

impl Cell {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// For what a daemon does not have.
    pub(super) fn none() -> Self {
        Self::new("–")
    }

    /// For a value that could not be measured.
    pub(super) fn failed() -> Self {
        Self { failed: true, ..Self::new("failed") }
    }

    pub(super) fn with(mut self, figure: Figure) -> Self {
        self.figures.push(figure);
        self
    }
}

impl Figure {
    pub(super) fn new(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name, value, unit, bound: None }
    }

    /// A number of things.
    pub(super) fn count(name: &'static str, value: usize) -> Self {
        Self::new(name, u32::try_from(value).map_or(f64::INFINITY, f64::from), "")
    }

    pub(super) fn millis(name: &'static str, span: Duration) -> Self {
        Self::new(name, span.as_secs_f64() * 1e3, "ms")
    }

    pub(super) fn at_most(self, bound: f64) -> Self {
        Self { bound: Some(Bound::AtMost(bound)), ..self }
    }

    pub(super) fn at_least(self, bound: f64) -> Self {
        Self { bound: Some(Bound::AtLeast(bound)), ..self }
    }
}

impl Bound {
    /// A value that is no number holds no bound.
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "at most {bound}"),
            Self::AtLeast(bound) => write!(f, "at least {bound}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::Mode;
    use crate::process::Directory;

    fn plan() -> Plan {
        Plan { daemons: vec![Daemon::Keepalived, Daemon::Vrrpx(Mode::Native)], quick: true }
    }

    fn row(theirs: f64, ours: f64) -> Row {
        let cell = |value| Cell::new("text").with(Figure::new("median", value, "ms").at_most(1.0));
        Row::new("detection", "≤ 0.1 ms", vec![cell(theirs), cell(ours)])
    }

    #[test]
    fn a_number_beyond_its_bound_fails_the_run_by_name() -> Result<()> {
        let mut sheet = Sheet::new(&plan(), None)?;
        sheet.add(&row(0.2, 0.1))?;
        sheet.add(&row(0.2, 1.5))?;
        let error = sheet.end().err().context("no error")?.to_string();
        assert_eq!(error, "beyond the bounds:\n  detection: median is 1.500 ms, at most 1");
        Ok(())
    }

    #[test]
    fn a_bound_is_ours_alone() -> Result<()> {
        let mut sheet = Sheet::new(&plan(), None)?;
        sheet.add(&row(20.0, 0.1))?;
        sheet.end()
    }

    #[test]
    fn what_is_no_number_or_was_not_measured_fails_the_run() -> Result<()> {
        let mut sheet = Sheet::new(&plan(), None)?;
        sheet.add(&row(0.2, f64::NAN))?;
        assert!(sheet.end().is_err());
        let mut sheet = Sheet::new(&plan(), None)?;
        sheet.add(&Row::new("detection", "–", vec![Cell::none(), Cell::failed()]))?;
        assert!(sheet.end().is_err());
        Ok(())
    }

    #[test]
    fn each_number_is_a_line_of_json() -> Result<()> {
        let directory = Directory::new()?;
        let path = directory.path().join("numbers");
        let mut sheet = Sheet::new(&plan(), Some(&path))?;
        sheet.add(&row(0.25, 0.5))?;
        let text = std::fs::read_to_string(path)?;
        let lines: Vec<serde_json::Value> =
            text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let values: Vec<_> = lines.iter().map(|line| line["value"].as_f64()).collect();
        assert_eq!(values, [Some(0.25), Some(0.5)]);
        assert!(lines[0].get("bound").is_none());
        assert_eq!(lines[1]["bound"], serde_json::json!({ "at_most": 1.0 }));
        assert_eq!(lines[1]["figure"], "median");
        Ok(())
    }
}
