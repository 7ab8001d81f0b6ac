//! Families of metrics, row by row.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// A family of gauges; `rows` calls its argument for each row.
pub(super) fn gauge(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl FnOnce(&mut dyn FnMut(&Labels<'_>, f64) -> fmt::Result) -> fmt::Result,
) -> fmt::Result {
    let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    rows(&mut |labels, value| of_family(&mut family, labels, |metric| metric.encode_gauge(&value)))
}

/// A family of counters; its names end in `_total`.
pub(super) fn counter<T: EncodeCounterValue>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl FnOnce(&mut dyn FnMut(&Labels<'_>, T) -> fmt::Result) -> fmt::Result,
) -> fmt::Result {
    let mut family = out.encode_descriptor(name, help, None, MetricType::Counter)?;
    rows(&mut |labels, value| {
        of_family(&mut family, labels, |metric| metric.encode_counter::<NoLabelSet, _, u64>(&value, None))
    })
}

fn of_family(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_>,
    encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    // No braces around no labels.
    if labels.is_empty() { encode(family) } else { encode(&mut family.encode_family(labels)?) }
}

pub(super) fn total(buckets: &[(f64, u64)]) -> u64 {
    buckets.iter().map(|(_, count)| count).sum()
}

/// Seconds since 1970.
pub(super) fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

pub(super) fn nanos(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}
