//! Families of metrics, row by row.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::exposition::{Exposition, Kind, Sample};

pub(super) use super::exposition::Labels;

/// A family of gauges; `rows` calls its argument for each row.
pub(super) fn gauge(
    out: &mut Exposition,
    name: &str,
    help: &str,
    rows: impl FnOnce(&mut dyn FnMut(&Labels<'_>, f64) -> fmt::Result) -> fmt::Result,
) -> fmt::Result {
    let mut family = out.family(name, help, Kind::Gauge)?;
    rows(&mut |labels, value| family.gauge(labels, value))
}

/// A family of counters; its names end in `_total`.
pub(super) fn counter<T: Sample>(
    out: &mut Exposition,
    name: &str,
    help: &str,
    rows: impl FnOnce(&mut dyn FnMut(&Labels<'_>, T) -> fmt::Result) -> fmt::Result,
) -> fmt::Result {
    let mut family = out.family(name, help, Kind::Counter)?;
    rows(&mut |labels, value| family.counter(labels, &value))
}

/// Seconds since 1970, to the millisecond: digits that no clock agrees on would make most of a scrape.
pub(super) fn unix(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs_f64() * 1000.0).round() / 1000.0
}

pub(super) fn nanos(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}
