//! A named pipe written without blocking.
//!
//! Enters: a path, lines. Leaves: whole lines in the pipe, or the reason why a line was not written, and how much of
//! them is unread. Absent: readers. The pipe is open in both directions, so that it accepts lines without a reader
//! until it is full, and readers see no end of file while the daemon runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, lchown};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, mkfifo};
use thiserror::Error;

use crate::driver::ownership;

/// Removes the pipe on drop if this value created it.
#[derive(Debug)]
pub struct Fifo {
    file: File,
    path: PathBuf,
    made: bool,
    place: FileId,
}

/// The file behind a path: device and inode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileId(u64, u64);

impl FileId {
    /// `None` if there is none. Waits for the file system.
    pub fn of(path: &Path) -> Option<Self> {
        fs::symlink_metadata(path).ok().map(|found| Self(found.dev(), found.ino()))
    }
}

/// Of a path that the caller names.
#[derive(Debug, Error)]
pub enum FifoError {
    #[error("it is not a FIFO: remove it")]
    Other,
    #[error("it belongs to user {found}, not to {expected}: remove it")]
    Owner { found: u32, expected: u32 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Fifo {
    /// Creates a missing pipe with mode 0600 for `owner`, else for the daemon. An existing one must belong to one of
    /// the two.
    ///
    /// # Errors
    /// The path is something else, or the pipe cannot be created or opened.
    pub fn open(path: &Path, owner: Option<(Uid, Gid)>) -> Result<Self, FifoError> {
        let made = match mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) => true,
            Err(nix::errno::Errno::EEXIST) => false,
            Err(errno) => return Err(io::Error::from(errno).into()),
        };
        let opened = Self::open_made(path, owner, made);
        if made && opened.is_err() {
            let _ = fs::remove_file(path);
        }
        let file = opened?;
        let found = file.metadata()?;
        Ok(Self { file, path: path.to_owned(), made, place: FileId(found.dev(), found.ino()) })
    }

    fn open_made(path: &Path, owner: Option<(Uid, Gid)>, made: bool) -> Result<File, FifoError> {
        if let Some((uid, gid)) = owner.filter(|_| made) {
            lchown(path, Some(uid.as_raw()), Some(gid.as_raw()))?;
        }
        // Checked without following links and before opening: opening a device may have side effects.
        if !fs::symlink_metadata(path)?.file_type().is_fifo() {
            return Err(FifoError::Other);
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
            .open(path)?;
        let found = file.metadata()?;
        if !found.file_type().is_fifo() {
            return Err(FifoError::Other);
        }
        let daemon = Uid::effective().as_raw();
        let expected = owner.map_or(daemon, |(uid, _)| uid.as_raw());
        if found.uid() != expected && found.uid() != daemon {
            return Err(FifoError::Owner { found: found.uid(), expected });
        }
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that its path led to when it was opened.
    pub fn place(&self) -> FileId {
        self.place
    }

    /// Bytes that no process has read yet.
    pub fn unread(&self) -> usize {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the kernel writes one number, which lives across the call.
        let outcome = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        if outcome == 0 { usize::try_from(bytes).unwrap_or_default() } else { 0 }
    }

    /// Writes the whole line or nothing, at once: the kernel never splits up to `PIPE_BUF` (4096) bytes.
    ///
    /// # Errors
    /// `WouldBlock` if the pipe is full.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(line.as_bytes())
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        // After a hot restart the new daemon keeps using it. Another process may have put another file in its place.
        if self.made && ownership::is_ours() && FileId::of(&self.path) == Some(self.place) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("vrrpx-{name}-{}", std::process::id()))
    }

    #[test]
    fn without_a_reader_it_fills_and_then_refuses_whole_lines() {
        let path = path("full");
        let mut fifo = Fifo::open(&path, None).unwrap();
        let line = format!("{}\n", "x".repeat(999));
        let mut written = 0;
        let error = loop {
            match fifo.write(&line) {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(fifo.unread(), written * line.len());
        let mut reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        let mut bytes = Vec::new();
        // Ends with an error, as the writer is still there.
        let _ = reader.read_to_end(&mut bytes);
        assert_eq!(bytes.len(), written * line.len());
        fifo.write(&line).unwrap();
        assert_eq!(fifo.unread(), line.len());
        drop(fifo);
        assert!(!path.exists());
    }

    #[test]
    fn what_has_taken_its_place_is_kept() {
        let path = path("replaced");
        let fifo = Fifo::open(&path, None).unwrap();
        assert_eq!(FileId::of(&path), Some(fifo.place()));
        fs::remove_file(&path).unwrap();
        assert_eq!(FileId::of(&path), None);
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        drop(fifo);
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_is_there_is_used_if_it_is_a_fifo_and_kept() {
        let path = path("kept");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        drop(Fifo::open(&path, None).unwrap());
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        assert!(matches!(Fifo::open(&path, None), Err(FifoError::Other)));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(matches!(Fifo::open(&path, None), Err(FifoError::Other)));
        fs::remove_file(&path).unwrap();
        assert!(matches!(Fifo::open(Path::new("/nonexistent/fifo"), None), Err(FifoError::Io(_))));
    }
}
