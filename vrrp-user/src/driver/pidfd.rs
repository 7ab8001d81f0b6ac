//! A descriptor that becomes readable when a process ends.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process as another daemon of this host names it: its pid, and when it began, in clock ticks since the boot. A
/// process of another PID namespace has hardly both.
pub type NamedProcess = (i32, u64);

/// `None` if it is not there.
pub fn named(pid: i32) -> Option<NamedProcess> {
    Some((pid, procfs::process::Process::new(pid).ok()?.stat().ok()?.starttime))
}

/// Returns when the process has ended, which need not be a child. Must be called within a runtime.
pub async fn end_of(process: NamedProcess) {
    let Ok(pidfd) = open(process.0) else { return };
    if named(process.0) != Some(process) {
        return;
    }
    // SAFETY: an owned descriptor stays open and the same for as long as it lives.
    if let Ok(pidfd) = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) } {
        // Cannot fail for an open descriptor.
        let _ = pidfd.readable().await;
    }
}

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
