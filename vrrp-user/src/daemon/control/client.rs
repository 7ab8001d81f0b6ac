//! Clients of a running daemon: one request each, the stream of events, and a reader that stays connected.
//!
//! Enters: the runtime directory of a daemon. Leaves: its answer, or why there is none.

use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::message::{ORDER_PATIENCE, PATIENCE, RELOAD_PATIENCE, Request, Response};
use crate::daemon::events::Event;
use crate::daemon::events::follow::Line;
use crate::daemon::neighbours;
use crate::daemon::process::runtime_dir;
use crate::daemon::reload::{AppliedReload, ReloadKind};
use crate::daemon::status::{NamedOrder, Status};

/// Why the control socket gave no answer.
#[derive(Debug, Error)]
pub enum ControlError {
    #[error("no vrrpx runs with runtime directory {}{}", .folder.display(), elsewhere(.others))]
    NotRunning {
        folder: PathBuf,
        /// Those of daemons that run in this network namespace; only if it is the default.
        others: Vec<PathBuf>,
    },
    #[error("{}: the daemon does not answer; it is stopped, hangs, or has too many clients", .0.display())]
    Silent(PathBuf),
    #[error(
        "{}: permission denied; be root, or in the group that the daemon was started with ({})", .path.display(), .option
    )]
    Denied { path: PathBuf, option: &'static str },
    #[error(
        "{folder}: permission denied to enter the runtime directory; be root, or let others enter it: chmod a+x {folder}",
        folder = .0.display()
    )]
    Closed(PathBuf),
    #[error("{}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: cannot parse the response: {error}", .path.display())]
    Garbled { path: PathBuf, error: serde_json::Error },
    #[error("{0}")]
    Refused(String),
    /// The findings of a configuration, or why an order is refused.
    #[error("{}", .0.join("\n"))]
    Findings(Vec<String>),
    /// Another router than the named one became master.
    #[error("{}", .0.join("\n"))]
    OtherMaster(Vec<String>),
    #[error("{0}")]
    Unknown(String),
}

/// Runtime directories of other daemons, for a user who has named none.
fn others(runtime_dir: &Path) -> Vec<PathBuf> {
    let is_default = runtime_dir == Path::new(runtime_dir::DEFAULT);
    let found = if is_default { neighbours::find(runtime_dir) } else { Vec::new() };
    // The path of one in another mount namespace means nothing here.
    found.into_iter().filter(|it| !it.is_apart()).map(|neighbour| neighbour.runtime_dir).collect()
}

/// Where other daemons run, or what to do without any.
fn elsewhere(others: &[PathBuf]) -> String {
    match others {
        [] => "; start it, or name its --runtime-dir".to_owned(),
        [only] => format!("; one runs with --runtime-dir {}", only.display()),
        [first, rest @ ..] => {
            format!("; one runs with --runtime-dir {}, and {} more", first.display(), rest.len())
        }
    }
}

/// Asks the daemon of a runtime folder for its status; for clients.
///
/// # Errors
/// No daemon runs there, we may not ask it, or it does not answer in time.
pub fn status(runtime_dir: &Path) -> Result<Status, ControlError> {
    match ask(runtime_dir, &Request::Status)? {
        Response::Status(status) => Ok(*status),
        other => Err(unexpected(other)),
    }
}

/// The same over a connection, whichever way it was made.
///
/// # Errors
/// As for [`status`].
pub fn status_over(mut stream: UnixStream) -> Result<Status, ControlError> {
    let path = PathBuf::from("(abstract socket)");
    let mut line = Vec::new();
    let mut exchange = || {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        send(&mut stream, &Request::Status)?;
        io::BufReader::new(&stream).read_until(b'\n', &mut line).map(drop)
    };
    exchange().map_err(|error| refused(error, &path, &path))?;
    match serde_json::from_slice(&line).map_err(|error| ControlError::Garbled { path, error })? {
        Response::Status(status) => Ok(*status),
        other => Err(unexpected(other)),
    }
}

/// Has the daemon of a runtime folder read its configuration again, or keep what it has read.
///
/// # Errors
/// The daemon refuses it and keeps the previous one; or as for [`status`].
pub fn request_reload(runtime_dir: &Path, what: ReloadKind) -> Result<AppliedReload, ControlError> {
    let (dry_run, keep) = (what == ReloadKind::Try, what == ReloadKind::Keep);
    let confirm = match what {
        ReloadKind::Apply { confirm } => confirm.map(|time| time.as_secs()),
        ReloadKind::Try | ReloadKind::Keep => None,
    };
    match ask(runtime_dir, &Request::Reload { dry_run, confirm, keep })? {
        Response::Reloaded(applied) => Ok(applied),
        Response::Refused(findings) => Err(ControlError::Findings(findings)),
        other => Err(unexpected(other)),
    }
}

