//! The control socket: one JSON request per line, one JSON response per line.
//!
//! ```text
//! {"command":"status"}        ─►  {"status":{…}}
//! {"command":"reload"}        ─►  "reloaded" or {"refused":["…"]}
//! {"command":"hot_restart"}   ─►  see the module hot_restart
//! {"command":"events"}        ─►  lines of events; see [`Line`]
//! anything else               ─►  {"error":"…"}
//! ```
//! Only processes that may open the socket have access; its mode is 0600. Requests are bounded in length, clients in
//! number and in time: if no place is left, the client that has been idle for longest is disconnected.

use std::io::{self, BufRead, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;

use super::clients::{self, Activity};
use super::events::follow::{self, Line};
use super::process::runtime_dir::{self, RuntimeDir};
use super::reload;
use super::status::{SharedContext, Status};

/// Longest request in bytes, its line feed included.
pub const LINE_MAX: u64 = 4096;

/// Clients at a time. Enough that a client with a request is served before a crowd of idle ones makes it the oldest.
const CLIENTS_MAX: usize = 128;

/// Followers of events among them; further followers are refused.
const FOLLOWERS_MAX: usize = 16;

/// A client that sends nothing for this long, or takes no response, is disconnected.
const PATIENCE: Duration = Duration::from_secs(5);

/// A reload makes interfaces and reads files before it is answered.
const RELOAD_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    Status,
    /// Read the configuration again.
    Reload,
    /// Let a new daemon replace this one; for the rest of the connection see [`super::hot_restart`].
    HotRestart,
    /// The daemon's events.
    Events {
        /// Number of the last known event; without it, all that are kept.
        #[serde(default)]
        since: Option<u64>,
        /// Stay connected and receive new events.
        #[serde(default)]
        follow: bool,
    },
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    Status(Box<Status>),
    Reloaded,
    /// The configuration is not in use; its findings, one each.
    Refused(Vec<String>),
    Error(String),
}

/// The daemon's end.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    reloads: Option<mpsc::Sender<reload::Request>>,
    successors: Option<mpsc::Sender<UnixStream>>,
}

impl Control {
    /// Listens in a claimed folder; replaces a socket that an earlier daemon left there. Must be called within a
    /// runtime.
    ///
    /// # Errors
    /// The socket could not be made.
    pub fn bind(folder: &RuntimeDir) -> Result<Self, ControlError> {
        let path = folder.socket();
        let failed = |error| ControlError::Io { path: path.clone(), error };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, reloads: None, successors: None })
    }

    /// Forwards requests to reload.
    #[must_use]
    pub fn with_reloads(self, reloads: mpsc::Sender<reload::Request>) -> Self {
        Self { reloads: Some(reloads), ..self }
    }

    /// Forwards clients that ask to replace this daemon.
    #[must_use]
    pub fn with_successors(self, successors: mpsc::Sender<UnixStream>) -> Self {
        Self { successors: Some(successors), ..self }
    }

    /// Serves clients until it is dropped.
    pub async fn serve(self, context: impl Into<SharedContext>) {
        let context = context.into();
        let followers = Arc::new(Semaphore::new(FOLLOWERS_MAX));
        let accept = |cx: &mut Context<'_>| self.listener.poll_accept(cx).map_ok(|(client, _)| client);
        let converse = |client, activity| {
            let (context, reloads) = (context.clone(), self.reloads.clone());
            let (successors, followers) = (self.successors.clone(), Arc::clone(&followers));
            async move {
                let (reloads, successors) = (reloads.as_ref(), successors.as_ref());
                let talk = converse(client, &activity, &context, reloads, successors, &followers);
                if let Err(error) = talk.await {
                    debug!(%error, "disconnected a control client");
                }
            }
        };
        match clients::serve("control socket", CLIENTS_MAX, accept, converse).await {}
    }
}

