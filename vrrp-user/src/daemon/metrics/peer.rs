//! Metrics of peers, by the instance that receives their adverts.

use std::fmt;
use std::ops::RangeInclusive;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use vrrp_ebpf::map::Peer;
use vrrp_ebpf::time::Timestamp;

use super::family::{Labels, counter, gauge, nanos, total};
use super::{INSTANCE, Reading, Scrape};
use crate::daemon::status::{gap_bound, skew, skew_seconds};

/// Bounds of the inter-arrival histogram that are exported: 1 ms to 69 s. Adverts come no more often than every 10 ms
/// and no less often than every 41 s, except with version 2.
const GAP_BOUNDS: RangeInclusive<u64> = 1 << 20..=1 << 36;

impl Scrape {
    pub(super) fn peers(&self, out: &mut DescriptorEncoder<'_>, readings: &[Reading<'_>]) -> fmt::Result {
        type Value = fn(&Scrape, &Peer) -> f64;
        let gauges: [(&str, &str, Value); 4] = [
            ("vrrpx_peer_last_advert_age_seconds", "Time since the latest valid advert", |scrape, peer| {
                scrape.now.since(Timestamp::from_nanos(peer.last_seen)).as_secs_f64()
            }),
            ("vrrpx_peer_jitter_seconds", "Smoothed difference of successive gaps", |_, peer| {
                nanos(peer.jitter)
            }),
            ("vrrpx_peer_gap_max_seconds", "Longest gap between two adverts", |_, peer| nanos(peer.gap_max)),
            ("vrrpx_peer_priority", "Priority of the latest advert", |_, peer| f64::from(peer.priority)),
        ];
        for (name, help, value) in gauges {
            gauge(out, name, help, |row| each_peer(readings, |labels, peer| row(labels, value(self, peer))))?;
        }
        gauge(
            out,
            "vrrpx_peer_clock_skew_seconds",
            "How far the clock of a peer is ahead of ours, by its signed adverts",
            |row| {
                for reading in readings {
                    for (address, peer) in &reading.peers {
                        if let Some(micros) = skew(reading.settings, reading.live, peer) {
                            row(&reading.labels_and("peer", address), skew_seconds(micros))?;
                        }
                    }
                }
                Ok(())
            },
        )?;
        let differing = self.context.differing();
        gauge(out, "vrrpx_peer_differs", "1 while adverts of a peer differ from ours", |row| {
            for (instance, it) in &differing {
                let labels =
                    vec![(INSTANCE, *instance), ("peer", it.peer.as_str()), ("what", it.what.as_str())];
                row(&labels, 1.0)?;
            }
            Ok(())
        })?;
        let rejected = self.context.rejected();
        let help = "1 while adverts of a router that should be a peer are refused";
        gauge(out, "vrrpx_peer_rejected", help, |row| {
            for (config, _, it) in &rejected {
                let labels = vec![
                    (INSTANCE, &*config.settings.name),
                    ("peer", it.peer.as_str()),
                    ("reason", it.reason.as_str()),
                ];
                row(&labels, 1.0)?;
            }
            Ok(())
        })?;
        counter(out, "vrrpx_peer_adverts", "Valid adverts of a peer", |row| {
            each_peer(readings, |labels, peer| row(labels, peer.adverts))
        })?;
        let (name, help) = ("vrrpx_peer_interarrival_seconds", "Gaps between the adverts of a peer");
        let mut family = out.encode_descriptor(name, help, None, MetricType::Histogram)?;
        each_peer(readings, |labels, peer| {
            let buckets = gap_buckets(peer);
            family.encode_family(labels)?.encode_histogram::<NoLabelSet>(
                nanos(peer.gap_sum),
                total(&buckets),
                &buckets,
                None,
            )
        })
    }
}

fn each_peer(
    readings: &[Reading<'_>],
    mut row: impl FnMut(&Labels<'_>, &Peer) -> fmt::Result,
) -> fmt::Result {
    for reading in readings {
        for (address, peer) in &reading.peers {
            row(&reading.labels_and("peer", address), peer)?;
        }
    }
    Ok(())
}

/// Buckets of a peer's gaps; those with bounds that are not exported are merged into the next one.
fn gap_buckets(peer: &Peer) -> Vec<(f64, u64)> {
    let mut buckets = Vec::new();
    let mut merged = 0;
    for (bucket, &count) in peer.gaps.iter().enumerate() {
        merged += u64::from(count);
        if let Some(bound) = gap_bound(bucket)
            && GAP_BOUNDS.contains(&bound)
        {
            buckets.push((nanos(bound), std::mem::take(&mut merged)));
        }
    }
    buckets.push((f64::INFINITY, merged));
    buckets
}
