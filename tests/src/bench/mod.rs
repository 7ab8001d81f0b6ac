//! Measures failover, ours beside keepalived, in one run on one machine.
//!
//! [`checks`] and [`faults`] are tables of their own. Each other module is some rows of the table: [`failover`] the dead
//! host and the clean stop, [`load`] busy processors, [`flood`] malformed adverts, [`backup`] the cost of listening,
//! [`reload`] changes of the configuration. All times are the kernel's stamps on frames as they leave a node's cable, so
//! the tool's own lateness is in none of them.

pub mod backup;
pub mod checks;
pub mod failover;
pub mod faults;
pub mod flood;
pub mod load;
pub mod options;
pub mod reload;
mod stats;

use std::time::Duration;

use anyhow::Result;

use crate::daemon::Daemon;
pub use stats::Samples;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    pub daemons: Vec<Daemon>,
    /// Fewer rounds and shorter runs, to see that everything works.
    pub quick: bool,
}

/// A line of the result.
#[derive(Clone, Debug)]
pub struct Row {
    pub measure: String,
    pub goal: String,
    /// One for each of the plan's daemons.
    pub values: Vec<String>,
    /// Time the host took from this machine meanwhile.
    pub steal: Duration,
}

/// A row of the table by its letter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Measure {
    /// a, b, c: detection, outage of a dead host, outage of a clean stop; they come from the same rounds.
    Failover,
    /// d: one busy processor.
    OneBusy,
    /// e: all processors busy.
    AllBusy,
    /// f: malformed adverts.
    Flood,
    /// g: processor time of a backup.
    Backup,
    /// h: reloads.
    Reload,
}

impl Measure {
    pub const ALL: [Self; 6] =
        [Self::Failover, Self::OneBusy, Self::AllBusy, Self::Flood, Self::Backup, Self::Reload];

    pub fn of_letter(letter: char) -> Option<Self> {
        match letter {
            'a' | 'b' | 'c' => Some(Self::Failover),
            'd' => Some(Self::OneBusy),
            'e' => Some(Self::AllBusy),
            'f' => Some(Self::Flood),
            'g' => Some(Self::Backup),
            'h' => Some(Self::Reload),
            _ => None,
        }
    }

    /// Measures it.
    ///
    /// # Errors
    /// When a daemon does not start or does not do what the measure needs.
    pub fn rows(self, plan: &Plan) -> Result<Vec<Row>> {
        let before = stats::steal();
        let mut rows = match self {
            Self::Failover => failover::rows(plan)?,
            Self::OneBusy => load::one_busy(plan)?,
            Self::AllBusy => load::all_busy(plan)?,
            Self::Flood => flood::rows(plan)?,
            Self::Backup => backup::rows(plan)?,
            Self::Reload => reload::rows(plan)?,
        };
        let steal = stats::steal().saturating_sub(before);
        rows.iter_mut().for_each(|row| row.steal = steal);
        Ok(rows)
    }
}

/// The table, in Markdown, under a line that tells the machine.
pub fn table(plan: &Plan, rows: &[Row]) -> String {
    let head: Vec<_> = plan.daemons.iter().map(|daemon| daemon.version()).collect();
    let mut lines = vec![
        stats::machine(),
        String::new(),
        format!("| measure | goal | {} | steal |", head.join(" | ")),
        format!("|---|---|{}---|", "---|".repeat(head.len())),
    ];
    for row in rows {
        lines.push(format!(
            "| {} | {} | {} | {:.0?} |",
            row.measure,
            row.goal,
            row.values.join(" | "),
            row.steal
        ));
    }
    lines.join("\n")
}

impl Row {
    fn new(measure: impl Into<String>, goal: impl Into<String>, values: Vec<String>) -> Self {
        Self { measure: measure.into(), goal: goal.into(), values, steal: Duration::ZERO }
    }
}

fn millis(span: Duration) -> String {
    format!("{:.2}", span.as_secs_f64() * 1e3)
}
