//! Regular check that the runtime directory can be written: the first order of an operator would find out too late.
//!
//! Enters: the directory. Leaves: in status, metrics and log, that a file cannot be written there, and why. Absent: the
//! files of the daemon, each of which has a writer of its own.

use std::convert::Infallible;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::runtime_dir::{NAME, UNWRITTEN, next};
use crate::config::words;
use crate::daemon::status::SharedContext;

/// Between two looks at the room of the file system.
const LOOK: Duration = Duration::from_secs(1);

/// Looks from one file to the next while there is room.
const LOOKS: u32 = 10;

/// With less room, in bytes, each look writes a file.
const TIGHT: u64 = 256 << 10;

/// Enough for a file of orders.
const FILE: [u8; 4096] = [0; 4096];

/// Runs until it is dropped.
pub(crate) async fn watch(folder: PathBuf, shared: SharedContext) -> Infallible {
    let mut due = interval(LOOK);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut looks, mut fails) = (0_u32, false);
    loop {
        due.tick().await;
        let (tried, is_due) = (folder.clone(), fails || looks.is_multiple_of(LOOKS));
        looks = looks.wrapping_add(1);
        let look = move || (is_due || is_tight(&tried)).then(|| write(&tried));
        // Without a thread for it, the next look may have one.
        let Ok(Some(outcome)) = spawn_blocking(look).await else { continue };
        fails = outcome.is_err();
        let has_turned = shared.now().history.unwritten.note(NAME, &outcome);
        match outcome {
            Err(error) if has_turned => {
                let error = words(error);
                warn!(runtime_dir = %folder.display(), "cannot write to the runtime directory: {error}; {UNWRITTEN}");
            }
            Ok(()) if has_turned => {
                info!(runtime_dir = %folder.display(), "the runtime directory can be written again");
            }
            _ => {}
        }
    }
}

/// True if the kernel does not say.
fn is_tight(folder: &Path) -> bool {
    statvfs(folder).map_or(true, |it| {
        let room = it.blocks_available().saturating_mul(it.fragment_size());
        // A file system without a limit of files says 0 of both.
        let is_out = it.files() > 0 && it.files_available() == 0;
        it.flags().contains(FsFlags::ST_RDONLY) || is_out || room < TIGHT
    })
}

/// Writes a file without a name, or one that is removed at once where the file system has no such files.
fn write(folder: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    match options.clone().custom_flags(libc::O_TMPFILE).open(folder) {
        Ok(file) => fill(file),
        Err(error) if is_unknown(&error) => {
            let path = next(folder, "probe");
            let written = options.create(true).truncate(true).open(&path).and_then(fill);
            let _ = fs::remove_file(&path);
            written
        }
        Err(error) => Err(error),
    }
}

/// The file system, or the kernel, has no files without a name.
fn is_unknown(error: &io::Error) -> bool {
    let unknown = [Errno::EOPNOTSUPP, Errno::EISDIR, Errno::EINVAL];
    error.raw_os_error().is_some_and(|errno| unknown.contains(&Errno::from_raw(errno)))
}

fn fill(mut file: File) -> io::Result<()> {
    file.write_all(&FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_written_and_left_as_it_was() {
        let folder = std::env::temp_dir().join(format!("vrrpx-writable-{}", std::process::id()));
        assert_eq!(write(&folder).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir(&folder).unwrap();
        write(&folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(&folder).unwrap();
        assert!(is_tight(Path::new("/proc")) && is_tight(&folder));
    }
}
