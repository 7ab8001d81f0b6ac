//! The runtime folder: one daemon's place for its lock, pid and control socket.
//!
//! The process with the lock owns the folder, and the files of an earlier daemon in it are void. The kernel releases
//! the lock with the process, however that ends.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Uid};
use thiserror::Error;

use crate::driver::clock;
use crate::driver::ownership;
use crate::driver::security::PathWeakness;

/// The folder for what outlives the daemon: that of the unit (`StateDirectory=`), else the runtime folder.
pub fn state(runtime_dir: &Path) -> PathBuf {
    let of_unit = std::env::var_os("STATE_DIRECTORY").filter(|value| !value.is_empty());
    let first = of_unit.and_then(|value| std::env::split_paths(&value).next());
    first.unwrap_or_else(|| runtime_dir.to_owned())
}

/// Name of the runtime directory in status and metrics, if it cannot be written.
pub const NAME: &str = "runtime directory";

/// What the daemon lacks meanwhile, and what to do.
pub const UNWRITTEN: &str =
    "orders (vrrpx maintenance, failover, priority) are refused; make room there, or mount it writable";

/// The runtime directory where none is named.
pub const DEFAULT: &str = "/run/vrrpx";

/// The lock of a folder that no daemon has, or `None` if there is no folder. While it is held, a daemon that starts is
/// refused.
///
/// # Errors
/// A daemon has the folder, or another user may change the files in it.
pub fn lock_unused(path: &Path) -> io::Result<Option<Flock<File>>> {
    trust(path).and_then(|()| keeps_files_only(path)).map_err(io::Error::other)?;
    match File::open(lock(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => {
            let locked = Flock::lock(file?, FlockArg::LockExclusiveNonblock);
            locked.map(Some).map_err(|(_, errno)| errno.into())
        }
    }
}

/// Files that daemons keep in the runtime folder, and in the one for what outlives them.
const FILES: [&str; 13] = [
    "vrrpx.lock",
    "vrrpx.pid",
    "guard",
    "firewall",
    "sysctl",
    "sysctl-secondaries",
    "sysctl-igmp",
    "steering.json",
    "marks",
    "events.jsonl",
    "events.jsonl.1",
    "last-good.json",
    "unconfirmed",
];

/// Part of file names of a daemon that does not own the folder yet; its pid follows.
const NEXT: &str = ".next.";

/// Time for another process to remove what a dead daemon has left: it holds the lock meanwhile.
const REMOVAL: Duration = Duration::from_secs(1);

/// Between two attempts to take the lock.
const RETRY: Duration = Duration::from_millis(10);

/// A claimed folder. When dropped, it removes pid file and socket and frees the folder.
#[derive(Debug)]
pub struct RuntimeDir {
    path: PathBuf,
    /// Empty until the daemon that owns the folder hands it over.
    lock: OnceLock<Flock<File>>,
}

#[derive(Debug, Error)]
pub enum ClaimError {
    #[error("{}: another vrrpx{} runs with this runtime directory; give each its own --runtime-dir",
        .path.display(), .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Taken { path: PathBuf, pid: Option<u32> },
    #[error("{}: {error}; the daemon needs a runtime directory in which it can write: make room there, mount it writable, \
        or name another --runtime-dir", .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("the runtime directory {} {weakness}: another user could impersonate this daemon there; {}, or name \
        another --runtime-dir", .path.display(), .weakness.remedy(&.path.display().to_string()))]
    Untrusted { path: PathBuf, weakness: PathWeakness },
    #[error("{} is {kind}, where the daemon keeps a file: remove it", .path.display())]
    NoFile { path: PathBuf, kind: &'static str },
}

/// Checks that no other user may change the files in a runtime folder, if it exists.
///
/// # Errors
/// A user other than root and this process's user may change them.
pub fn trust(path: &Path) -> Result<(), ClaimError> {
    // A folder without access cannot be used either; that error is more precise.
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    let (user, group) = (Uid::effective().as_raw(), Gid::effective().as_raw());
    let is_ours = |id: u32, own: u32| id == 0 || id == own;
    let weakness = if !is_ours(metadata.uid(), user) {
        PathWeakness::Owner(metadata.uid())
    } else if metadata.mode() & libc::S_IWOTH != 0 {
        PathWeakness::World
    } else if metadata.mode() & libc::S_IWGRP != 0 && !is_ours(metadata.gid(), group) {
        PathWeakness::Group(metadata.gid())
    } else {
        return Ok(());
    };
    Err(ClaimError::Untrusted { path: path.to_owned(), weakness })
}

/// Checks that nothing else is where the daemon keeps files: to open a FIFO waits, to write to a device has effects.
fn keeps_files_only(folder: &Path) -> Result<(), ClaimError> {
    for path in FILES.map(|name| folder.join(name)) {
        let Ok(kind) = fs::metadata(&path).map(|it| it.file_type()) else { continue };
        let kind = match kind {
            it if it.is_file() => continue,
            it if it.is_dir() => "a folder",
            it if it.is_fifo() => "a FIFO",
            it if it.is_socket() => "a socket",
            _ => "a device",
        };
        return Err(ClaimError::NoFile { path, kind });
    }
    Ok(())
}

impl RuntimeDir {
    /// The folder while another daemon owns it. Until [`Self::inherit`], files of this one are beside that one's.
    pub fn beside(path: &Path) -> Self {
        Self { path: fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), lock: OnceLock::new() }
    }

    /// Makes the folder this daemon's, with the lock that the other one has given.
    ///
    /// # Errors
    /// The pid file or the socket could not be put in place.
    pub fn inherit(&self, lock: OwnedFd) -> Result<(), ClaimError> {
        let (beside, readers) = (self.socket(), self.status_socket());
        // Locked already, by the same open file.
        let locked = Flock::lock(File::from(lock), FlockArg::LockExclusiveNonblock);
        let locked = locked.map_err(|(_, errno)| self.failed(self::lock(&self.path))(errno.into()))?;
        let _ = self.lock.set(locked);
        self.write_pid()?;
        fs::rename(beside, self.socket()).map_err(self.failed(self.socket()))?;
        fs::rename(readers, self.status_socket()).map_err(self.failed(self.status_socket()))?;
        self.tidy();
        Ok(())
    }

    /// The lock for a successor: each copy keeps it locked.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn lock(&self) -> io::Result<OwnedFd> {
        let lock = self.lock.get().ok_or(io::ErrorKind::NotFound)?;
        lock.as_fd().try_clone_to_owned()
    }

    /// Makes the folder if it is missing, takes its lock and writes the pid. Waits for the lock if the daemon there is
    /// dead, as another process removes what it has left.
    ///
    /// # Errors
    /// Another daemon has it, another user may change the files in it, or it cannot be written.
    pub fn claim(path: &Path) -> Result<Self, ClaimError> {
        Self::claim_within(path, REMOVAL)
    }

    fn claim_within(path: &Path, removal: Duration) -> Result<Self, ClaimError> {
        let failed = |at: &Path| {
            let at = at.to_owned();
            move |error| ClaimError::Io { path: at, error }
        };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed(path))?;
        trust(path)?;
        // Other daemons of this namespace find the sockets by this path, whatever folder they run in.
        let path = &fs::canonicalize(path).map_err(failed(path))?;
        keeps_files_only(path)?;
        keeps_files_only(&state(path))?;
        let lock_path = lock(path);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        let begun = clock::now();
        let lock = loop {
            let errno = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => break lock,
                Err((unlocked, errno)) => {
                    file = unlocked;
                    errno
                }
            };
            if errno != Errno::EWOULDBLOCK {
                return Err(failed(&lock_path)(errno.into()));
            }
            let pid = read_pid(path);
            // In a container, it may be our own number.
            let is_held = pid.is_some_and(|pid| pid != std::process::id() && is_there(pid));
            if is_held || clock::now().since(begun) >= removal {
                return Err(ClaimError::Taken { path: path.to_owned(), pid });
            }
            thread::sleep(RETRY);
        };
        let claimed = Self { path: path.to_owned(), lock: OnceLock::from(lock) };
        claimed.write_pid()?;
        claimed.tidy();
        Ok(claimed)
    }

    /// Removes what killed successors have left.
    fn tidy(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.split_once(NEXT)?.1.parse::<u32>().ok());
            if pid.is_some_and(|pid| !is_there(pid)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn write_pid(&self) -> Result<(), ClaimError> {
        let path = self.pid_file();
        fs::write(&path, format!("{}\n", std::process::id())).map_err(self.failed(path))
    }

    fn failed(&self, path: PathBuf) -> impl FnOnce(io::Error) -> ClaimError + use<> {
        move |error| ClaimError::Io { path, error }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn pid_file(&self) -> PathBuf {
        self.path.join("vrrpx.pid")
    }

    pub fn socket(&self) -> PathBuf {
        match self.lock.get() {
            Some(_) => socket(&self.path),
            None => next(&self.path, "control"),
        }
    }

    /// Socket for those who only read.
    pub fn status_socket(&self) -> PathBuf {
        match self.lock.get() {
            Some(_) => status_socket(&self.path),
            None => next(&self.path, "status"),
        }
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        if self.lock.get().is_none() {
            let _ = fs::remove_file(self.socket());
            let _ = fs::remove_file(self.status_socket());
        } else if ownership::is_ours() {
            let _ = fs::remove_file(self.socket());
            let _ = fs::remove_file(self.status_socket());
            let _ = fs::remove_file(self.pid_file());
        } else {
            // The successor has the lock by the same open file. Dropping it here would unlock it for both.
            mem::forget(self.lock.take());
        }
    }
}

/// A file of this process until it owns the folder. Several processes may have one at a time.
pub fn next(runtime_dir: &Path, name: &str) -> PathBuf {
    runtime_dir.join(format!("{name}{NEXT}{}", std::process::id()))
}

/// Control socket of the daemon of a runtime folder.
pub fn socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("control.sock")
}

