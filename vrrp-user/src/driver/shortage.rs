//! Shortage of descriptors, memory and processes.
//!
//! Raises the descriptor limit of the daemon, and recognises errors caused by a lack of resources on this machine,
//! which say nothing about the target of the attempt.
//!
//! Child processes get the original limit back: programs that use select(2) cannot handle higher descriptors.

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors reserved for scripts, checks, netlink and the files of a reload: no client gets them. A quarter of a low
/// limit.
const KEPT_BACK: u64 = 64;

/// The limit with which the process was started.
static INHERITED: OnceLock<(u64, u64)> = OnceLock::new();

/// Raises the soft descriptor limit to the hard one.
///
/// # Errors
/// The kernel refuses: `fs.nr_open` has been lowered below the hard limit.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let inherited @ (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let _ = INHERITED.set(inherited);
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}

/// The original descriptor limit, restored in each program that the daemon starts.
pub(super) fn inherited_descriptor_limit() -> Option<(u64, u64)> {
    INHERITED.get().copied()
}

/// Whether a new descriptor, the lowest free number, is one of the reserved ones.
pub fn is_kept_back(new: &impl AsFd) -> bool {
    let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return false };
    let number = u64::try_from(new.as_fd().as_raw_fd()).unwrap_or_default();
    number >= soft - KEPT_BACK.min(soft / 4)
}

/// The reason if no descriptor can be opened now.
pub(crate) fn of_descriptors() -> Option<io::Error> {
    let error = File::open("/dev/null").err()?;
    error.raw_os_error().is_some_and(is_shortage).then_some(error)
}

/// Whether an errno means a lack of resources on this machine; for calls other than fork, clone and exec.
pub fn is_shortage(errno: i32) -> bool {
    matches!(Errno::from_raw(errno), Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS)
}

/// As [`is_shortage`], for fork, clone and exec.
pub fn is_shortage_of_fork(errno: i32) -> bool {
    // EAGAIN counts only here: from connect it means that the service's backlog is full.
    is_shortage(errno) || errno == libc::EAGAIN
}

/// As [`is_shortage`], for an error or any of its sources. Libraries wrap system errors in different ways, but all keep
/// the text.
pub(crate) fn has_shortage(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if errno_in(&error.to_string()).is_some_and(is_shortage) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Reads the format of [`io::Error`].
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
        // SAFETY: makes a descriptor without another owner, at the last number or the next free one.
        let high = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, last) };
        // SAFETY: fresh from the kernel.
        let high = unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(high) };
        assert!(is_kept_back(&high));
    }
}
