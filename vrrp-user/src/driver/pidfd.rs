//! A descriptor that becomes readable when a process ends.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Needs Linux 5.3. The pid may have been reused by now: if that matters, check the process again afterwards.
///
/// # Errors
/// ESRCH: no such process.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let pidfd = RawFd::try_from(pidfd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: fresh from the kernel, with no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}