/// Answers requests of one client until it closes, takes too long or sends too long a line.
async fn converse(
    client: UnixStream,
    activity: &Activity,
    context: &SharedContext,
    reloads: Option<&mpsc::Sender<reload::Request>>,
    successors: Option<&mpsc::Sender<UnixStream>>,
    followers: &Semaphore,
) -> io::Result<()> {
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
        if let (Ok(Request::HotRestart), Some(successors)) = (serde_json::from_slice(&line), successors) {
            let client = read.into_inner().reunite(write).map_err(io::Error::other)?;
            return successors.send(client).await.map_err(io::Error::other);
        }
        let response = if let Ok(Request::Events { since, follow: follows }) = serde_json::from_slice(&line) {
            match followers.try_acquire() {
                Ok(_place) => {
                    let history = Arc::clone(&context.now().history);
                    follow::tell(&history.events, since, follows, PATIENCE, &write, &mut read).await?;
                    if follows {
                        return Ok(());
                    }
                    activity.end();
                    continue;
                }
                Err(_) => Response::Error(format!("{FOLLOWERS_MAX} clients follow already")),
            }
        } else if complete {
            answer(&line, context, reloads).await
        } else {
            Response::Error(format!("a request is one line of at most {LINE_MAX} bytes"))
        };
        let mut text = serde_json::to_vec(&response)?;
        text.push(b'\n');
        timeout(PATIENCE, write.write_all(&text)).await??;
        activity.end();
        if !complete {
            return Ok(());
        }
    }
}

async fn answer(
    line: &[u8],
    context: &SharedContext,
    reloads: Option<&mpsc::Sender<reload::Request>>,
) -> Response {
    match serde_json::from_slice(line) {
        Ok(Request::Reload) => {
            reload(reloads).await.unwrap_or_else(|| Response::Error("the daemon is stopping".to_owned()))
        }
        Ok(Request::HotRestart) => Response::Error("this daemon does not hand over".to_owned()),
        // Handled above: it has more than one line of answer.
        Ok(Request::Events { .. }) => Response::Error("a request ends with a line feed".to_owned()),
        Ok(Request::Status) => Response::Status(Box::new(context.now().status())),
        Err(error) => Response::Error(format!("not a request: {error}")),
    }
}

/// `None` if the daemon no longer reloads.
async fn reload(reloads: Option<&mpsc::Sender<reload::Request>>) -> Option<Response> {
    let (request, answered) = oneshot::channel();
    reloads?.send(request).await.ok()?;
    Some(match answered.await.ok()? {
        Ok(()) => Response::Reloaded,
        Err(findings) => Response::Refused(findings),
    })
}

/// Why the control socket gave no answer.
#[derive(Debug, Error)]
pub enum ControlError {
    #[error("no vrrpx runs with runtime directory {}", .0.display())]
    NotRunning(PathBuf),
    #[error("{}: the daemon does not answer; it is stopped, hangs, or has too many clients", .0.display())]
    Silent(PathBuf),
    #[error("{}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: cannot parse the response: {error}", .path.display())]
    Garbled { path: PathBuf, error: serde_json::Error },
    #[error("{0}")]
    Refused(String),
    /// The findings of a configuration.
    #[error("{}", .0.join("\n"))]
    Findings(Vec<String>),
}

/// Asks the daemon of a runtime folder for its status; for clients.
///
/// # Errors
/// No daemon runs there, we may not ask it, or it does not answer in time.
pub fn status(runtime_dir: &Path) -> Result<Status, ControlError> {
    match ask(runtime_dir, Request::Status)? {
        Response::Status(status) => Ok(*status),
        other => Err(unexpected(other)),
    }
}

/// Has the daemon of a runtime folder read its configuration again.
///
/// # Errors
/// The daemon refuses it and keeps the previous one; or as for [`status`].
pub fn request_reload(runtime_dir: &Path) -> Result<(), ControlError> {
    match ask(runtime_dir, Request::Reload)? {
        Response::Reloaded => Ok(()),
        Response::Refused(findings) => Err(ControlError::Findings(findings)),
        other => Err(unexpected(other)),
    }
}

