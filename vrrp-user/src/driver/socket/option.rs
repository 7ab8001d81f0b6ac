//! Sockets and options without a wrapper in nix.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::c_int;

/// Constants missing in libc.
pub(in crate::driver) const PACKET_IGNORE_OUTGOING: c_int = 23;
pub(in crate::driver) const IPV6_MULTICAST_ALL: c_int = 29;

/// Opens a non-blocking socket that child processes do not inherit.
pub(in crate::driver) fn socket(family: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, with no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets an option with a plain structure as value.
pub(in crate::driver) fn set<T: Copy>(
    socket: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: T,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: `value` lives across the call and is `length` bytes long.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads an option with a plain structure as value; `None` if the kernel returns fewer bytes.
pub(in crate::driver) fn read<T: Copy + Default>(
    socket: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
) -> Option<T> {
    let mut value = T::default();
    let wanted = libc::socklen_t::try_from(size_of::<T>()).ok()?;
    let mut length = wanted;
    // SAFETY: `value` is `length` bytes long, and every bit pattern is valid.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length)
    };
    (result == 0 && length == wanted).then_some(value)
}

/// Sets a buffer size, beyond the system's limit if permitted, otherwise up to it.
pub(in crate::driver) fn set_buffer(
    socket: BorrowedFd<'_>,
    forced: c_int,
    plain: c_int,
    bytes: c_int,
) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, forced, bytes).or_else(|_| set(socket, libc::SOL_SOCKET, plain, bytes))
}

/// Attaches a filter: only packets that the program accepts enter the socket's queue.
pub(in crate::driver) fn set_filter(socket: BorrowedFd<'_>, program: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // The kernel copies the program and does not write to it.
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

/// One classic BPF instruction: `code`, jump offsets for true and false, operand.
pub(in crate::driver) const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    #[expect(clippy::cast_possible_truncation, reason = "codes are 8 bits wide")]
    let code = code as u16;
    libc::sock_filter { code, jt, jf, k }
}