/// Whether this is a control socket, as the kernel lists it: a daemon that has replaced another keeps the name under
/// which its socket was bound beside that one's.
pub fn is_socket(path: &Path) -> bool {
    let beside = format!("control{NEXT}");
    path.file_name() == socket(Path::new("")).file_name()
        || path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(beside.as_bytes()))
}

/// Its socket for those who only read.
pub fn status_socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("status.sock")
}

/// Locked by the daemon that owns the folder.
pub fn lock(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("vrrpx.lock")
}

fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

pub fn read_pid(path: &Path) -> Option<u32> {
    fs::read_to_string(path.join("vrrpx.pid")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn one_daemon_has_it_at_a_time() {
        let path = std::env::temp_dir().join(format!("vrrpx-claim-{}", std::process::id()));
        let first = RuntimeDir::claim(&path).unwrap();
        let error = RuntimeDir::claim(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
        fs::write(first.socket(), "left behind").unwrap();
        drop(first);
        assert!(!socket(&path).exists());
        // No process has this number.
        let (killed, living) = (path.join(format!("control{NEXT}{}", u32::MAX)), next(&path, "guard"));
        fs::write(&killed, "left behind").unwrap();
        fs::write(&living, "in use").unwrap();
        let second = RuntimeDir::claim(&path).unwrap();
        assert!(second.pid_file().exists());
        assert!(!killed.exists() && living.exists());
        drop(second);
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_removal_of_what_a_dead_daemon_has_left_is_waited_for() {
        let path = std::env::temp_dir().join(format!("vrrpx-removal-{}", std::process::id()));
        drop(RuntimeDir::claim(&path).unwrap());
        // Of no process, as after a kill.
        fs::write(path.join("vrrpx.pid"), format!("{}\n", u32::MAX)).unwrap();
        let removal = lock_unused(&path).unwrap();
        let error = RuntimeDir::claim_within(&path, Duration::ZERO).unwrap_err();
        assert!(matches!(error, ClaimError::Taken { pid: Some(u32::MAX), .. }), "{error}");
        thread::scope(|scope| {
            let claim = scope.spawn(|| RuntimeDir::claim_within(&path, Duration::from_secs(60)));
            thread::sleep(RETRY * 5);
            drop(removal);
            claim.join().unwrap().unwrap();
        });
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_folder_that_others_may_change_is_refused() {
        if !Uid::effective().is_root() {
            return;
        }
        let path = std::env::temp_dir().join(format!("vrrpx-trust-{}", std::process::id()));
        trust(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let name = path.display();
        let end = "another user could impersonate this daemon there";
        for (user, group, mode, why, remedy) in [
            (65534, 65534, 0o755, "belongs to user 65534", "chown root"),
            (0, 0, 0o777, "is world-writable", "chmod o-w"),
            (0, 0, 0o1777, "is world-writable", "chmod o-w"),
            (0, 65534, 0o775, "is writable by group 65534", "chmod g-w"),
        ] {
            chown(&path, Some(user), Some(group)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = RuntimeDir::claim(&path).unwrap_err().to_string();
            let expected = format!(
                "the runtime directory {name} {why}: {end}; {remedy} {name}, or name another --runtime-dir"
            );
            assert_eq!(error, expected);
            assert!(!lock(&path).exists(), "something was made in it");
        }
        for (group, mode) in [(0, 0o775), (65534, 0o750)] {
            chown(&path, Some(0), Some(group)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            drop(RuntimeDir::claim(&path).unwrap());
        }
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn what_is_no_file_is_named_before_it_is_opened() {
        let path = std::env::temp_dir().join(format!("vrrpx-files-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        for file in FILES.map(|name| path.join(name)) {
            let refusal = |kind: &str| {
                format!("{} is {kind}, where the daemon keeps a file: remove it", file.display())
            };
            mkfifo(&file, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
            assert_eq!(RuntimeDir::claim(&path).unwrap_err().to_string(), refusal("a FIFO"));
            assert_eq!(lock_unused(&path).unwrap_err().to_string(), refusal("a FIFO"));
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
            assert_eq!(RuntimeDir::claim(&path).unwrap_err().to_string(), refusal("a folder"));
            fs::remove_dir(&file).unwrap();
        }
        drop(RuntimeDir::claim(&path).unwrap());
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let error = RuntimeDir::claim(Path::new("/proc/vrrpx")).unwrap_err().to_string();
        assert!(
            error.starts_with("/proc/vrrpx: ") && error.ends_with("name another --runtime-dir"),
            "{error}"
        );
    }
}
