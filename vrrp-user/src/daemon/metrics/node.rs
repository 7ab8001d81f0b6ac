//! Metrics of the node: the daemon, its notifications, and its interfaces.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use vrrp_ebpf::map::Counter;

use super::Scrape;
use super::family::{counter, gauge, nanos, total};
use crate::daemon::board::LATENESS_BUCKETS;
use crate::driver::Rung;

impl Scrape {
    pub(super) fn node(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let board = &self.sources.board;
        let build = vec![("version", env!("CARGO_PKG_VERSION")), ("router_id", &*self.sources.router_id)];
        out.encode_descriptor("vrrpx_build", "Version and node", None, MetricType::Info)?
            .encode_info(&build)?;
        gauge(out, "vrrpx_uptime_seconds", "Time since the daemon started", |row| {
            row(&vec![], self.now.since(self.sources.started).as_secs_f64())
        })?;
        self.loads(out)?;
        self.mails(out)?;
        self.webhooks(out)?;
        let unheard = self.sources.maps.counters(None);
        let totals = [
            ("vrrpx_engine_turns", "Wake-ups of the engine", board.turns.load(Relaxed)),
            ("vrrpx_away", "Times that this node detected its own suspension", board.away.load(Relaxed)),
            ("vrrpx_effect_errors", "Failed netlink requests and sends", board.effect_errors.load(Relaxed)),
            (
                "vrrpx_unknown_vrid",
                "Adverts of a VRID that is not configured",
                unheard.counter(Counter::UnknownVrid),
            ),
            (
                "vrrpx_nested_tags",
                "Dropped frames with more tags than are read, none with a VLAN id",
                unheard.counter(Counter::NestedTags),
            ),
        ];
        for (name, help, total) in totals {
            counter(out, name, help, |row| row(&vec![], total))?;
        }
        self.strangers(out)?;
        self.lateness(out)?;
        self.interfaces(out)
    }

    fn loads(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let loads = self.sources.record.read().loads.clone();
        gauge(
            out,
            "vrrpx_config_stale",
            "1 while the file was refused and the previous configuration is in use",
            |row| row(&vec![], f64::from(u8::from(loads.stale.is_some()))),
        )?;
        counter(out, "vrrpx_reloads", "Reloads by result", |row| {
            row(&vec![("result", "done")], loads.reloaded)?;
            row(&vec![("result", "refused")], loads.refused)
        })
    }

    fn strangers(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let strangers = self.sources.strangers();
        counter(out, "vrrpx_stranger_adverts", "Adverts of a router that is not configured, or CARP", |row| {
            for stranger in &strangers {
                let (vlan, vrid) = (stranger.vlan.to_string(), stranger.vrid.to_string());
                let labels = vec![
                    ("interface", stranger.interface.as_str()),
                    ("vlan", &vlan),
                    ("family", &stranger.family),
                    ("vrid", &vrid),
                    ("kind", &stranger.kind),
                ];
                row(&labels, stranger.adverts)?;
            }
            Ok(())
        })
    }

    fn lateness(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let late = &self.sources.board.engine_lateness;
        let buckets: Vec<(f64, u64)> = late
            .buckets
            .iter()
            .enumerate()
            .map(|(bucket, count)| {
                let bound =
                    (bucket + 1 < LATENESS_BUCKETS).then(|| Duration::from_micros(1 << bucket).as_secs_f64());
                (bound.unwrap_or(f64::INFINITY), count.load(Relaxed))
            })
            .collect();
        let sum = nanos(late.sum_nanos.load(Relaxed));
        let name = "vrrpx_engine_lateness_seconds";
        out.encode_descriptor(name, "How late the engine's timer fired", None, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum, total(&buckets), &buckets, None)
    }

    fn interfaces(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let reattached = self.sources.record.read().reattached.clone();
        counter(
            out,
            "vrrpx_reattached",
            "Programs attached again after another process had detached them",
            |row| {
                reattached
                    .iter()
                    .try_for_each(|(interface, count)| row(&vec![("interface", &**interface)], *count))
            },
        )?;
        let rungs = self.sources.record.read().rungs.clone();
        gauge(out, "vrrpx_rung", "1 for the receive path of an interface", |row| {
            for (interface, note) in &rungs {
                for rung in Rung::ALL {
                    let labels = vec![("interface", &**interface), ("rung", rung.as_str())];
                    row(&labels, f64::from(u8::from(rung == note.rung)))?;
                }
            }
            Ok(())
        })
    }

    fn webhooks(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let webhooks = self.sources.record.read().webhooks.clone();
        gauge(out, "vrrpx_webhook_waiting", "Changes that a webhook has not taken yet", |row| {
            webhooks
                .iter()
                .try_for_each(|(webhook, posts)| row(&vec![("webhook", webhook)], posts.waiting as f64))
        })?;
        counter(out, "vrrpx_webhook_posts", "Changes for a webhook by result", |row| {
            for (webhook, posts) in &webhooks {
                let results = [
                    ("sent", posts.sent),
                    ("failed", posts.failed),
                    ("superseded", posts.superseded),
                    ("lost", posts.lost),
                ];
                for (result, count) in results {
                    row(&vec![("webhook", webhook), ("result", result)], count)?;
                }
            }
            Ok(())
        })?;
        counter(out, "vrrpx_webhook_refusals", "Failed attempts of a webhook", |row| {
            webhooks.iter().try_for_each(|(webhook, posts)| row(&vec![("webhook", webhook)], posts.refusals))
        })
    }

    fn mails(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mails = self.sources.record.read().mails.clone();
        gauge(out, "vrrpx_mails_waiting", "Mails about changes that are not sent yet", |row| {
            row(&vec![], mails.waiting as f64)
        })?;
        counter(out, "vrrpx_mails", "Mails about changes by result", |row| {
            row(&vec![("result", "sent")], mails.sent)?;
            row(&vec![("result", "failed")], mails.failed)?;
            row(&vec![("result", "lost")], mails.lost)
        })
    }
}
