//! Presence of a daemon in its network namespace, and the order of daemons that look for each other.
//!
//! Enters: a runtime directory. Leaves: a socket under an abstract name, on which other daemons ask for the status, in
//! whatever mount namespace they are; those of the others; and the baton, which one daemon at a time has from its look
//! at the others until it answers them. Any user may take an abstract name. Names of other users are passed over, so
//! that such a user can only prevent the order.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use tracing::{info, warn};

use crate::driver::abstract_socket::{self, NAME_MAX, Peer};
use crate::driver::clock;

/// Begins the name of a daemon's socket; a number follows, and behind a colon the runtime directory.
const PRESENT: &str = "vrrpx.daemon:";

/// Begins the name of the baton; a number follows.
const BATON: &str = "vrrpx.baton:";

/// Names of each kind: more than daemons of one runtime directory in several mount namespaces, and than names that
/// another user would take.
const NAMES: u8 = 64;

/// Between two attempts to take a name whose holder does not listen.
const RETRY: Duration = Duration::from_millis(10);

/// For how long a holder may not listen: it does so just after it has taken the name.
const LISTENS: Duration = Duration::from_millis(200);

/// The socket of a daemon for the others. [`crate::daemon::control::Control`] answers there.
///
/// # Errors
/// No name is free, or no descriptor is left.
pub fn announce(runtime_dir: &Path) -> io::Result<UnixListener> {
    let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
    for number in 0..NAMES {
        match abstract_socket::listen(&name(number, runtime_dir)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken = error,
            other => return other,
        }
    }
    Err(taken)
}

/// The end of a long path distinguishes more than its beginning.
fn name(number: u8, runtime_dir: &Path) -> Vec<u8> {
    let head = format!("{PRESENT}{number}:").into_bytes();
    let path = runtime_dir.as_os_str().as_bytes();
    let end = path.get(path.len().saturating_sub(NAME_MAX - head.len())..).unwrap_or_default();
    [&head, end].concat()
}

/// Whether a daemon with this runtime directory has this part of it in its name.
pub fn is_named(runtime_dir: &Path, shown: &Path) -> bool {
    let (all, shown) = (runtime_dir.as_os_str().as_bytes(), shown.as_os_str().as_bytes());
    // Room for the number.
    all == shown || shown.len() + PRESENT.len() + 3 >= NAME_MAX && all.ends_with(shown)
}

/// Another daemon, at its socket.
#[derive(Debug)]
pub struct Present {
    pub stream: UnixStream,
    pub peer: Peer,
    /// As that daemon sees it; without its beginning if it is long.
    pub runtime_dir: PathBuf,
}

/// Daemons that have announced themselves, this one among them; `sockets` is a table as in `/proc/net/unix`.
pub fn list(sockets: &str) -> Vec<Present> {
    let found = names(sockets).filter_map(|(name, runtime_dir)| {
        let stream = abstract_socket::join(name.as_bytes()).ok()?;
        let peer = Peer::of(&stream).ok().filter(|peer| peer.is_trusted())?;
        Some(Present { stream, peer, runtime_dir: runtime_dir.into() })
    });
    found.collect()
}

/// Runtime directories of daemons that have announced themselves, also of those that hang and accept no connection; as
/// they see them, and without the beginning of a long one.
pub fn directories(sockets: &str) -> impl Iterator<Item = PathBuf> {
    let is_foreign = |name: &str| {
        let peer = abstract_socket::join(name.as_bytes()).and_then(|stream| Peer::of(&stream));
        peer.is_ok_and(|peer| !peer.is_trusted())
    };
    names(sockets).filter(move |(name, _)| !is_foreign(name)).map(|(_, runtime_dir)| runtime_dir.into())
}

/// Names of daemons, each with its runtime directory.
fn names(sockets: &str) -> impl Iterator<Item = (&str, &str)> {
    sockets.lines().filter_map(|line| {
        let (columns, name) = line.split_once(" @")?;
        let (_, runtime_dir) = name.strip_prefix(PRESENT)?.split_once(':')?;
        (columns.split_whitespace().nth(3) == Some(super::LISTENS)).then_some((name, runtime_dir))
    })
}

/// The right to look at the others. Further daemons wait until it is dropped.
#[derive(Debug)]
pub struct Baton {
    _name: UnixListener,
}