/// Has the daemon of a runtime folder carry out an order. Returns what came of it, in lines.
///
/// # Errors
/// The daemon refuses it; or as for [`status`].
pub fn steer(runtime_dir: &Path, request: &Request) -> Result<Vec<String>, ControlError> {
    match ask(runtime_dir, request)? {
        Response::Steered(lines) => Ok(lines),
        Response::Refused(reasons) => Err(ControlError::Findings(reasons)),
        Response::OtherMaster(lines) => Err(ControlError::OtherMaster(lines)),
        Response::Unknown(text) => Err(ControlError::Unknown(text)),
        other => Err(unexpected(other)),
    }
}

/// The instances in maintenance: all, or those of this name.
///
/// # Errors
/// No instance or sync group has the name; or as for [`status`].
pub fn in_maintenance(runtime_dir: &Path, name: Option<&str>) -> Result<Vec<NamedOrder>, ControlError> {
    match ask(runtime_dir, &Request::InMaintenance { name: name.map(str::to_owned) })? {
        Response::InMaintenance(orders) => Ok(orders),
        Response::Unknown(text) => Err(ControlError::Unknown(text)),
        other => Err(unexpected(other)),
    }
}

/// Passes each event after `since`, or all that are kept, to `each`, and with `follows` also new ones; each with its
/// line as received. Ends after the last event, or when `each` returns false.
///
/// # Errors
/// As for [`status`]; or the daemon has disconnected us.
pub fn events(
    runtime_dir: &Path,
    since: Option<u64>,
    follows: bool,
    mut each: impl FnMut(&Line, &str) -> bool,
) -> Result<(), ControlError> {
    let mut path = runtime_dir::socket(runtime_dir);
    let patience = if follows { None } else { Some(PATIENCE) };
    let mut connected = connect(&path, patience);
    if is_denied(&connected) {
        path = runtime_dir::status_socket(runtime_dir);
        connected = connect(&path, patience);
    }
    let failed = |error: io::Error| refused(error, &path, runtime_dir);
    let mut stream = connected.map_err(failed)?;
    send(&mut stream, &Request::Events { since, follow: follows }).map_err(failed)?;
    for text in io::BufReader::new(stream).lines() {
        let text = text.map_err(failed)?;
        let line = serde_json::from_str(&text)
            .map_err(|error| ControlError::Garbled { path: path.clone(), error })?;
        let goes_on = each(&line, &text);
        match line {
            Line::End { .. } => return Ok(()),
            Line::Dropped(why) | Line::Error(why) => return Err(ControlError::Refused(why)),
            _ if !goes_on => return Ok(()),
            _ => {}
        }
    }
    Err(ControlError::Refused("the daemon has ended".to_owned()))
}

/// A connection that stays open, for a screen that is drawn again and again. It is one of the socket for readers if
/// there is one that may be opened.
#[derive(Debug)]
pub struct StatusReader {
    stream: io::BufReader<UnixStream>,
    path: PathBuf,
    runtime_dir: PathBuf,
    /// Number of the latest event that was read.
    latest: Option<u64>,
}

/// What a [`StatusReader`] has read.
#[derive(Clone, Debug)]
pub struct StatusReading {
    pub status: Status,
    /// Those since the last reading; first of all, those that are kept.
    pub events: Vec<Event>,
}

impl StatusReader {
    /// # Errors
    /// As for [`status`].
    pub fn connect(runtime_dir: &Path) -> Result<Self, ControlError> {
        let mut path = runtime_dir::status_socket(runtime_dir);
        let mut connected = connect(&path, Some(PATIENCE));
        if connected.is_err() {
            path = runtime_dir::socket(runtime_dir);
            connected = connect(&path, Some(PATIENCE));
        }
        let stream = connected.map_err(|error| refused(error, &path, runtime_dir))?;
        let stream = io::BufReader::new(stream);
        Ok(Self { stream, path, runtime_dir: runtime_dir.to_owned(), latest: None })
    }

    /// # Errors
    /// As for [`status`]; then the connection is of no further use.
    pub fn read(&mut self) -> Result<StatusReading, ControlError> {
        let status = match serde_json::from_str(&self.ask(&Request::Status)?) {
            Ok(Response::Status(status)) => *status,
            Ok(other) => return Err(unexpected(other)),
            Err(error) => return Err(self.garbled(error)),
        };
        let mut events = Vec::new();
        let mut text = self.ask(&Request::Events { since: self.latest, follow: false })?;
        loop {
            match serde_json::from_str(&text).map_err(|error| self.garbled(error))? {
                Line::Event(event) => events.push(event),
                Line::End { latest } => {
                    self.latest = Some(latest);
                    return Ok(StatusReading { status, events });
                }
                // All places of followers are taken.
                Line::Dropped(_) | Line::Error(_) => return Ok(StatusReading { status, events }),
                Line::Events { .. } | Line::Gap(_) => {}
            }
            text = self.line()?;
        }
    }

