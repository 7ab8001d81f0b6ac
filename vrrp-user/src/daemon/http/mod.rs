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
use super::documents::DocumentServer;
use super::host_faults::HostFault;
use super::metrics::{self, Format};
use super::process::heartbeat::Heartbeat;
use super::status::{DaemonContext, SharedContext};
use answer::{Answer, all, bare, json_error, plain};
pub use compress::gzip;
use patient::Patient;

/// Paths without names in them.
const PATHS: [&str; 8] = [
    "/",
    "/metrics",
    "/metrics/keepalived",
    "/api/v1/status",
    "/api/v1/schema.json",
    "/api/v1/events",
    "/-/healthy",
    "/-/ready",
];

/// Paths that end with the name of an instance or sync group.
const NAMED: [&str; 2] = ["/is-master/", "/api/v1/status/"];

/// The schema of the status.
const SCHEMA: &str = include_str!("../../../dist/status.schema.json");

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

impl BindError {
    /// The fault, with what to do.
    pub(crate) fn fault(&self) -> HostFault {
        let advice = match self.error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("another program has the port: ss -ltnp 'sport = :{}'", self.address.port())
            }
            io::ErrorKind::AddrNotAvailable => "this host does not have the address: ip address".to_owned(),
            _ => "name another address".to_owned(),
        };
        let text = format!(
            "{} cannot be bound, so that no metrics are served: {}; {advice}",
            self.address, self.error
        );
        HostFault { about: "--metrics".to_owned(), text }
    }
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
        let documents = DocumentServer::default();
        let make = |wanted: &Wanted| wanted.make(&shared.now());
        let accept = |cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(client, _)| client);
        let serving = clients::serve("metrics", CLIENTS_MAX, accept, |client, activity| {
            let served = Served {
                shared: shared.clone(),
                heartbeat: heartbeat.clone(),
                documents: documents.clone(),
                activity,
                followers: Arc::clone(&followers),
                follows: Arc::default(),
            };
            answer(client, served)
        });
        tokio::select! {
            never = serving => never,
            never = documents.serve(make) => never,
        }
    }
}

/// State of a request.
#[derive(Clone, Debug)]
struct Served {
    shared: SharedContext,
    heartbeat: Heartbeat,
    documents: DocumentServer<Wanted>,
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
    let named =
        NAMED.iter().find_map(|of| Some((*of, path.strip_prefix(of).filter(|name| !name.is_empty())?)));
    if named.is_none() && !PATHS.contains(&path) {
        return refusal(path, StatusCode::NOT_FOUND, "no such path; / names those that there are");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let why = "everything here is for reading, by GET or HEAD; orders are for the control socket";
        let mut answer = refusal(path, StatusCode::METHOD_NOT_ALLOWED, why);
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    if let Some((of, name)) = named {
        return match percent_decode_str(name).decode_utf8() {
            Ok(name) if of == "/is-master/" => probes::is_master(served, &name),
            Ok(name) => status_of(served, headers, &name).await,
            Err(_) => refusal(path, StatusCode::BAD_REQUEST, "the name is not UTF-8"),
        };
    }
    match path {
        "/" => document(served, headers, Text::Page).await,
        "/metrics" => document(served, headers, Text::Metrics(format(headers))).await,
        "/metrics/keepalived" => document(served, headers, Text::Keepalived(format(headers))).await,
        "/api/v1/status" => document(served, headers, Text::Status(None)).await,
        "/api/v1/schema.json" => schema(served, headers).await,
        "/api/v1/events" => events::follow(served, headers),
        "/-/healthy" => probes::healthy(served).await,
        _ => probes::ready(served),
    }
}

/// The status of one instance or sync group, as `vrrpx status NAME --json` prints it.
async fn status_of(served: &Served, headers: &HeaderMap, name: &str) -> Answer {
    match probes::state_of(&served.begin(), name) {
        Ok(_) => document(served, headers, Text::Status(Some(name.into()))).await,
        Err(unknown) => json_error(StatusCode::NOT_FOUND, &unknown),
    }
}

/// The schema, unless the client has it already.
async fn schema(served: &Served, headers: &HeaderMap) -> Answer {
    // Weak, as it is that of the compressed form too (RFC 9110 §8.8.3).
    let tag = format!("W/\"{:08x}\"", crc32fast::hash(SCHEMA.as_bytes()));
    let mut answer = if answer::has(headers, &tag) {
        served.begin();
        bare(StatusCode::NOT_MODIFIED)
    } else {
        document(served, headers, Text::Schema).await
    };
    let fields = answer.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    fields.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Ok(tag) = tag.parse() {
        fields.insert(header::ETAG, tag);
    }
    answer
}

/// An error for a person, and below `/api/` one for programs.
fn refusal(path: &str, status: StatusCode, why: &str) -> Answer {
    if path.starts_with("/api/") { json_error(status, why) } else { plain(status, format!("{why}\n")) }
}

fn format(headers: &HeaderMap) -> Format {
    Format::accepted(&all(headers, header::ACCEPT))
}

/// A document, compressed for clients that accept that.
async fn document(served: &Served, headers: &HeaderMap, text: Text) -> Answer {
    served.activity.begin();
    let is_compressed = compress::is_accepted(&all(headers, header::ACCEPT_ENCODING));
    let (content_type, is_page) = (text.content_type(), text == Text::Page);
    let Some(body) = served.documents.get(Wanted { text, is_compressed }).await else {
        return bare(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut answer = answer::document(content_type, is_compressed, body);
    if is_page {
        let policy = HeaderValue::from_static(page::POLICY);
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

/// What a client is to get.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Wanted {
    text: Text,
    is_compressed: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Text {
    Page,
    Metrics(Format),
    Keepalived(Format),
    /// As `vrrpx status --json` prints it: of the whole daemon, or of an instance or sync group.
    Status(Option<Arc<str>>),
    Schema,
}

impl Text {
    const fn content_type(&self) -> &'static str {
        match self {
            Self::Page => "text/html; charset=utf-8",
            Self::Metrics(format) | Self::Keepalived(format) => format.content_type(),
            Self::Status(_) => "application/json",
            Self::Schema => "application/schema+json",
        }
    }
}

impl Wanted {
    fn make(&self, context: &Arc<DaemonContext>) -> Option<Vec<u8>> {
        let text = match &self.text {
            Text::Page => page::document(context),
            Text::Metrics(format) => metrics::render(context, *format).ok()?,
            Text::Keepalived(format) => metrics::render_keepalived(context, *format).ok()?,
            Text::Status(None) => serde_json::to_string(&context.status()).ok()? + "\n",
            Text::Status(Some(name)) => serde_json::to_string(&context.status().of(name)).ok()? + "\n",
            Text::Schema => SCHEMA.to_owned(),
        };
        Some(if self.is_compressed { gzip(text.as_bytes()) } else { text.into_bytes() })
    }
}
