//! Planned departure of a master: how long the address is unanswered.

use std::time::Duration;

use anyhow::Result;

use super::{INTERVALS, cells};
use crate::bench::{Cell, Figure, Plan, Row, Samples, Sheet};
use crate::daemon::Daemon;
use crate::leave::{Leaving, Scene};

pub(super) fn measure(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    for (leaving, what, heirs) in [
        (Leaving::Stop, "stop", &[None, Some(Daemon::Keepalived)][..]),
        (Leaving::FailedCheck, "failed check, from its verdict on", &[None, Some(Daemon::Keepalived)]),
        (Leaving::BetterNode, "a node of higher priority comes back", &[None]),
    ] {
        for (interval, heir) in
            INTERVALS.iter().flat_map(|interval| heirs.iter().map(move |heir| (interval, heir)))
        {
            sheet.add(&row(plan, leaving, what, *interval, *heir))?;
        }
    }
    Ok(())
}

fn row(plan: &Plan, leaving: Leaving, what: &str, interval: Duration, heir: Option<Daemon>) -> Row {
    let rounds = match (plan.quick, interval >= Duration::from_secs(1)) {
        (true, _) => 1,
        (false, true) => 3,
        (false, false) => 10,
    };
    let values = cells(plan, what, |daemon| match heir {
        Some(heir) if heir == daemon => Ok(Cell::new("as above")),
        _ => run(leaving, [daemon, heir.unwrap_or(daemon)], interval, rounds),
    });
    let whom = heir.map_or("its own kind", Daemon::need);
    let measure =
        format!("{what}, {interval:?} adverts, heir: {whom}: longest gap at the client, median / p95");
    Row::new(measure, "≤ 3 ms", values)
}

fn run(leaving: Leaving, daemons: [Daemon; 2], interval: Duration, rounds: usize) -> Result<Cell> {
    let mut scene = Scene::new(leaving, daemons, u64::try_from(interval.as_millis())?, "")?;
    let (mut gaps, mut twice) = (Samples::default(), 0);
    for _ in 0..rounds {
        let handover = scene.leave().map_err(|error| scene.pair.with_logs(&error))?;
        gaps.push(handover.gap.as_secs_f64());
        twice += handover.twice;
        scene.come_back().map_err(|error| scene.pair.with_logs(&error))?;
    }
    let note = if twice == 0 { String::new() } else { format!(", {twice} answered twice") };
    Ok(Cell::new(format!("{}{note}", gaps.summary()))
        .with(Figure::new("median", gaps.millis(50), "ms").at_most(30.0))
        .with(Figure::new("p95", gaps.millis(95), "ms"))
        .with(Figure::count("answered twice", twice)))
}
