//! The table of a bench, printed line by line: a run that is cut short has printed what it had measured.
//!
//! Enters: rows, in their order. Leaves: the table in Markdown on standard output, under a line that describes the
//! machine. Absent: progress, which goes to standard error.

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Plan, stats};

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    pub measure: String,
    pub goal: String,
    /// One value for each of the plan's daemons.
    pub values: Vec<String>,
}

/// A table under construction.
#[derive(Debug)]
pub struct Sheet {
    lines: Vec<String>,
    /// Total time stolen by the hypervisor when the last row was added.
    steal: Duration,
    failed: usize,
}

/// Cell for a value that could not be measured.
pub(super) const FAILED: &str = "failed";

impl Sheet {
    /// Prints the head.
    pub fn new(plan: &Plan) -> Self {
        let daemons: Vec<_> = plan.daemons.iter().map(|daemon| daemon.version()).collect();
        let mut sheet = Self { lines: Vec::new(), steal: stats::steal(), failed: 0 };
        sheet.print(stats::machine());
        sheet.print(String::new());
        sheet.print(format!("| measure | goal | {} | steal |", daemons.join(" | ")));
        sheet.print(format!("|---|---|{}---|", "---|".repeat(daemons.len())));
        sheet
    }

    /// Prints a row that has just been measured, with the time stolen by the hypervisor since the previous one.
    pub fn add(&mut self, row: &Row) {
        let before = std::mem::replace(&mut self.steal, stats::steal());
        let steal = self.steal.saturating_sub(before);
        self.failed += row.values.iter().filter(|value| *value == FAILED).count();
        self.print(format!("| {} | {} | {} | {steal:.0?} |", row.measure, row.goal, row.values.join(" | ")));
    }

    /// Prints the whole table again if progress stands between its lines, on a terminal.
    ///
    /// # Errors
    /// Values are missing.
    pub fn end(self) -> Result<()> {
        if stdout().is_terminal() {
            println!("\n{}", self.lines.join("\n"));
        }
        ensure!(self.failed == 0, "{} values could not be measured", self.failed);
        Ok(())
    }

    fn print(&mut self, line: String) {
        println!("{line}");
        self.lines.push(line);
    }
}

impl Row {
    pub(super) fn new(measure: impl Into<String>, goal: impl Into<String>, values: Vec<String>) -> Self {
        Self { measure: measure.into(), goal: goal.into(), values }
    }
}