/// Passes each event after `since`, or all that are kept, to `told`, and with `follows` also new ones; each with its
/// line as received. Ends after the last event, or when `told` returns false.
///
/// # Errors
/// As for [`status`]; or the daemon has disconnected us.
pub fn events(
    runtime_dir: &Path,
    since: Option<u64>,
    follows: bool,
    mut told: impl FnMut(&Line, &str) -> bool,
) -> Result<(), ControlError> {
    let path = runtime_dir::socket(runtime_dir);
    let failed = |error: io::Error| refused(error, &path, runtime_dir);
    let mut stream = connect(&path, if follows { None } else { Some(PATIENCE) }).map_err(failed)?;
    send(&mut stream, Request::Events { since, follow: follows }).map_err(failed)?;
    for text in io::BufReader::new(stream).lines() {
        let text = text.map_err(failed)?;
        let line = serde_json::from_str(&text)
            .map_err(|error| ControlError::Garbled { path: path.clone(), error })?;
        let goes_on = told(&line, &text);
        match line {
            Line::End { .. } => return Ok(()),
            Line::Dropped(why) | Line::Error(why) => return Err(ControlError::Refused(why)),
            _ if !goes_on => return Ok(()),
            _ => {}
        }
    }
    Err(ControlError::Refused("the daemon has ended".to_owned()))
}

fn unexpected(response: Response) -> ControlError {
    ControlError::Refused(match response {
        Response::Error(error) => error,
        _ => "unexpected response".to_owned(),
    })
}

fn ask(runtime_dir: &Path, request: Request) -> Result<Response, ControlError> {
    let path = runtime_dir::socket(runtime_dir);
    let mut line = Vec::new();
    exchange(&path, request, &mut line).map_err(|error| refused(error, &path, runtime_dir))?;
    serde_json::from_slice(&line).map_err(|error| ControlError::Garbled { path, error })
}

fn refused(error: io::Error, path: &Path, runtime_dir: &Path) -> ControlError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ControlError::NotRunning(runtime_dir.to_owned())
        }
        // The error of a socket whose timeout has passed.
        io::ErrorKind::WouldBlock => ControlError::Silent(path.to_owned()),
        _ => ControlError::Io { path: path.to_owned(), error },
    }
}

fn exchange(path: &Path, request: Request, line: &mut Vec<u8>) -> io::Result<()> {
    let patience = if request == Request::Reload { RELOAD_PATIENCE } else { PATIENCE };
    let mut stream = connect(path, Some(patience))?;
    send(&mut stream, request)?;
    io::BufReader::new(stream).read_until(b'\n', line)?;
    Ok(())
}

fn connect(path: &Path, patience: Option<Duration>) -> io::Result<BlockingStream> {
    let stream = BlockingStream::connect(path)?;
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn send(stream: &mut BlockingStream, request: Request) -> io::Result<()> {
    let mut text = serde_json::to_vec(&request)?;
    text.push(b'\n');
    stream.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_hangs_is_told_from_one_that_is_not_there() {
        let told = |kind: io::ErrorKind| refused(kind.into(), Path::new("c"), Path::new("d")).to_string();
        assert!(told(io::ErrorKind::WouldBlock).contains("does not answer"));
        assert!(told(io::ErrorKind::ConnectionRefused).contains("no vrrpx runs"));
    }

    #[test]
    fn requests_are_as_documented() {
        assert_eq!(serde_json::to_string(&Request::Status).unwrap(), r#"{"command":"status"}"#);
        assert!(serde_json::from_str::<Request>(r#"{"command":"reboot"}"#).is_err());
        let refused = Response::Error("no".into());
        assert_eq!(serde_json::to_string(&refused).unwrap(), r#"{"error":"no"}"#);
    }
}
