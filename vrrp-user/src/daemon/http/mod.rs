//! HTTP: metrics, status, events and probes, all for reading.
//!
//! Enters: requests, one for each connection, so that no connection stays for long. Leaves: the values of the
//! [`DaemonContext`] at that moment; clients that wait for the same document share one. Absent: anything that changes
//! something, which is for the control socket; and the engine, which is not involved, apart from one wake-up a second
//! for [`Heartbeat`].

mod answer;
mod compress;
mod events;
mod page;
mod patient;
mod probes;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Context;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;

use super::clients::{self, Activity};
use super::metrics::{self, Format};
use super::process::heartbeat::Heartbeat;
use super::shelf::Shelf;
use super::status::{DaemonContext, SharedContext};
use answer::{Answer, all, bare, plain};
pub use compress::gzip;
use patient::Patient;

/// Paths without names in them.
const PATHS: [&str; 7] =
    ["/", "/metrics", "/metrics/keepalived", "/api/v1/status", "/api/v1/events", "/-/healthy", "/-/ready"];

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
        let shelf = Shelf::default();
        let make = |wanted: &Wanted| wanted.make(&shared.now());
        let accept = |cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(client, _)| client);
        let serving = clients::serve("metrics", CLIENTS_MAX, accept, |client, activity| {
            let served = Served {
                shared: shared.clone(),
                heartbeat: heartbeat.clone(),
                shelf: shelf.clone(),
                activity,
                followers: Arc::clone(&followers),
                follows: Arc::default(),
            };
            answer(client, served)
        });
        tokio::select! {
            never = serving => never,
            never = shelf.serve(make) => never,
        }
    }
}

/// State of a request.
#[derive(Clone, Debug)]
struct Served {
    shared: SharedContext,
    heartbeat: Heartbeat,
    shelf: Shelf<Wanted>,
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
    let routes = service_fn(move |request| {
        let served = served.clone();
        async move { Ok::<_, Infallible>(route(&served, &request).await) }
    });
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false).max_buf_size(HEAD_ROOM);
    let client = TokioIo::new(Patient::new(client, PATIENCE));
    let mut connection = pin!(connection.serve_connection(client, routes));
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

async fn route(served: &Served, request: &Request<Incoming>) -> Answer {
    let (path, headers) = (request.uri().path(), request.headers());
    let name = path.strip_prefix("/is-master/").filter(|name| !name.is_empty());
    let is_known = name.is_some() || PATHS.contains(&path);
    if !is_known {
        return bare(StatusCode::NOT_FOUND);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = bare(StatusCode::METHOD_NOT_ALLOWED);
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
        return answer;
    }
    match path {
        "/" => document(served, headers, Text::Page).await,
        "/metrics" => document(served, headers, Text::Metrics(format(headers))).await,
        "/metrics/keepalived" => document(served, headers, Text::Keepalived(format(headers))).await,
        "/api/v1/status" => document(served, headers, Text::Status).await,
        "/api/v1/events" => events::follow(served, headers),
        "/-/healthy" => probes::healthy(served).await,
        "/-/ready" => probes::ready(served),
        _ => match percent_decode_str(name.unwrap_or_default()).decode_utf8() {
            Ok(name) => probes::is_master(served, &name),
            Err(_) => plain(StatusCode::BAD_REQUEST, "the name is not UTF-8\n"),
        },
    }
}

fn format(headers: &HeaderMap) -> Format {
    Format::accepted(&all(headers, header::ACCEPT))
}

/// A document, compressed for clients that accept that.
async fn document(served: &Served, headers: &HeaderMap, text: Text) -> Answer {
    served.activity.begin();
    let is_compressed = compress::is_accepted(&all(headers, header::ACCEPT_ENCODING));
    let Some(body) = served.shelf.get(Wanted { text, is_compressed }).await else {
        return bare(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut answer = answer::document(text.content_type(), is_compressed, body);
    if text == Text::Page {
        let policy = HeaderValue::from_static(page::POLICY);
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

/// What a client is to get.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Wanted {
    text: Text,
    is_compressed: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Text {
    Page,
    Metrics(Format),
    Keepalived(Format),
    /// As `vrrpx status --json` prints it.
    Status,
}

impl Text {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Page => "text/html; charset=utf-8",
            Self::Metrics(format) | Self::Keepalived(format) => format.content_type(),
            Self::Status => "application/json",
        }
    }
}

impl Wanted {
    fn make(&self, context: &Arc<DaemonContext>) -> Option<Vec<u8>> {
        let text = match self.text {
            Text::Page => page::document(&context.status()),
            Text::Metrics(format) => metrics::render(context, format).ok()?,
            Text::Keepalived(format) => metrics::render_keepalived(context, format).ok()?,
            Text::Status => serde_json::to_string(&context.status()).ok()? + "\n",
        };
        Some(if self.is_compressed { gzip(text.as_bytes()) } else { text.into_bytes() })
    }
}
