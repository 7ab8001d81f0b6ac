//! The control socket: one JSON request per line, one JSON response per line.
//!
//! ```text
//! {"command":"status"}        ─►  {"status":{…}}
//! {"command":"ping"}          ─►  "pong"
//! {"command":"in_maintenance"} ─► {"in_maintenance":[{…}]} or {"unknown":"…"}
//! {"command":"reload"}        ─►  {"reloaded":{"changes":[…],…}} or {"refused":["…"]}
//! {"command":"hot_restart"}   ─►  see the module hot_restart
//! {"command":"events"}        ─►  lines of events; see [`Line`]
//! {"command":"maintenance",…} ─►  {"steered":["…"]}, {"refused":["…"]} or {"unknown":"…"}; as the other orders
//! anything else               ─►  {"error":"…"}
//! ```
//! Only processes that may open the socket have access: root, and a group if one is named. A second socket, which all
//! or a group may open, answers only what changes nothing, and has places of its own. Requests are bounded in length,
//! clients in number and in time: if no place is left, the client that has been idle for longest is disconnected.
//! Readers that wait for a status share one, see [`DocumentServer`], and are served on a thread of their own, so that a
//! crowd of them delays no order. Clients of the first socket get theirs from there too; what is in maintenance is
//! answered without it.

pub(super) mod client;
mod listener;
mod maintenance;
mod message;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener as StdListener;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Uid};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OnceCell, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;

pub use client::{
    ControlError, StatusReader, StatusReading, events, in_maintenance, request_reload, status, status_over,
    steer,
};
pub use message::{Request, Response};

use self::listener::Listener;
use self::message::PATIENCE;
use super::clients::{self, Activity};
use super::documents::DocumentServer;
use super::events::follow;
use super::process::runtime_dir::{self, RuntimeDir};
use super::reload::{self, ReloadKind};
use super::status::SharedContext;
use super::steering::{Call, who};
use crate::driver::abstract_socket::Peer;

/// Longest request in bytes, its line feed included.
pub const LINE_MAX: u64 = 4096;

/// How often the connection of a client that waits is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Clients at a time. Enough that a client with a request is served before a crowd of idle ones makes it the oldest.
const CLIENTS_MAX: usize = 128;

/// Followers of events among them; further followers are refused.
const FOLLOWERS_MAX: usize = 16;

/// The daemon's end.
#[derive(Debug)]
pub struct Control {
    listener: Listener,
    readers: Listener,
    /// For other daemons of the network namespace.
    neighbours: Option<UnixListener>,
    receivers: Receivers,
}

/// Receivers of the requests that this module does not answer.
#[derive(Clone, Debug, Default)]
struct Receivers {
    reloads: Option<mpsc::Sender<reload::Request>>,
    successors: Option<mpsc::Sender<UnixStream>>,
    desk: Option<mpsc::Sender<Call>>,
}

/// What the clients of a socket may ask for.
#[derive(Clone, Debug)]
enum Rights {
    All(DocumentServer<()>),
    /// Status, made for all that wait for it, and events.
    Read(DocumentServer<()>),
    /// The same, for root and this process's user alone: any user may connect to an abstract name.
    Neighbour(DocumentServer<()>),
}

impl Rights {
    fn documents(&self) -> &DocumentServer<()> {
        match self {
            Self::All(documents) | Self::Read(documents) | Self::Neighbour(documents) => documents,
        }
    }
}

/// Groups that may open a socket; `None`: only root for the one that steers, every user for the one that only shows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SocketGroups {
    pub control: Option<Gid>,
    pub status: Option<Gid>,
}

impl Control {
    /// Listens in a claimed folder; replaces a socket that an earlier daemon left there. Must be called within a
    /// runtime.
    ///
    /// # Errors
    /// The socket could not be made.
    pub fn bind(folder: &RuntimeDir, groups: SocketGroups) -> Result<Self, ControlError> {
        let control = if groups.control.is_some() { 0o660 } else { 0o600 };
        let status = if groups.status.is_some() { 0o660 } else { 0o666 };
        let path = folder.path();
        Ok(Self {
            listener: Listener::open(&folder.socket(), runtime_dir::socket(path), groups.control, control)?,
            readers: Listener::open(
                &folder.status_socket(),
                runtime_dir::status_socket(path),
                groups.status,
                status,
            )?,
            neighbours: None,
            receivers: Receivers::default(),
        })
    }

