//! Reading of configuration files and the files they name.
//!
//! Enters: a path. Leaves: the contents, up to a limit, or an error. Only regular files are read: a FIFO, a socket or a
//! device may block its reader, and opening a device may have effects. Absent: protection against a file system that
//! does not answer. `open` itself blocks on it, so a running daemon reads in another thread than its main one.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use thiserror::Error;

/// Why a file is not read.
#[derive(Debug, Error)]
pub enum FileError {
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    #[error("it is longer than {}", size(*.0))]
    TooLong(u64),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl FileError {
    /// Advice for the user.
    pub(super) fn help(&self) -> Option<String> {
        match self {
            Self::NotRegular(_) => Some("copy its contents to a regular file, and name that file".to_owned()),
            Self::TooLong(_) | Self::Io(_) => None,
        }
    }
}

/// Opens a regular file for reading, without waiting for a writer.
///
/// # Errors
/// It is not a regular file, or cannot be opened.
pub fn open(path: &Path) -> Result<File, FileError> {
    // Checked before it is opened: opening a device may have effects.
    regular(&fs::metadata(path)?)?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    // Another file may have replaced it meanwhile.
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Contents and metadata of a regular file.
pub(super) fn read(path: &Path, most: u64) -> Result<(Vec<u8>, Metadata), FileError> {
    let file = open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    // The length in the metadata is 0 for files of /proc, and stale for a file being written.
    let length = file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(length).is_ok_and(|length| length <= most) {
        Ok((bytes, metadata))
    } else {
        Err(FileError::TooLong(most))
    }
}

fn regular(metadata: &Metadata) -> Result<(), FileError> {
    if metadata.is_file() { Ok(()) } else { Err(FileError::NotRegular(kind(metadata.file_type()))) }
}

fn kind(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn only_regular_files_are_read_and_no_writer_is_waited_for() {
        let folder = std::env::temp_dir().join(format!("vrrpx-regular-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (fifo, socket, long) = (folder.join("fifo"), folder.join("socket"), folder.join("long"));
        mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        fs::write(&long, "123456789").unwrap();
        std::os::unix::fs::symlink(&fifo, folder.join("link")).unwrap();
        let why = |path: &Path, most| read(path, most).map(|read| read.0).map_err(|error| error.to_string());
        for (path, kind) in [
            (&*fifo, "a FIFO"),
            (&folder.join("link"), "a FIFO"),
            (&socket, "a socket"),
            (&folder, "a directory"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            assert_eq!(why(path, 9), Err(format!("it is {kind}, not a regular file")), "{}", path.display());
        }
        assert_eq!(why(&long, 9), Ok(b"123456789".to_vec()));
        assert_eq!(why(&long, 8), Err("it is longer than 8 bytes".to_owned()));
        assert!(!read(Path::new("/proc/self/status"), 1 << 20).unwrap().0.is_empty());
        assert!(why(&folder.join("nowhere"), 9).unwrap_err().starts_with("No such file"));
        assert_eq!([size(2048), size(64 << 20)], ["2 KiB", "64 MiB"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
