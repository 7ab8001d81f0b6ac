//! Sockets and options without a wrapper in nix.

use std::io;
use std::mem::{size_of, zeroed};
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

/// The next packet, without waiting for one: its length, and the header with what came beside it. `None`: the queue is
/// empty.
///
/// # Safety
/// `name` must be valid with any bytes. The header points to the buffers.
pub(super) unsafe fn receive<N>(
    socket: &OwnedFd,
    bytes: &mut [u8],
    name: &mut N,
    control: &mut [u64],
) -> io::Result<Option<(usize, libc::msghdr)>> {
    // SAFETY: a header without buffers is valid.
    let mut header: libc::msghdr = unsafe { zeroed() };
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
    header.msg_name = (&raw mut *name).cast();
    header.msg_namelen = libc::socklen_t::try_from(size_of::<N>()).unwrap_or(0);
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(control);
    // SAFETY: all buffers live across the call with the given lengths.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    match usize::try_from(received) {
        Ok(length) => Ok(Some((length, header))),
        Err(_) => match io::Error::last_os_error() {
            error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            error => Err(error),
        },
    }
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
pub(crate) fn set_filter(socket: BorrowedFd<'_>, program: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // The kernel copies the program and does not write to it.
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

/// One classic BPF instruction: `code`, jump offsets for true and false, operand.
pub(crate) const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    #[expect(clippy::cast_possible_truncation, reason = "codes are 8 bits wide")]
    let code = code as u16;
    libc::sock_filter { code, jt, jf, k }
}
