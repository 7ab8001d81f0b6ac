//! Want of descriptors, memory and processes: the limit that the daemon raises for itself, and the errors that say what
//! this machine lacks and nothing of what was tried.
//!
//! Children have the limit back that the daemon was started with: programs that use select(2) cannot use higher
//! descriptors.

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that no client gets: for scripts, checks, netlink, and files of a reload. Of a low limit, a quarter.
const KEPT_BACK: u64 = 64;

/// As the process was started.
static INHERITED: OnceLock<(u64, u64)> = OnceLock::new();

/// Raises the soft limit of descriptors to the hard one.
///
/// # Errors
/// The kernel refuses it: `fs.nr_open` has been lowered below the hard limit.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let inherited @ (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let _ = INHERITED.set(inherited);
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}

/// The limit of descriptors that a program started by the daemon is to have again.
pub(super) fn inherited_descriptor_limit() -> Option<(u64, u64)> {
    INHERITED.get().copied()
}

/// Whether a new descriptor, the lowest that was free, is one of those that are kept back.
pub fn is_kept_back(new: &impl AsFd) -> bool {
    let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return false };
    let number = u64::try_from(new.as_fd().as_raw_fd()).unwrap_or_default();
    number >= soft - KEPT_BACK.min(soft / 4)
}

/// Why no descriptor can be opened at the moment, if so.
pub(super) fn of_descriptors() -> Option<io::Error> {
    let error = File::open("/dev/null").err()?;
    error.raw_os_error().is_some_and(is_shortage).then_some(error)
}

/// Whether an error of a call other than fork, clone and exec says what this machine lacks.
pub fn is_shortage(errno: i32) -> bool {
    matches!(Errno::from_raw(errno), Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS)
}

/// The same of an error of fork, clone and exec.
pub fn is_shortage_of_fork(errno: i32) -> bool {
    // A connection refused with EAGAIN is the service's: its backlog is full.
    is_shortage(errno) || errno == libc::EAGAIN
}

/// Whether an error, or one that it comes from, does. Libraries wrap the system's errors in ways of their own, and all of
/// them keep its text.
pub(super) fn has_shortage(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if errno_in(&error.to_string()).is_some_and(is_shortage) {
            return true;
        }
        next = error.source();
    }
    false
}

/// As [`io::Error`] writes it.
fn errno_in(text: &str) -> Option<i32> {
    let (_, rest) = text.rsplit_once("(os error ")?;
    rest.split_once(')')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Wrapped {
        #[error("io error: {0}")]
        Hidden(Arc<io::Error>),
        #[error("cannot connect")]
        Sourced(#[source] io::Error),
    }

    #[test]
    fn a_shortage_is_found_however_it_is_wrapped() {
        for (errno, expected) in [
            (libc::EMFILE, true),
            (libc::ENFILE, true),
            (libc::ENOMEM, true),
            (libc::ENOBUFS, true),
            (libc::EAGAIN, false),
            (libc::ECONNREFUSED, false),
            (libc::ENOENT, false),
        ] {
            let error = || io::Error::from_raw_os_error(errno);
            assert_eq!(has_shortage(&error()), expected, "{errno}");
            assert_eq!(has_shortage(&Wrapped::Hidden(Arc::new(error()))), expected, "{errno}");
            assert_eq!(has_shortage(&Wrapped::Sourced(error())), expected, "{errno}");
            assert_eq!(has_shortage(&io::Error::other(error().to_string())), expected, "{errno}");
        }
        assert!(!has_shortage(&io::Error::other("no (os error 24")));
    }

    #[test]
    fn processes_are_wanting_where_a_fork_is_to_be_tried_again() {
        assert!(is_shortage_of_fork(libc::EAGAIN) && !is_shortage(libc::EAGAIN));
        assert!(!is_shortage_of_fork(libc::ENOENT) && !is_shortage_of_fork(libc::EACCES));
    }

    #[test]
    fn the_last_descriptors_are_kept_back() {
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let file = File::open("/dev/null").unwrap();
        assert!(!is_kept_back(&file));
        let last = i32::try_from(soft - 1).unwrap();
        // SAFETY: makes a descriptor that is nobody's, at the last number or the next free one.
        let high = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, last) };
        // SAFETY: fresh from the kernel.
        let high = unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(high) };
        assert!(is_kept_back(&high));
    }
}
