//! Metrics of checks.

use std::fmt;

use super::exposition::Exposition;
use super::family::{counter, gauge};
use crate::config::HoldSettings;
use crate::daemon::status::DaemonContext;
use crate::driver::probe::Cause;

/// Checks that have not begun yet have no rows.
pub(super) fn encode(context: &DaemonContext, out: &mut Exposition) -> fmt::Result {
    let rounds = context.history.read().checks.clone();
    let checks = context.config.checks.iter();
    let checks: Vec<_> = checks
        .filter_map(|check| Some((&*check.name, check.target.kind(), rounds.get(&check.id)?)))
        .collect();
    let begun = context.config.checks.iter().filter(|check| rounds.contains_key(&check.id));
    let holds: Vec<HoldSettings> = begun.map(|check| check.hold).collect();
    gauge(out, "vrrpx_check_up", "1 while the result of a check is up", |row| {
        checks.iter().filter(|(_, _, round)| round.is_known).try_for_each(|(name, kind, round)| {
            row(&vec![("check", *name), ("kind", *kind)], f64::from(u8::from(round.up)))
        })
    })?;
    gauge(out, "vrrpx_check_held", "1 while a check is held as failed", |row| {
        for ((name, kind, round), hold) in checks.iter().zip(&holds) {
            let held = |cause| round.held.is_some_and(|held| held.cause == cause);
            for cause in Cause::ALL.into_iter().filter(|it| held(*it) || may_hold(hold, *it)) {
                let held = held(cause);
                let labels = vec![("check", *name), ("kind", *kind), ("reason", cause.as_str())];
                row(&labels, f64::from(u8::from(held)))?;
            }
        }
        Ok(())
    })?;
    gauge(
        out,
        "vrrpx_check_skipped",
        "1 while a check cannot run for lack of descriptors, memory or processes",
        |row| {
            checks.iter().try_for_each(|(name, kind, round)| {
                let labels = vec![("check", *name), ("kind", *kind)];
                row(&labels, f64::from(u8::from(round.skipped.is_some())))
            })
        },
    )?;
    gauge(out, "vrrpx_check_duration_seconds", "Duration of the latest run of a check", |row| {
        checks.iter().try_for_each(|(name, kind, round)| {
            row(&vec![("check", *name), ("kind", *kind)], round.lasted.as_secs_f64())
        })
    })?;
    counter(out, "vrrpx_check_polls", "Runs of a check", |row| {
        checks
            .iter()
            .try_for_each(|(name, kind, round)| row(&vec![("check", *name), ("kind", *kind)], round.runs))
    })
}

/// Whether a check may be held for this cause.
fn may_hold(hold: &HoldSettings, cause: Cause) -> bool {
    match cause {
        Cause::Flapping => hold.damping.is_some(),
        Cause::MinHold => !hold.least.is_zero(),
    }
}
