//! Prometheus metrics over HTTP, as OpenMetrics text.
//!
//! Enters: a scrape. Leaves: what [`Sources`] hold at that moment; nothing is gathered between scrapes, and the
//! engine does not notice one.

pub(crate) mod checks;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::net::TcpListener;
use vrrp_ebpf::map::{Counter, Counters, Peer};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Reject;

use super::board::{InstanceBoard, LATENESS_BUCKETS};
use super::status::{Live, Sources, family, gap_bound, received, skew, skew_seconds, source};
use crate::driver::{Rung, clock};
use crate::protocol::{InstanceSettings, Reason, State};

/// Content type of OpenMetrics 1.0.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of the inter-arrival histogram that are shown: 1 ms to 69 s. Adverts come no more often than every 10 ms
/// and no less often than every 41 s, save for version 2.
const GAP_BOUNDS: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 36;

#[derive(Debug, Error)]
#[error("--metrics {address}: {error}")]
pub struct BindError {
    address: SocketAddr,
    error: io::Error,
}

/// A bound listener. Serves `/metrics`.
#[derive(Debug)]
pub struct Metrics {
    listener: TcpListener,
}

impl Metrics {
    /// # Errors
    /// The address is in use, or not one of this machine.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let listener = TcpListener::bind(address).await.map_err(|error| BindError { address, error })?;
        Ok(Self { listener })
    }

    /// # Errors
    /// The listener has no address any more.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves scrapes until it is dropped.
    ///
    /// # Errors
    /// The listener failed.
    pub async fn serve(self, sources: impl Into<Live>) -> io::Result<()> {
        let routes = Router::new().route("/metrics", get(scrape)).with_state(sources.into());
        axum::serve(self.listener, routes).await
    }
}

async fn scrape(Shared(sources): Shared<Live>) -> Response {
    match render(&sources.now()) {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// All metrics as OpenMetrics text.
///
/// # Errors
/// A value could not be formatted.
pub fn render(sources: &Arc<Sources>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { sources: Arc::clone(sources), now: clock::now() }));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// One reading of all sources.
#[derive(Debug)]
struct Scrape {
    sources: Arc<Sources>,
    now: Timestamp,
}

/// Everything about one instance, read once.
struct Reading<'a> {
    settings: &'a InstanceSettings,
    board: &'a InstanceBoard,
    counters: Counters,
    /// What is left of it.
    lease: Duration,
    peers: Vec<(String, Peer)>,
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let out = &mut encoder;
        let readings = self.readings();
        self.node(out)?;
        states(out, &readings)?;
        self.groups(out)?;
        checks::encode(&self.sources, out)?;
        activity(out, &readings)?;
        counted(out, &readings)?;
        self.peers(out, &readings)
    }
}

