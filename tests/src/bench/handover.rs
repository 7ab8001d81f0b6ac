//! Row i: a master that is stopped, or fails a check, at three intervals; the longest time without an answer that a client
//! sees who asks each millisecond.
//!
//! The master is each of the plan's daemons; the heir is one of its kind, and for ours keepalived as well.

use anyhow::{Context, Result};

use super::{Plan, Row, Samples};
use crate::daemon::Daemon;
use crate::leave::{Leaving, Scene};

/// Milliseconds.
const INTERVALS: [u64; 3] = [1000, 100, 10];

/// # Errors
/// When a daemon does not start, or nobody takes over.
pub fn rows(plan: &Plan) -> Result<Vec<Row>> {
    let rounds = if plan.quick { 2 } else { 10 };
    let mut rows = Vec::new();
    for (leaving, word) in [(Leaving::Stop, "stop"), (Leaving::FailedCheck, "failed check")] {
        for interval in INTERVALS {
            rows.push(row(plan, leaving, word, interval, None, rounds)?);
        }
    }
    for interval in INTERVALS {
        rows.push(row(plan, Leaving::Stop, "stop", interval, Some(Daemon::Keepalived), rounds)?);
    }
    Ok(rows)
}

fn row(
    plan: &Plan,
    leaving: Leaving,
    word: &str,
    interval: u64,
    heir: Option<Daemon>,
    rounds: usize,
) -> Result<Row> {
    let values = plan.daemons.iter().map(|&daemon| {
        let gaps = gaps(leaving, [daemon, heir.unwrap_or(daemon)], interval, rounds)?;
        let of = |percent| gaps.percentile(percent).unwrap_or(f64::NAN) * 1e3;
        Ok(format!("{:.1} / {:.1} ms", of(50), of(100)))
    });
    let with = heir.map_or_else(String::new, |heir| format!(", {} as the heir", heir.need()));
    let measure = format!("i: {word}, adverts each {interval} ms{with}: longest gap, median / worst");
    Ok(Row::new(measure, "≤ 3 ms", values.collect::<Result<_>>()?))
}

fn gaps(leaving: Leaving, daemons: [Daemon; 2], interval: u64, rounds: usize) -> Result<Samples> {
    eprintln!("handover: {leaving:?} of {daemons:?} at {interval} ms");
    let mut scene = Scene::new(leaving, daemons, interval, "")?;
    let mut gaps = Samples::default();
    for round in 1..=rounds {
        let outcome = scene.leave().and_then(|handover| {
            scene.come_back()?;
            Ok(handover)
        });
        let handover = outcome
            .map_err(|error| scene.pair.with_logs(&error))
            .with_context(|| format!("round {round}"))?;
        gaps.push(handover.gap.as_secs_f64());
    }
    Ok(gaps)
}
