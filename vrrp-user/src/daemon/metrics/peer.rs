//! Metrics of peers, by the instance that receives their adverts.

use std::fmt;

use vrrp_ebpf::map::Peer;

use super::exposition::Exposition;
use super::family::{Labels, gauge, nanos};
use super::{INSTANCE, Reading, Scrape};
use crate::daemon::status::{skew, skew_seconds};

impl Scrape {
    pub(super) fn peers(&self, out: &mut Exposition, readings: &[Reading<'_>]) -> fmt::Result {
        type Value = fn(&Peer) -> f64;
        let gauges: [(&str, &str, Value); 2] = [
            ("vrrpx_peer_jitter_seconds", "Smoothed difference of successive gaps", |peer| {
                nanos(peer.jitter)
            }),
            ("vrrpx_peer_gap_max_seconds", "Longest gap between two adverts", |peer| nanos(peer.gap_max)),
        ];
        for (name, help, value) in gauges {
            gauge(out, name, help, |row| each_peer(readings, |labels, peer| row(labels, value(peer))))?;
        }
        gauge(
            out,
            "vrrpx_peer_clock_skew_seconds",
            "How far the clock of a peer is ahead of ours, by its signed adverts",
            |row| {
                for reading in readings {
                    for (address, peer) in &reading.peers {
                        if let Some(micros) = skew(reading.settings, reading.ledger, peer) {
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
        let unyielding = self.context.unyielding();
        let help = "1 while a lower master does not yield to ours for three intervals";
        gauge(out, "vrrpx_peer_unyielding", help, |row| {
            for (config, it) in &unyielding {
                row(&vec![(INSTANCE, &*config.settings.name), ("peer", it.peer.as_str())], 1.0)?;
            }
            Ok(())
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