    /// Answers other daemons, too. Must be called within a runtime.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn with_neighbours(mut self, listener: StdListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        self.neighbours = Some(UnixListener::from_std(listener)?);
        Ok(self)
    }

    /// Forwards requests to reload.
    #[must_use]
    pub fn with_reloads(mut self, reloads: mpsc::Sender<reload::Request>) -> Self {
        self.receivers.reloads = Some(reloads);
        self
    }

    /// Forwards clients that ask to replace this daemon.
    #[must_use]
    pub fn with_successors(mut self, successors: mpsc::Sender<UnixStream>) -> Self {
        self.receivers.successors = Some(successors);
        self
    }

    /// Forwards orders.
    #[must_use]
    pub fn with_desk(mut self, desk: mpsc::Sender<Call>) -> Self {
        self.receivers.desk = Some(desk);
        self
    }

    /// Serves clients until it is dropped.
    pub async fn serve(self, context: impl Into<SharedContext>) {
        let (steering, reading) = self.split(context.into());
        tokio::select! {
            never = steering => match never {},
            never = reading => match never {},
        }
    }

    /// The same in two parts: clients that may steer, and those that only read, which may have a thread of their own.
    pub fn split(
        self,
        context: SharedContext,
    ) -> (impl Future<Output = Infallible> + Send, impl Future<Output = Infallible> + Send) {
        let Self { mut listener, mut readers, neighbours, receivers } = self;
        let (of_readers, documents) = (context.clone(), DocumentServer::default());
        let rights = Rights::All(documents.clone());
        let steering = async move {
            let accept = |cx: &mut Context<'_>| listener.poll_accept(cx);
            serve("control socket", accept, &context, receivers, rights).await
        };
        let reading = async move {
            let make = |(): &()| encoded(&Response::Status(Box::new(of_readers.now().status()))).ok();
            let rights = Rights::Read(documents.clone());
            let answering = async {
                let Some(listener) = &neighbours else { return std::future::pending().await };
                let rights = Rights::Neighbour(documents.clone());
                let accept = |cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(client, _)| client);
                serve("neighbours' socket", accept, &of_readers, Receivers::default(), rights).await
            };
            let accept = |cx: &mut Context<'_>| readers.poll_accept(cx);
            tokio::select! {
                never = serve("status socket", accept, &of_readers, Receivers::default(), rights) => never,
                never = answering => never,
                never = documents.serve(make) => never,
            }
        };
        (steering, reading)
    }
}

async fn serve(
    name: &'static str,
    accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<UnixStream>>,
    context: &SharedContext,
    receivers: Receivers,
    rights: Rights,
) -> Infallible {
    let followers = Arc::new(Semaphore::new(FOLLOWERS_MAX));
    let converse = |client, activity| {
        let (context, receivers, followers) = (context.clone(), receivers.clone(), Arc::clone(&followers));
        let rights = rights.clone();
        async move {
            let talk = converse(client, &activity, &context, &receivers, &rights, &followers);
            if let Err(error) = talk.await {
                debug!(%error, "disconnected a client of the {name}");
            }
        }
    };
    clients::serve(name, CLIENTS_MAX, accept, converse).await
}

/// Answers requests of one client until it closes, takes too long or sends too long a line.
async fn converse(
    client: UnixStream,
    activity: &Activity,
    context: &SharedContext,
    receivers: &Receivers,
    rights: &Rights,
    followers: &Semaphore,
) -> io::Result<()> {
    let by = OnceCell::new();
    let pid = client.peer_cred().ok().and_then(|it| it.pid());
    let uid = client.peer_cred().ok().map(|it| it.uid());
    if matches!(rights, Rights::Neighbour(_)) && !Peer::of(&client)?.is_trusted() {
        return Ok(());
    }
    let (read, mut write) = client.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let length = timeout(PATIENCE, (&mut read).take(LINE_MAX).read_until(b'\n', &mut line)).await??;
        if length == 0 {
            return Ok(());
        }
        activity.begin();
        let complete = line.ends_with(b"\n");
        let request = serde_json::from_slice::<Request>(&line);
        // The addresses of this daemon go to the client: a group that may steer may not take them.
        let may_follow = uid.is_some_and(|uid| uid == 0 || uid == Uid::effective().as_raw());
        if let (Ok(Request::HotRestart), Some(successors), true) =
            (&request, &receivers.successors, may_follow)
        {
            let client = read.into_inner().reunite(write).map_err(io::Error::other)?;
            return successors.send(client).await.map_err(io::Error::other);
        }
        if let (Ok(Request::Status), true) = (&request, complete) {
            let Some(text) = rights.documents().get(()).await else { return Ok(()) };
            timeout(PATIENCE, write.write_all(&text)).await??;
            activity.end();
            continue;
        }
        let response = if let Ok(Request::Events { since, follow: follows }) = request {
            match followers.try_acquire() {
                Ok(_place) => {
                    let history = Arc::clone(&context.now().history);
                    follow::report(&history.events, since, follows, PATIENCE, &write, &mut read).await?;
                    if follows {
                        return Ok(());
                    }
                    activity.end();
                    continue;
                }
                Err(_) => Response::Error(format!("{FOLLOWERS_MAX} clients follow already")),
            }
        } else if complete {
            let work = async {
                match request {
                    Ok(request) if request.is_order() && matches!(rights, Rights::All(_)) => {
                        let by = by.get_or_init(|| who::name(uid, pid)).await;
                        order(request, by, receivers.desk.as_ref()).await
                    }
                    request => answer(request, context, receivers.reloads.as_ref(), rights).await,
                }
            };
            let Some(response) = while_connected(&write, work).await else { return Ok(()) };
            response
        } else {
            Response::Error(format!("a request is one line of at most {LINE_MAX} bytes"))
        };
        timeout(PATIENCE, write.write_all(&encoded(&response)?)).await??;
        activity.end();
        if !complete {
            return Ok(());
        }
    }
}