impl Scrape {
    fn readings(&self) -> Vec<Reading<'_>> {
        let sources = &self.sources;
        let readings = sources.instances().map(|(config, board)| {
            let slot = config.id.0;
            let family = config.settings.family;
            Reading {
                settings: &config.settings,
                board,
                counters: sources.maps.counters(Some(slot)),
                lease: sources.lease(config.id, self.now).unwrap_or_default(),
                peers: sources.maps.peers(slot).map(|(_, peer)| (source(&peer, family), peer)).collect(),
            }
        });
        readings.collect()
    }

    fn node(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let board = &self.sources.board;
        let build = vec![("version", env!("CARGO_PKG_VERSION")), ("router_id", &*self.sources.router_id)];
        out.encode_descriptor("vrrpx_build", "Version and node", None, MetricType::Info)?
            .encode_info(&build)?;
        gauge(out, "vrrpx_uptime_seconds", "Time since the daemon started", |row| {
            row(&vec![], self.now.since(self.sources.started).as_secs_f64())
        })?;
        let loads = self.sources.record.read().loads.clone();
        gauge(
            out,
            "vrrpx_config_stale",
            "1 while the file was refused and the one before is in use",
            |row| row(&vec![], f64::from(u8::from(loads.stale.is_some()))),
        )?;
        counter(out, "vrrpx_reloads", "Reloads by what came of them", |row| {
            row(&vec![("result", "done")], loads.reloaded)?;
            row(&vec![("result", "refused")], loads.refused)
        })?;
        self.mails(out)?;
        self.webhooks(out)?;
        let totals = [
            ("vrrpx_engine_turns", "Wake-ups of the engine", board.turns.load(Relaxed)),
            ("vrrpx_away", "Times that this node found itself to have been away", board.away.load(Relaxed)),
            ("vrrpx_effect_errors", "Failed netlink requests and sends", board.effect_errors.load(Relaxed)),
            (
                "vrrpx_unknown_vrid",
                "Adverts of a VRID that is not configured",
                self.sources.maps.counters(None).counter(Counter::UnknownVrid),
            ),
        ];
        for (name, help, total) in totals {
            counter(out, name, help, |row| row(&vec![], total))?;
        }
        let strangers = self.sources.strangers();
        counter(
            out,
            "vrrpx_stranger_adverts",
            "Adverts of a router that is not configured, or CARP",
            |row| {
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
            },
        )?;
        let late = &board.engine_lateness;
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
            .encode_histogram::<NoLabelSet>(sum, total(&buckets), &buckets, None)?;
        let reattached = self.sources.record.read().reattached.clone();
        counter(out, "vrrpx_reattached", "Programs attached again that somebody had detached", |row| {
            reattached
                .iter()
                .try_for_each(|(interface, count)| row(&vec![("interface", &**interface)], *count))
        })?;
        let rungs = self.sources.record.read().rungs.clone();
        gauge(out, "vrrpx_rung", "1 for the way in which adverts of an interface arrive", |row| {
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
        counter(out, "vrrpx_webhook_posts", "Changes told to a webhook by what came of them", |row| {
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
        counter(out, "vrrpx_webhook_refusals", "Attempts that a webhook did not take", |row| {
            webhooks.iter().try_for_each(|(webhook, posts)| row(&vec![("webhook", webhook)], posts.refusals))
        })
    }

    fn mails(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mails = self.sources.record.read().mails.clone();
        gauge(out, "vrrpx_mails_waiting", "Mails about changes that are not sent yet", |row| {
            row(&vec![], mails.waiting as f64)
        })?;
        counter(out, "vrrpx_mails", "Mails about changes by what came of them", |row| {
            row(&vec![("result", "sent")], mails.sent)?;
            row(&vec![("result", "failed")], mails.failed)?;
            row(&vec![("result", "lost")], mails.lost)
        })
    }

    fn groups(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let groups = self.sources.config.groups.iter().zip(&self.sources.board.groups);
        gauge(out, "vrrpx_group_state", "1 for the present state of a sync group", |row| {
            for (group, board) in groups {
                for state in State::ALL {
                    let labels = vec![("group", &*group.settings.name), ("state", state.as_str())];
                    row(&labels, f64::from(u8::from(state == board.state())))?;
                }
            }
            Ok(())
        })
    }

    fn peers(&self, out: &mut DescriptorEncoder<'_>, readings: &[Reading<'_>]) -> fmt::Result {
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
            "Clock of a peer ahead of ours, by its signed adverts",
            |row| {
                for reading in readings {
                    for (address, peer) in &reading.peers {
                        if let Some(micros) = skew(reading.settings, reading.board, peer) {
                            row(&reading.labels_and("peer", address), skew_seconds(micros))?;
                        }
                    }
                }
                Ok(())
            },
        )?;
        let differing = self.sources.differing();
        gauge(out, "vrrpx_peer_differs", "1 while adverts of a peer say otherwise than ours", |row| {
            for (instance, it) in &differing {
                let labels =
                    vec![("instance", *instance), ("peer", it.peer.as_str()), ("what", it.what.as_str())];
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

fn states(out: &mut DescriptorEncoder<'_>, readings: &[Reading<'_>]) -> fmt::Result {
    gauge(out, "vrrpx_instance_state", "1 for the present state", |row| {
        for reading in readings {
            let vrid = reading.settings.vrid.to_string();
            for state in State::ALL {
                let mut labels = reading.labels();
                labels.extend([
                    ("interface", &*reading.settings.interface),
                    ("vrid", &*vrid),
                    ("family", family(reading.settings.family)),
                    ("state", state.as_str()),
                ]);
                row(&labels, f64::from(u8::from(state == reading.board.state())))?;
            }
        }
        Ok(())
    })?;
    gauge(out, "vrrpx_lease_seconds", "What is left of the right to answer for the addresses", |row| {
        readings.iter().try_for_each(|reading| row(&reading.labels(), reading.lease.as_secs_f64()))
    })?;
    gauge(out, "vrrpx_instance_priority", "Effective priority", |row| {
        readings.iter().try_for_each(|reading| row(&reading.labels(), f64::from(reading.board.priority().0)))
    })?;
    counter(out, "vrrpx_instance_transitions", "Transitions by reason", |row| {
        for reading in readings {
            for (reason, count) in Reason::ALL.iter().zip(&reading.board.transitions) {
                row(&reading.labels_and("reason", reason.as_str()), count.load(Relaxed))?;
            }
        }
        Ok(())
    })?;
    gauge(out, "vrrpx_instance_takeover_seconds", "Length of the latest takeover's effects", |row| {
        let taken = readings.iter().filter(|reading| reading.board.takeover_nanos.load(Relaxed) > 0);
        for reading in taken {
            row(&reading.labels(), nanos(reading.board.takeover_nanos.load(Relaxed)))?;
        }
        Ok(())
    })
}

fn activity(out: &mut DescriptorEncoder<'_>, readings: &[Reading<'_>]) -> fmt::Result {
    type Total = fn(&Reading<'_>) -> u64;
    let totals: [(&str, &str, Total); 7] = [
        ("vrrpx_adverts_sent", "Adverts sent", |reading| reading.board.adverts_sent.load(Relaxed)),
        ("vrrpx_releases_sent", "Adverts sent with priority 0", |reading| {
            reading.board.release_sent.load(Relaxed)
        }),
        ("vrrpx_adverts_received", "Valid adverts received", |reading| received(&reading.counters)),
        (
            "vrrpx_announcements_sent",
            "Gratuitous ARPs and unsolicited neighbour advertisements sent",
            |reading| reading.board.announcements_sent.load(Relaxed),
        ),
        (
            "vrrpx_put_back",
            "Addresses, routes and rules set again that somebody else had removed",
            |reading| reading.board.put_back.load(Relaxed),
        ),
        ("vrrpx_send_errors", "Adverts that could not be sent", |reading| {
            reading.board.send_errors.load(Relaxed)
        }),
        ("vrrpx_contests", "Adverts of lower masters heard while master", |reading| {
            reading.board.contests.load(Relaxed)
        }),
    ];
    for (name, help, value) in totals {
        counter(out, name, help, |row| {
            readings.iter().try_for_each(|reading| row(&reading.labels(), value(reading)))
        })?;
    }
    let (name, help) = ("vrrpx_dual_master_seconds", "For how long lower masters were heard while master");
    counter(out, name, help, |row| {
        let span = |reading: &Reading<'_>| nanos(reading.board.rivalled_nanos.load(Relaxed));
        readings.iter().try_for_each(|reading| row(&reading.labels(), span(reading)))
    })
}

/// What the program, or the socket in its place, counted.
fn counted(out: &mut DescriptorEncoder<'_>, readings: &[Reading<'_>]) -> fmt::Result {
    counter(out, "vrrpx_rejects", "Refused adverts by reason", |row| {
        for reading in readings {
            for reject in Reject::ALL {
                row(&reading.labels_and("reason", reject.as_str()), reading.counters.reject(reject))?;
            }
        }
        Ok(())
    })?;
    counter(out, "vrrpx_drops", "Adverts, or records of them, lost for want of room or budget", |row| {
        for reading in readings {
            for word in [Counter::OverBudget, Counter::RingFull, Counter::PeersFull] {
                row(&reading.labels_and("reason", word.as_str()), reading.counters.counter(word))?;
            }
        }
        Ok(())
    })?;
    let totals = [
        ("vrrpx_steady_adverts", "Adverts equal to the watched one, which woke nobody", Counter::Steady),
        ("vrrpx_event_adverts", "Valid adverts that woke the engine", Counter::Event),
        ("vrrpx_fenced", "ARP requests and neighbour solicitations without a live lease", Counter::Fenced),
    ];
    for (name, help, word) in totals {
        counter(out, name, help, |row| {
            readings.iter().try_for_each(|reading| row(&reading.labels(), reading.counters.counter(word)))
        })?;
    }
    Ok(())
}

impl Reading<'_> {
    fn labels(&self) -> Labels<'_> {
        vec![("instance", &*self.settings.name)]
    }

    fn labels_and<'a>(&'a self, name: &'static str, value: &'a str) -> Labels<'a> {
        vec![("instance", &*self.settings.name), (name, value)]
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

/// A family of gauges; `rows` calls its argument for each.
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

/// Buckets of a peer's gaps, with the bounds that are not shown merged into the next one that is.
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

fn total(buckets: &[(f64, u64)]) -> u64 {
    buckets.iter().map(|(_, count)| count).sum()
}

fn nanos(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}
