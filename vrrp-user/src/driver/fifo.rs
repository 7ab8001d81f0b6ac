//! A named pipe written without blocking.
//!
//! Enters: a path, lines. Leaves: whole lines in the pipe, or the reason why a line was not written. Absent: readers.
//! The pipe is open in both directions, so that it accepts lines without a reader until it is full, and readers see no
//! end of file while the daemon runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
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
}

#[derive(Debug, Error)]
pub enum FifoError {
    #[error("{} exists and is not a FIFO: remove it, and reload", .0.display())]
    Other(PathBuf),
    #[error("{} belongs to user {found}, not to {expected}: remove it, and reload", .path.display())]
    Owner { path: PathBuf, found: u32, expected: u32 },
    #[error("{}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl Fifo {
    /// Creates a missing pipe with mode 0600 for `owner`, else for the daemon. An existing one must belong to one of
    /// the two.
    ///
    /// # Errors
    /// The path is something else, or the pipe cannot be created or opened.
    pub fn open(path: &Path, owner: Option<(Uid, Gid)>) -> Result<Self, FifoError> {
        let failed = |error| FifoError::Io { path: path.to_owned(), error };
        let made = match mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) => true,
            Err(nix::errno::Errno::EEXIST) => false,
            Err(errno) => return Err(failed(errno.into())),
        };
        let opened = Self::open_made(path, owner, made);
        if made && opened.is_err() {
            let _ = fs::remove_file(path);
        }
        let file = opened?;
        Ok(Self { file, path: path.to_owned(), made })
    }

    fn open_made(path: &Path, owner: Option<(Uid, Gid)>, made: bool) -> Result<File, FifoError> {
        let failed = |error| FifoError::Io { path: path.to_owned(), error };
        if let Some((uid, gid)) = owner.filter(|_| made) {
            lchown(path, Some(uid.as_raw()), Some(gid.as_raw())).map_err(failed)?;
        }
        // Checked without following links and before opening: opening a device may have side effects.
        if !fs::symlink_metadata(path).map_err(failed)?.file_type().is_fifo() {
            return Err(FifoError::Other(path.to_owned()));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
            .open(path)
            .map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if !found.file_type().is_fifo() {
            return Err(FifoError::Other(path.to_owned()));
        }
        let daemon = Uid::effective().as_raw();
        let expected = owner.map_or(daemon, |(uid, _)| uid.as_raw());
        if found.uid() != expected && found.uid() != daemon {
            return Err(FifoError::Owner { path: path.to_owned(), found: found.uid(), expected });
        }
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.path
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
        // After a hot restart the new daemon keeps using it.
        if self.made && ownership::is_ours() {
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
        let mut reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        let mut bytes = Vec::new();
        // Ends with an error, as the writer is still there.
        let _ = reader.read_to_end(&mut bytes);
        assert_eq!(bytes.len(), written * line.len());
        fifo.write(&line).unwrap();
        drop(fifo);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_there_is_used_if_it_is_a_fifo_and_kept() {
        let path = path("kept");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        drop(Fifo::open(&path, None).unwrap());
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        assert!(matches!(Fifo::open(&path, None), Err(FifoError::Other(_))));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(matches!(Fifo::open(&path, None), Err(FifoError::Other(_))));
        fs::remove_file(&path).unwrap();
        assert!(matches!(Fifo::open(Path::new("/nonexistent/fifo"), None), Err(FifoError::Io { .. })));
    }
}
