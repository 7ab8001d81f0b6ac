//! Abstract Unix sockets: names that belong to a network namespace, whatever files its processes see.
//!
//! Enters: names. Leaves: listeners, and connections with the user at their other end. A name ends with its socket.
//! Absent: permissions, as any user may take any name; callers compare the user.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt};
use nix::unistd::Uid;

/// Longest name: the kernel's address without its first byte.
pub const NAME_MAX: usize = 107;

/// Listens under a name.
///
/// # Errors
/// `AddrInUse`: the name is taken.
pub fn listen(name: &[u8]) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// Connects to a name, without waiting.
///
/// # Errors
/// `ConnectionRefused`: there is no listener; `WouldBlock`: it accepts no more.
pub fn join(name: &[u8]) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new_abstract(name)?)?;
    Ok(socket.into())
}

/// Connects to a socket in the file system, without waiting.
///
/// # Errors
/// As [`join`], and those of the path.
pub fn join_path(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket.into())
}

/// The process at the other end, or that called `listen` there. Pid 0: one of another pid namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    pub pid: u32,
    pub uid: u32,
}

impl Peer {
    /// # Errors
    /// The connection has ended.
    pub fn of(stream: &impl AsFd) -> io::Result<Self> {
        let credentials = getsockopt(stream, sockopt::PeerCredentials)?;
        Ok(Self { pid: u32::try_from(credentials.pid()).unwrap_or(0), uid: credentials.uid() })
    }

    /// Whether it is of root or of this process's user.
    pub fn is_trusted(self) -> bool {
        self.uid == 0 || self.uid == Uid::effective().as_raw()
    }
}

/// Waits for the end of a connection, which comes with the listener's.
///
/// # Errors
/// `WouldBlock`: it has not ended.
pub fn wait_for_end(stream: &UnixStream, within: Duration) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(within))?;
    // A listener that ends with connections that it has not accepted resets them.
    match (&*stream).read(&mut [0]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}
