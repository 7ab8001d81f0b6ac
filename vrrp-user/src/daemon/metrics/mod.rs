//! Prometheus metrics over HTTP, as OpenMetrics text or in the text format 0.0.4.
//!
//! Enters: a scrape. Leaves: the values of [`DaemonContext`] at that moment; nothing is gathered between scrapes, and
//! the engine does not notice one.

mod checks;
mod family;
mod instance;
mod node;
mod peer;
mod text;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{self, DescriptorEncoder};
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tracing::debug;
use vrrp_ebpf::map::{Counters, Peer};
use vrrp_ebpf::time::Timestamp;

use family::Labels;
pub use text::Format;

use super::clients::{self, Activity};
use super::host::reception::ReceptionFault;
use super::live::LiveInstance;
use super::status::{DaemonContext, SharedContext, source};
use crate::driver::clock;
use crate::protocol::InstanceSettings;

/// Prometheus calls the scraped host `instance`, and would give ours another name.
const INSTANCE: &str = "vrrp_instance";

/// Clients at a time. Enough that a client with a request is served before a crowd of idle ones makes it the oldest.
const CLIENTS_MAX: usize = 128;

/// Time limit for the head of a request, from the connection on.
const HEAD: Duration = Duration::from_secs(5);

/// Time limit for one scrape as a whole.
const SCRAPE: Duration = Duration::from_secs(30);

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
    /// The listener no longer has an address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves scrapes until it is dropped: one for each connection, so that no connection stays for long.
    pub async fn serve(self, context: impl Into<SharedContext>) -> Infallible {
        let (listener, shared) = (self.listener, context.into());
        let accept = |cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(client, _)| client);
        clients::serve("metrics", CLIENTS_MAX, accept, |client, activity| {
            answer(client, Served { shared: shared.clone(), activity })
        })
        .await
    }
}

/// State of a request.
#[derive(Clone, Debug)]
struct Served {
    shared: SharedContext,
    activity: Activity,
}

async fn answer(client: TcpStream, served: Served) {
    let routes = Router::new().route("/metrics", get(scrape)).with_state(served);
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false);
    let connection = connection.serve_connection(TokioIo::new(client), TowerToHyperService::new(routes));
    match timeout(SCRAPE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a scrape failed"),
        Err(_) => debug!("a scrape was not taken in time"),
    }
}

async fn scrape(Shared(served): Shared<Served>, headers: HeaderMap) -> Response {
    served.activity.begin();
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok()).collect();
    let format = Format::accepted(&accept.join(","));
    match render(&served.shared.now(), format) {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// All metrics.
///
/// # Errors
/// A value could not be formatted.
pub fn render(context: &Arc<DaemonContext>, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { context: Arc::clone(context), now: clock::now() }));
    let mut text = String::new();
    encoding::text::encode(&mut text, &registry)?;
    Ok(match format {
        Format::OpenMetrics => text,
        Format::Text => text::of_openmetrics(&text),
    })
}

/// One reading of all sources.
#[derive(Debug)]
struct Scrape {
    context: Arc<DaemonContext>,
    now: Timestamp,
}

/// Everything about one instance, read once.
struct Reading<'a> {
    settings: &'a InstanceSettings,
    live: &'a LiveInstance,
    counters: Counters,
    /// The rest of its lease.
    lease: Duration,
    /// See [`ReceptionFault::who`].
    reception_fault: Option<&'static str>,
    peers: Vec<(String, Peer)>,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let out = &mut encoder;
        let readings = self.readings();
        self.node(out)?;
        instance::states(out, &readings)?;
        self.groups(out)?;
        checks::encode(&self.context, out)?;
        instance::activity(out, &readings)?;
        instance::counted(out, &readings)?;
        self.peers(out, &readings)
    }
}

impl Scrape {
    fn readings(&self) -> Vec<Reading<'_>> {
        let context = &self.context;
        let history = context.history.read();
        let readings = context.instances().map(|(config, live)| {
            let slot = config.id.0;
            let family = config.settings.family;
            Reading {
                settings: &config.settings,
                live,
                counters: context.maps.counters(Some(slot)),
                lease: context.lease(config.id, self.now).unwrap_or_default(),
                reception_fault: history
                    .instance(config.id)
                    .and_then(|past| past.reception_fault)
                    .map(ReceptionFault::who),
                peers: context.maps.peers(slot).map(|(_, peer)| (source(&peer, family), peer)).collect(),
            }
        });
        readings.collect()
    }
}

impl Reading<'_> {
    fn labels(&self) -> Labels<'_> {
        vec![(INSTANCE, &*self.settings.name)]
    }

    fn labels_and<'a>(&'a self, name: &'static str, value: &'a str) -> Labels<'a> {
        vec![(INSTANCE, &*self.settings.name), (name, value)]
    }
}