    fn ask(&mut self, request: &Request) -> Result<String, ControlError> {
        let sent = send(self.stream.get_mut(), request);
        sent.map_err(|error| refused(error, &self.path, &self.runtime_dir))?;
        self.line()
    }

    fn line(&mut self) -> Result<String, ControlError> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => {
                Err(ControlError::Refused("the daemon has ended, or has closed the connection".to_owned()))
            }
            Ok(_) => Ok(line),
            Err(error) => Err(refused(error, &self.path, &self.runtime_dir)),
        }
    }

    fn garbled(&self, error: serde_json::Error) -> ControlError {
        ControlError::Garbled { path: self.path.clone(), error }
    }
}

fn unexpected(response: Response) -> ControlError {
    ControlError::Refused(match response {
        Response::Error(error) => error,
        _ => "unexpected response".to_owned(),
    })
}

fn ask(runtime_dir: &Path, request: &Request) -> Result<Response, ControlError> {
    let mut path = runtime_dir::socket(runtime_dir);
    let mut line = Vec::new();
    let mut exchanged = exchange(&path, request, &mut line);
    let is_for_readers = matches!(request, Request::Status | Request::InMaintenance { .. });
    if is_for_readers && is_denied(&exchanged) {
        path = runtime_dir::status_socket(runtime_dir);
        exchanged = exchange(&path, request, &mut line);
    }
    exchanged.map_err(|error| refused(error, &path, runtime_dir))?;
    serde_json::from_slice(&line).map_err(|error| ControlError::Garbled { path, error })
}

/// Whether this user may not open the socket: there is another one for readers.
fn is_denied<T>(outcome: &io::Result<T>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn refused(error: io::Error, path: &Path, folder: &Path) -> ControlError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ControlError::NotRunning { folder: folder.to_owned(), others: others(folder) }
        }
        io::ErrorKind::PermissionDenied => {
            // The mode of the socket itself hides nothing of it.
            let is_closed =
                fs::symlink_metadata(path).is_err_and(|it| it.kind() == io::ErrorKind::PermissionDenied);
            let is_for_readers = path == runtime_dir::status_socket(folder);
            match is_closed {
                true => ControlError::Closed(folder.to_owned()),
                false => ControlError::Denied {
                    path: path.to_owned(),
                    option: if is_for_readers { "--status-group" } else { "--control-group" },
                },
            }
        }
        // The error of a socket whose timeout has passed.
        io::ErrorKind::WouldBlock => ControlError::Silent(path.to_owned()),
        _ => ControlError::Io { path: path.to_owned(), error },
    }
}

fn exchange(path: &Path, request: &Request, line: &mut Vec<u8>) -> io::Result<()> {
    let patience = match request {
        Request::Status
        | Request::Ping
        | Request::InMaintenance { .. }
        | Request::Events { .. }
        | Request::HotRestart => PATIENCE,
        Request::Reload { .. } => RELOAD_PATIENCE,
        _ => ORDER_PATIENCE,
    };
    let mut stream = io::BufReader::new(connect(path, Some(PATIENCE))?);
    if patience > PATIENCE {
        // A daemon that hangs gets no order, which it would carry out when it continues.
        send(stream.get_mut(), &Request::Ping)?;
        stream.read_until(b'\n', line)?;
        line.clear();
        stream.get_ref().set_read_timeout(Some(patience))?;
    }
    send(stream.get_mut(), request)?;
    stream.read_until(b'\n', line)?;
    Ok(())
}

fn connect(path: &Path, patience: Option<Duration>) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn send(stream: &mut UnixStream, request: &Request) -> io::Result<()> {
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_hangs_is_distinguished_from_one_that_is_not_there() {
        let reported = |kind: io::ErrorKind| refused(kind.into(), Path::new("c"), Path::new("d")).to_string();
        assert!(reported(io::ErrorKind::WouldBlock).contains("does not answer"));
        assert!(reported(io::ErrorKind::PermissionDenied).contains("--control-group"));
        assert!(reported(io::ErrorKind::ConnectionRefused).contains("no vrrpx runs"));
    }

    #[test]
    fn daemons_elsewhere_are_named() {
        let folders = |names: &[&str]| -> Vec<PathBuf> { names.iter().map(PathBuf::from).collect() };
        assert_eq!(elsewhere(&folders(&[])), "; start it, or name its --runtime-dir");
        assert_eq!(elsewhere(&folders(&["/run/b"])), "; one runs with --runtime-dir /run/b");
        let three = elsewhere(&folders(&["/run/b", "/run/c", "/run/d"]));
        assert_eq!(three, "; one runs with --runtime-dir /run/b, and 2 more");
    }
}
