//! Prometheus metrics, as OpenMetrics text or in the text format 0.0.4.
//!
//! Enters: the [`DaemonContext`] at the moment of a scrape. Leaves: its values as text; nothing is gathered between
//! scrapes, and the engine does not notice one. Absent: the listener, see [`http`](super::http).

mod checks;
mod event_row;
mod exposition;
mod family;
mod instance;
mod keepalived;
mod node;
mod peer;
mod process;
mod text;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use vrrp_ebpf::map::{Counters, Peer};
use vrrp_ebpf::time::Timestamp;

use event_row::EventRow;
use exposition::Exposition;
use family::Labels;
pub use text::Format;

use super::auth::Ledger;
use super::history::InstanceRecord;
use super::host::reception::ReceptionFault;
use super::live::LiveInstance;
use super::status::{DaemonContext, down_interval, master, source};
use super::steering::Steered;
use crate::config;
use crate::config::InstanceSettings;
use crate::driver::{addresses, clock};
use crate::protocol::{InstanceId, Priority, State};

/// Prometheus calls the scraped host `instance`, and would give ours another name.
const INSTANCE: &str = "vrrp_instance";

/// All metrics.
///
/// # Errors
/// A value could not be formatted.
pub fn render(context: &Arc<DaemonContext>, format: Format) -> Result<String, fmt::Error> {
    let scrape = Scrape {
        context: Arc::clone(context),
        now: clock::now(),
        wall: SystemTime::now(),
        present: addresses::present().ok().map(|all| all.addresses),
    };
    let mut out = Exposition::default();
    scrape.encode(&mut out)?;
    Ok(format.of(out.finish()))
}

/// The metrics of an exporter for keepalived.
///
/// # Errors
/// A value could not be formatted.
pub fn render_keepalived(context: &Arc<DaemonContext>, format: Format) -> Result<String, fmt::Error> {
    let mut out = Exposition::default();
    keepalived::Exporter { context: Arc::clone(context) }.encode(&mut out)?;
    Ok(format.of(out.finish()))
}

/// Rows that have come with their first event, for the daemon that follows this one.
pub fn kept_rows(context: &DaemonContext) -> Vec<(InstanceId, Vec<String>)> {
    let history = context.history.read();
    let rows = context.instances().map(|(config, _)| {
        let mut kept = history.instance(config.id).map(|past| past.kept_rows.clone()).unwrap_or_default();
        let counters = context.maps.counters(Some(config.id));
        kept.extend(EventRow::all(&context.live, config.id, &counters, &kept).iter().map(EventRow::key));
        (config.id, kept.into_iter().collect())
    });
    rows.collect()
}

/// One reading of all sources.
#[derive(Debug)]
struct Scrape {
    context: Arc<DaemonContext>,
    now: Timestamp,
    wall: SystemTime,
    /// Addresses of this host, each with its interface; `None` if the kernel did not list them.
    present: Option<HashSet<(IpAddr, String)>>,
}

/// Everything about one instance, read once.
struct Reading<'a> {
    settings: &'a InstanceSettings,
    live: &'a LiveInstance,
    ledger: Option<&'a Ledger>,
    counters: Counters,
    /// Its master_down_interval.
    down_interval: Duration,
    /// Time of its latest transition.
    since: Option<SystemTime>,
    events: Vec<EventRow>,
    kept_rows: BTreeSet<String>,
    /// See [`ReceptionFault::receiver`].
    reception_fault: Option<&'static str>,
    peers: Vec<(String, Peer)>,
    /// An operator keeps it in maintenance.
    maintenance: bool,
    /// Base priority that an operator has set.
    steered_priority: Option<u8>,
}

impl Scrape {
    fn encode(&self, out: &mut Exposition) -> fmt::Result {
        let readings = self.readings();
        self.node(out)?;
        instance::states(out, &readings)?;
        self.addresses(out, &readings)?;
        self.groups(out)?;
        checks::encode(&self.context, out)?;
        instance::activity(out, &readings, (&self.context.history.sums, self.context.gone))?;
        event_row::encode(out, &readings)?;
        self.peers(out, &readings)
    }

    fn readings(&self) -> Vec<Reading<'_>> {
        let history = self.context.history.read();
        let instances = self.context.instances();
        let readings = instances.map(|(config, live)| {
            let steered = history.steerings.of(&config.settings.name);
            self.reading(config, live, history.instance(config.id), steered)
        });
        readings.collect()
    }

    fn reading<'a>(
        &'a self,
        config: &'a config::Instance,
        live: &'a LiveInstance,
        past: Option<&InstanceRecord>,
        steered: Option<&Steered>,
    ) -> Reading<'a> {
        let (slot, settings, maps) = (config.id, &config.settings, &self.context.maps);
        let counters = maps.counters(Some(slot));
        let peers: Vec<Peer> = maps.peers(slot).map(|(_, peer)| peer).collect();
        let master = (live.state() == State::Backup).then(|| master(&peers, self.now)).flatten();
        let kept_rows = past.map(|past| past.kept_rows.clone()).unwrap_or_default();
        Reading {
            settings,
            live,
            ledger: self.context.live.ledger(config.id).map(|it| &**it),
            down_interval: down_interval(settings, priority(settings, live), master),
            since: past.and_then(|past| past.since),
            events: EventRow::all(&self.context.live, slot, &counters, &kept_rows),
            counters,
            kept_rows,
            reception_fault: past.and_then(|past| past.reception_fault).map(ReceptionFault::receiver),
            peers: peers.into_iter().map(|peer| (source(&peer, settings.family), peer)).collect(),
            maintenance: steered.is_some_and(|steered| steered.maintenance.is_some()),
            steered_priority: steered.and_then(Steered::base),
        }
    }
}

/// The configured one before the first transition.
fn priority(settings: &InstanceSettings, live: &LiveInstance) -> Priority {
    if live.since.load(Relaxed) == 0 { settings.priority } else { live.priority() }
}

impl Reading<'_> {
    fn priority(&self) -> Priority {
        priority(self.settings, self.live)
    }

    /// Also in the daemon before.
    fn has_had_reception_fault(&self, receiver: &str) -> bool {
        !self.kept_rows.is_empty() && self.kept_rows.contains(&format!("reception_fault {receiver}"))
    }

    fn labels(&self) -> Labels<'_> {
        vec![(INSTANCE, &*self.settings.name)]
    }

    fn labels_and<'a>(&'a self, name: &'static str, value: &'a str) -> Labels<'a> {
        vec![(INSTANCE, &*self.settings.name), (name, value)]
    }
}
