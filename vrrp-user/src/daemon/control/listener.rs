//! A socket of the daemon at its path, which is made again when another process has removed it.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr, socket};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::Gid;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::warn;

use super::ControlError;
use crate::driver::ownership;

/// How often the path is looked at: a daemon without it runs on, and no command reaches it.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Listener {
    listener: UnixListener,
    /// Where clients look for it. A daemon that replaces another listens elsewhere until it is in place.
    home: PathBuf,
    group: Option<Gid>,
    mode: u32,
    look: Interval,
    /// The latest attempt has failed.
    is_lost: bool,
}

impl Listener {
    /// Listens at `path`; replaces what an earlier daemon has left there. Must be called within a runtime.
    pub(super) fn open(
        path: &Path,
        home: PathBuf,
        group: Option<Gid>,
        mode: u32,
    ) -> Result<Self, ControlError> {
        let listener = listen(path, group, mode)?;
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { listener, home, group, mode, look, is_lost: false })
    }

    pub(super) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<UnixStream>> {
        while self.look.poll_tick(cx).is_ready() {
            self.restore();
        }
        let (client, _) = ready!(self.listener.poll_accept(cx))?;
        Poll::Ready(Ok(client))
    }

    fn restore(&mut self) {
        let is_missing =
            || fs::symlink_metadata(&self.home).is_err_and(|it| it.kind() == io::ErrorKind::NotFound);
        // In a hot restart, the path belongs to one process or the other.
        if !ownership::is_ours() || ownership::is_leaving() || !is_missing() {
            return;
        }
        if let Some(folder) = self.home.parent() {
            // Listening fails without it, and says so.
            let _ = fs::DirBuilder::new().recursive(true).mode(0o755).create(folder);
        }
        match listen(&self.home, self.group, self.mode) {
            Ok(listener) => {
                self.listener = listener;
                self.is_lost = false;
                warn!(path = %self.home.display(), "this socket was removed by another process; it is made again");
            }
            Err(error) if !self.is_lost => {
                self.is_lost = true;
                warn!(
                    "a socket was removed, and cannot be made again: no command reaches this daemon: {error}"
                );
            }
            Err(_) => {}
        }
    }
}

fn listen(path: &Path, group: Option<Gid>, mode: u32) -> Result<UnixListener, ControlError> {
    let failed = |error| ControlError::Io { path: path.to_owned(), error };
    match clear(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = bind_own(path).map_err(failed)?;
    if let Some(group) = group {
        chown(path, None, Some(group.as_raw())).map_err(failed)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    Ok(listener)
}

/// Listens at a path that only this user may connect to. The mode is that of the socket itself: a umask would also be
/// that of processes which are started meanwhile.
fn bind_own(path: &Path) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    socket::bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    socket::listen(&socket, Backlog::MAXCONN)?;
    UnixListener::from_std(socket.into())
}

/// Removes what is at the path. Container engines make an empty folder of a socket that a container was to have and
/// that was not there.
fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => fs::remove_dir(path).map_err(|error| {
            let what = "a folder is in the place of the socket, and cannot be removed";
            io::Error::new(error.kind(), format!("{what}: {error}; remove it, or name another --runtime-dir"))
        }),
        outcome => outcome,
    }
}