impl Baton {
    /// Waits for the baton, as long as another daemon has it and at most this long. `None` if it did not come, as from
    /// a daemon that hangs; the log then says so.
    pub fn wait(within: Duration) -> Option<Self> {
        let mut is_reported = false;
        let waits = |pid: u32| {
            if !std::mem::replace(&mut is_reported, true) {
                info!(pid, "waiting for another vrrpx that starts or reloads");
            }
        };
        let baton = Self::take(within, waits);
        baton
            .inspect_err(|error| warn!(%error, "cannot look for other daemons in order; going on without it"))
            .ok()
    }

    /// As above, but logs nothing. `waits` hears of each daemon that has the baton.
    ///
    /// # Errors
    /// It did not come.
    pub fn take(within: Duration, mut waits: impl FnMut(u32)) -> io::Result<Self> {
        let begun = clock::now();
        let left = || within.checked_sub(clock::now().since(begun)).filter(|left| !left.is_zero());
        let (mut number, mut silent_since) = (0, None);
        while let Some(left) = left() {
            let name = format!("{BATON}{number}").into_bytes();
            let taken = match abstract_socket::listen(&name) {
                Ok(name) => return Ok(Self { _name: name }),
                Err(error) => error,
            };
            if taken.kind() != io::ErrorKind::AddrInUse {
                return Err(taken);
            }
            let holder = abstract_socket::join(&name).and_then(|stream| Ok((Peer::of(&stream)?, stream)));
            match holder {
                Ok((peer, stream)) if peer.is_trusted() => {
                    waits(peer.pid);
                    let _ = abstract_socket::wait_for_end(&stream, left);
                    silent_since = None;
                }
                // Of this user if it is about to listen, and otherwise of none that we wait for.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    if clock::now().since(*silent_since.get_or_insert_with(clock::now)) < LISTENS {
                        sleep(RETRY);
                        continue;
                    }
                    // The time counts once for all names: another user may have taken many.
                    number += 1;
                }
                Ok(_) | Err(_) => number += 1,
            }
            if number == NAMES {
                break;
            }
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "another vrrpx is starting or reloading for long, or another user keeps the order",
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::linux::net::SocketAddrExt;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_daemon_is_found_by_its_name() {
        let folder = Path::new("/run/a b:c");
        let _others = [announce(folder).unwrap(), announce(folder).unwrap()];
        let sockets = fs::read_to_string("/proc/thread-self/net/unix").unwrap();
        let is_it = |it: &&Present| it.runtime_dir == folder && it.peer.pid == std::process::id();
        assert_eq!(list(&sockets).iter().filter(is_it).count(), 2);
    }

    #[test]
    fn a_daemon_that_accepts_no_connection_is_not_dead() {
        let folder = Path::new("/run/hangs");
        let daemon = announce(folder).unwrap();
        let address = daemon.local_addr().unwrap();
        let name = address.as_abstract_name().unwrap();
        while abstract_socket::join(name).is_ok() {}
        let sockets = crate::daemon::neighbours::sockets().unwrap();
        assert!(!list(&sockets).iter().any(|it| it.runtime_dir == folder));
        assert!(directories(&sockets).any(|it| it == folder));
    }

    #[test]
    fn a_long_runtime_directory_has_a_name_too() {
        let long = |end: char| PathBuf::from(format!("/{}{end}", "x".repeat(300)));
        assert_eq!(name(63, &long('a')).len(), NAME_MAX);
        assert_ne!(name(0, &long('a')), name(0, &long('b')));
        let shown = String::from_utf8(name(63, &long('a'))).unwrap();
        let shown = Path::new(shown.splitn(3, ':').nth(2).unwrap());
        assert!(is_named(&long('a'), shown) && !is_named(&long('b'), shown));
        assert!(!is_named(Path::new("/tmp/run/vrrpx"), Path::new("/run/vrrpx")));
    }

    #[test]
    fn one_at_a_time_has_the_baton() {
        let first = Baton::wait(Duration::from_secs(20)).unwrap();
        assert!(Baton::wait(Duration::from_millis(100)).is_none());
        let (reported, heard) = mpsc::channel();
        let second = thread::spawn(move || {
            let baton = Baton::wait(Duration::from_secs(20));
            reported.send(()).unwrap();
            baton.is_some()
        });
        assert!(heard.recv_timeout(Duration::from_millis(200)).is_err());
        drop(first);
        assert!(second.join().unwrap());
    }
}
