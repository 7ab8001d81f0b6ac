//! Sockets and their options by number, for what the wrappers of nix do not name.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::c_int;

/// Numbers that libc lacks.
pub(in crate::driver) const PACKET_IGNORE_OUTGOING: c_int = 23;
pub(in crate::driver) const IPV6_MULTICAST_ALL: c_int = 29;

/// A non-blocking socket that no child inherits.
pub(in crate::driver) fn socket(family: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets an option whose value is any plain structure.
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

/// Reads an option whose value is any plain structure; `None` where the kernel gives less than that.
pub(in crate::driver) fn read<T: Copy + Default>(
    socket: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
) -> Option<T> {
    let mut value = T::default();
    let wanted = libc::socklen_t::try_from(size_of::<T>()).ok()?;
    let mut length = wanted;
    // SAFETY: `value` is `length` bytes long, and any bytes are one.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length)
    };
    (result == 0 && length == wanted).then_some(value)
}

/// Sets a buffer beyond the limit of the system where permitted, otherwise up to it.
pub(in crate::driver) fn set_buffer(
    socket: BorrowedFd<'_>,
    forced: c_int,
    plain: c_int,
    bytes: c_int,
) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, forced, bytes).or_else(|_| set(socket, libc::SOL_SOCKET, plain, bytes))
}

/// Lets only those packets into the socket's queue that the program accepts.
pub(in crate::driver) fn set_filter(socket: BorrowedFd<'_>, program: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // The kernel copies the program and writes nothing to it.
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

/// One instruction of classic BPF: `code`, where to go if true or false, operand.
pub(in crate::driver) const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    #[expect(clippy::cast_possible_truncation, reason = "codes are 8 bits wide")]
    let code = code as u16;
    libc::sock_filter { code, jt, jf, k }
}
