//! HTTP: metrics, status, events and probes, all for reading.
//!
//! Enters: requests, one for each connection, so that no connection stays for long. Leaves: the values of the
//! [`DaemonContext`](super::status::DaemonContext) at that moment. Absent: anything that changes something, which is
//! for the control socket; and the engine, which is not involved, apart from one wake-up a second for
//! [`Heartbeat`].

mod compress;
mod events;
mod page;
mod patient;
mod probes;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Context;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;

use super::clients::{self, Activity};
use super::metrics::{self, Format};
use super::process::heartbeat::Heartbeat;
use super::status::{DaemonContext, SharedContext};
pub use compress::gzip;
use patient::Patient;

/// Clients at a time. Enough that a client with a request is served before a crowd of idle ones makes it the oldest.
const CLIENTS_MAX: usize = 128;

/// Followers of events among them; further followers are refused.
const FOLLOWERS_MAX: usize = 16;

/// Room for the head of a request.
const HEAD_ROOM: usize = 32 << 10;

/// Time limit for the head of a request, from the connection on.
const HEAD: Duration = Duration::from_secs(5);

/// A client that takes nothing for this long is disconnected.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time limit for one request as a whole.
const REQUEST: Duration = Duration::from_secs(30);

/// The same for a follower of events. It connects again and loses nothing; one that never reads keeps its place no
/// longer.
const FOLLOW: Duration = Duration::from_secs(3600);

#[derive(Debug, Error)]
#[error("--metrics {address}: {error}")]
pub struct BindError {
    address: SocketAddr,
    error: io::Error,
}

/// A bound listener.
#[derive(Debug)]
pub struct Http {
    listener: TcpListener,
}

impl Http {
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

    /// Serves requests until it is dropped.
    pub async fn serve(self, context: impl Into<SharedContext>, heartbeat: Heartbeat) -> Infallible {
        let (listener, shared) = (self.listener, context.into());
        let followers = Arc::new(Semaphore::new(FOLLOWERS_MAX));
        let accept = |cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(client, _)| client);
        clients::serve("metrics", CLIENTS_MAX, accept, |client, activity| {
            let (shared, heartbeat) = (shared.clone(), heartbeat.clone());
            let follows = Arc::default();
            answer(client, Served { shared, heartbeat, activity, followers: Arc::clone(&followers), follows })
        })
        .await
    }
}

/// State of a request.
#[derive(Clone, Debug)]
struct Served {
    shared: SharedContext,
    heartbeat: Heartbeat,
    activity: Activity,
    /// Places for followers of events.
    followers: Arc<Semaphore>,
    /// Whether the client is one of them.
    follows: Arc<AtomicBool>,
}

impl Served {
    /// The request has begun. Returns the present context.
    fn begin(&self) -> Arc<DaemonContext> {
        self.activity.begin();
        self.shared.now()
    }
}

async fn answer(client: TcpStream, served: Served) {
    let follows = Arc::clone(&served.follows);
    let routes = Router::new()
        .route("/", get(page::page))
        .route("/metrics", get(scrape))
        .route("/metrics/keepalived", get(scrape_keepalived))
        .route("/api/v1/status", get(status))
        .route("/api/v1/events", get(events::follow))
        .route("/-/healthy", get(probes::healthy))
        .route("/-/ready", get(probes::ready))
        .route("/is-master/{*name}", get(probes::is_master))
        .with_state(served);
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false).max_buf_size(HEAD_ROOM);
    let client = TokioIo::new(Patient::new(client, PATIENCE));
    let mut connection = pin!(connection.serve_connection(client, TowerToHyperService::new(routes)));
    let mut ended = timeout(REQUEST, &mut connection).await;
    if ended.is_err() && follows.load(Relaxed) {
        ended = timeout(FOLLOW, connection).await;
    }
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "an HTTP request failed"),
        Err(_) => debug!("an HTTP request was not finished in time"),
    }
}

async fn scrape(Shared(served): Shared<Served>, headers: HeaderMap) -> Response {
    exposition(&served, &headers, metrics::render)
}

async fn scrape_keepalived(Shared(served): Shared<Served>, headers: HeaderMap) -> Response {
    exposition(&served, &headers, metrics::render_keepalived)
}

fn exposition(
    served: &Served,
    headers: &HeaderMap,
    render: fn(&Arc<DaemonContext>, Format) -> Result<String, fmt::Error>,
) -> Response {
    let context = served.begin();
    let format = Format::accepted(&all(headers, header::ACCEPT));
    match render(&context, format) {
        Ok(text) => sent(headers, format.content_type(), text),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// As `vrrpx status --json` prints it.
async fn status(Shared(served): Shared<Served>, headers: HeaderMap) -> Response {
    match serde_json::to_string(&served.begin().status()) {
        Ok(text) => sent(&headers, "application/json", text + "\n"),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// A document, compressed for clients that accept that.
fn sent(headers: &HeaderMap, content_type: &'static str, text: String) -> Response {
    let mut response = if compress::is_accepted(&all(headers, header::ACCEPT_ENCODING)) {
        ([(header::CONTENT_ENCODING, "gzip")], compress::gzip(text.as_bytes())).into_response()
    } else {
        text.into_response()
    };
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    response
}

/// All values of a field as one list.
fn all(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers.get_all(name).iter().filter_map(|it| it.to_str().ok()).collect::<Vec<_>>().join(",")
}
