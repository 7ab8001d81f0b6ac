//! Metrics of checks.

use std::fmt;

use super::exposition::Exposition;
use super::family::gauge;
use crate::daemon::status::DaemonContext;

/// Checks that have not begun yet have no rows.
pub(super) fn encode(context: &DaemonContext, out: &mut Exposition) -> fmt::Result {
    let rounds = context.history.read().checks.clone();
    let checks = context.config.checks.iter();
    let checks: Vec<_> = checks
        .filter_map(|check| Some((&*check.name, check.target.kind(), rounds.get(&check.id)?)))
        .collect();
    gauge(out, "vrrpx_check_up", "1 while the result of a check is up", |row| {
        checks.iter().filter(|(_, _, round)| round.is_known).try_for_each(|(name, kind, round)| {
            row(&vec![("check", *name), ("kind", *kind)], f64::from(u8::from(round.up)))
        })
    })?;
    gauge(out, "vrrpx_check_held", "1 while a check is held as failed", |row| {
        checks.iter().filter_map(|it| Some((it, it.2.held?))).try_for_each(|((name, kind, _), held)| {
            row(&vec![("check", *name), ("kind", *kind), ("reason", held.cause.as_str())], 1.0)
        })
    })?;
    let help = "1 while a check cannot run for lack of descriptors, memory or processes";
    gauge(out, "vrrpx_check_skipped", help, |row| {
        let mut skipped = checks.iter().filter(|(_, _, round)| round.skipped.is_some());
        skipped.try_for_each(|(name, kind, _)| row(&vec![("check", *name), ("kind", *kind)], 1.0))
    })
}