/// Works for a client; `None` if it closes its connection before. Its order is then not begun.
async fn while_connected<T>(client: &OwnedWriteHalf, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    loop {
        // Not set by a client that has closed its sending half only.
        let mut hung_up = [PollFd::new(client.as_ref().as_fd(), PollFlags::empty())];
        if poll(&mut hung_up, PollTimeout::ZERO) != Ok(0) {
            return None;
        }
        if let Ok(done) = timeout(LOOK, &mut work).await {
            return Some(done);
        }
    }
}

async fn answer(
    request: serde_json::Result<Request>,
    context: &SharedContext,
    reloads: Option<&mpsc::Sender<reload::Request>>,
    rights: &Rights,
) -> Response {
    match request {
        // Handled above: their answers are lines already.
        Ok(Request::Status | Request::Events { .. }) => {
            Response::Error("a request ends with a line feed".to_owned())
        }
        Ok(Request::Ping) => Response::Pong,
        Ok(Request::InMaintenance { name }) => {
            let orders = maintenance::in_maintenance(&context.now(), name.as_deref());
            orders.map_or_else(Response::Unknown, Response::InMaintenance)
        }
        Ok(_) if !matches!(rights, Rights::All(_)) => Response::Error(
            "this socket answers only what changes nothing; the other one is control.sock".to_owned(),
        ),
        Ok(Request::Reload { dry_run, confirm, keep }) => {
            let ask = match (keep, dry_run) {
                (true, _) => ReloadKind::Keep,
                (false, true) => ReloadKind::Try,
                (false, false) => ReloadKind::Apply { confirm: confirm.map(Duration::from_secs) },
            };
            reload(reloads, ask).await.unwrap_or_else(|| Response::Error("the daemon is stopping".to_owned()))
        }
        Ok(Request::HotRestart) => Response::Error("this daemon does not hand over".to_owned()),
        Ok(_) => Response::Error("this daemon takes no orders".to_owned()),
        Err(error) => Response::Error(format!("not a request: {error}")),
    }
}

/// A response as it is sent.
fn encoded(response: &Response) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(response)?;
    text.push(b'\n');
    Ok(text)
}

/// Has the desk carry out an order.
async fn order(request: Request, by: &str, desk: Option<&mpsc::Sender<Call>>) -> Response {
    let (answer, answered) = oneshot::channel();
    let call = Call { request, by: by.to_owned(), answer };
    let gone = || Response::Error("the daemon is stopping".to_owned());
    match desk {
        Some(desk) if desk.send(call).await.is_ok() => answered.await.unwrap_or_else(|_| gone()),
        _ => gone(),
    }
}

/// `None` if the daemon no longer reloads.
async fn reload(reloads: Option<&mpsc::Sender<reload::Request>>, ask: ReloadKind) -> Option<Response> {
    let (answer, answered) = oneshot::channel();
    reloads?.send(reload::Request { ask, answer }).await.ok()?;
    Some(match answered.await.ok()? {
        Ok(applied) => Response::Reloaded(applied),
        Err(findings) => Response::Refused(findings),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_documented() {
        assert_eq!(serde_json::to_string(&Request::Status).unwrap(), r#"{"command":"status"}"#);
        assert!(serde_json::from_str::<Request>(r#"{"command":"reboot"}"#).is_err());
        let order = r#"{"command":"maintenance","name":"VI_1","on":true,"seconds":1800,"reason":"disk"}"#;
        let Ok(Request::Maintenance { seconds: Some(1800), force: false, .. }) = serde_json::from_str(order)
        else {
            panic!("{order}");
        };
        let refused = Response::Error("no".into());
        assert_eq!(serde_json::to_string(&refused).unwrap(), r#"{"error":"no"}"#);
    }
}
