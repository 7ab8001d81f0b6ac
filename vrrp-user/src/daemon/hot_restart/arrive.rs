//! Hot restart, the new daemon's side. Everything here blocks.

use std::fs;
use std::io::{self, BufRead, BufReader, IoSliceMut, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nix::cmsg_space;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::Pid;
use serde::Deserialize;
use tracing::warn;

use super::{FORMAT, HotRestartError, Leases, Offer, RouterSnapshot, SnapshotMessage};
use crate::config::Config;
use crate::daemon::process::runtime_dir;
use crate::driver::clock;

/// Time limit for each answer of the old daemon.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time limit for the end of an old daemon that hands over to its peer.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// For how long a new daemon asks again while the old one hands over, or carries out an order.
const BUSY: Duration = Duration::from_secs(5);

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(100);

/// A running daemon that this one can replace.
#[derive(Debug)]
pub struct Predecessor {
    path: PathBuf,
    offer: Offer,
}

/// The part of the first line that all formats share.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Greeting {
    Offer(Outline),
    Error(String),
}

/// The part of the offer that all formats share.
#[derive(Deserialize)]
struct Outline {
    format: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Offer(Offer),
    Snapshot(SnapshotMessage),
    Error(String),
    /// Not now, but soon.
    Busy(String),
}

/// Asks the daemon of a runtime directory whether one with this configuration can replace it. `None` if no daemon runs
/// there, or if it cannot be replaced; then it was sent SIGTERM, as in an ordinary restart, and has ended.
///
/// # Errors
/// It runs with another configuration, or does not answer.
pub fn meet(runtime_dir: &Path, config: &Config) -> Result<Option<Predecessor>, HotRestartError> {
    let path = runtime_dir::socket(runtime_dir);
    let mut stream = match UnixStream::connect(&path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        connected => connected.map_err(failed(&path))?,
    };
    let text = ask(&mut stream).map_err(failed(&path))?;
    let reason = match serde_json::from_str(&text) {
        Ok(Greeting::Offer(Outline { format: FORMAT })) => match serde_json::from_str(&text) {
            Ok(Line::Offer(offer)) => {
                offer.matching_instances(config)?;
                return Ok(Some(Predecessor { path, offer }));
            }
            _ => "its offer cannot be parsed".to_owned(),
        },
        Ok(Greeting::Offer(Outline { format })) => format!("its format is {format}, ours is {FORMAT}"),
        Ok(Greeting::Error(error)) => error,
        Err(error) => error.to_string(),
    };
    warn!(
        reason,
        "cannot replace the running daemon without a gap; stopping it, and its peer takes over meanwhile"
    );
    dismiss(runtime_dir).map_err(failed(runtime_dir))?;
    await_end(runtime_dir)?;
    Ok(None)
}

/// Waits until no process has the lock of the directory.
///
/// # Errors
/// The lock is held for too long.
pub fn await_end(runtime_dir: &Path) -> Result<(), HotRestartError> {
    let path = runtime_dir::lock(runtime_dir);
    let pause = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    while waited < END_PATIENCE {
        let file = fs::File::open(&path).map_err(failed(&path))?;
        if Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok() {
            return Ok(());
        }
        sleep(pause);
        waited += pause;
    }
    Err(HotRestartError::Stuck(END_PATIENCE))
}

impl Predecessor {
    /// Takes everything over. `adopt` receives the state of the old daemon, which sends until it returns. Returns the
    /// lock of the directory.
    ///
    /// # Errors
    /// The old daemon goes on, or is assumed to: undo silently whatever `adopt` has done.
    pub fn follow(
        self,
        config: &Config,
        adopt: impl FnOnce(RouterSnapshot, Leases),
    ) -> Result<OwnedFd, HotRestartError> {
        let Self { path, offer } = self;
        let matching_instances = offer.matching_instances(config)?;
        let refused = |what: &str| HotRestartError::Refused(what.to_owned());
        let began = clock::now();
        let (mut stream, line) = loop {
            let mut stream = UnixStream::connect(&path).map_err(failed(&path))?;
            let text = ask(&mut stream).map_err(failed(&path))?;
            match serde_json::from_str(&text) {
                Ok(Line::Offer(again)) if again == offer => {}
                Ok(Line::Error(error)) => return Err(HotRestartError::Refused(error)),
                _ => return Err(refused("it was reloaded meanwhile")),
            }
            stream.write_all(b"\"go\"\n").map_err(failed(&path))?;
            let text = read_line(&stream).map_err(failed(&path))?;
            match serde_json::from_str(&text) {
                Ok(Line::Busy(_)) if clock::now().since(began) < BUSY => sleep(AGAIN),
                line => break (stream, line),
            }
        };
        let message = match line {
            Ok(Line::Snapshot(message)) => message,
            Ok(Line::Error(error) | Line::Busy(error)) => return Err(HotRestartError::Refused(error)),
            _ => return Err(refused("its state cannot be parsed")),
        };
        let snapshot = message.snapshot(&matching_instances, config, clock::now())?;
        stream.write_all(b"\"leases\"\n").map_err(failed(&path))?;
        let leases = receive(&stream).map_err(failed(&path))?;
        adopt(snapshot, Leases::of(leases, matching_instances.iter().map(|it| it.id).collect()));
        stream.write_all(b"\"adopted\"\n").map_err(failed(&path))?;
        receive(&stream).map_err(failed(&path))
    }
}

fn ask(stream: &mut UnixStream) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"{\"command\":\"hot_restart\"}\n")?;
    read_line(stream)
}

/// The peer sends nothing after a line before it is answered, so the buffer holds no further bytes that would be lost.
fn read_line(stream: &UnixStream) -> io::Result<String> {
    let mut text = String::new();
    if BufReader::new(stream).read_line(&mut text)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text)
}

/// Receives a line with a descriptor.
fn receive(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut text = [0; 64];
    let mut control = cmsg_space!([i32; 1]);
    let mut parts = [IoSliceMut::new(&mut text)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let descriptor = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
        _ => None,
    });
    let Some(descriptor) = descriptor else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    // SAFETY: a fresh descriptor that the kernel has made for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Sends SIGTERM to the process in the pid file, which is there as long as its daemon has the lock.
fn dismiss(runtime_dir: &Path) -> io::Result<()> {
    let pid = runtime_dir::read_pid(runtime_dir).and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.ok_or_else(|| io::Error::other("no daemon is named in its pid file"))?;
    Ok(kill(Pid::from_raw(pid), Signal::SIGTERM)?)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> HotRestartError {
    let path = path.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => HotRestartError::Gone(path.clone()),
        _ => HotRestartError::Io { path: path.clone(), error },
    }
}
