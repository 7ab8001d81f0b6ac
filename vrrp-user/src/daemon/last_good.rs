//! The last good configuration: a copy of what was applied, for a start with a broken file.
//!
//! Enters: configurations that are in use. Leaves: the copy of the latest one, in the state directory, readable by root
//! alone as it has passwords; and a mark while a reload awaits its confirmation, whose configuration is not good yet.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

use super::process::options::RunOptions;
use super::process::runtime_dir;
use super::unwritten::Unwritten;
use crate::config::{Loaded, Reader};

pub const NAME: &str = "last-good.json";
const MARK: &str = "unconfirmed";

/// Longest copy that is read: some times the longest configuration.
const READ_MAX: u64 = 512 << 20;

/// From a failed write to the next one.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct LastGood {
    folder: PathBuf,
    /// The configuration file that it is a copy of.
    file: PathBuf,
}

#[derive(Deserialize, Serialize)]
struct Kept {
    file: PathBuf,
    config_id: Option<String>,
    copy: String,
}

/// A configuration from its copy.
#[derive(Debug)]
pub struct Restored {
    pub loaded: Loaded,
    /// When it was applied.
    pub at: Option<SystemTime>,
}

impl LastGood {
    /// `None` in keepalived's place: keepalived leaves wrong lines out, and ends without its file.
    pub fn of(options: &RunOptions) -> Option<Self> {
        let folder = runtime_dir::state(&options.runtime_dir);
        options.process.places.is_none().then(|| Self { folder, file: options.config.clone() })
    }

    /// Replaces the copy.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, loaded: &Loaded, config_id: Option<&str>) -> io::Result<()> {
        let Some(copy) = loaded.copy() else { return Ok(()) };
        let kept = Kept { file: self.file.clone(), config_id: config_id.map(str::to_owned), copy };
        let text = serde_json::to_vec(&kept)?;
        // Its time says when the configuration was applied first.
        if fs::read(self.path()).is_ok_and(|before| before == text) {
            return Ok(());
        }
        let new = self.folder.join(format!("{NAME}.{}", std::process::id()));
        let written = write(&new, &text).and_then(|()| fs::rename(&new, self.path()));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }

    /// Reads the copy of the same file, for the same node.
    ///
    /// # Errors
    /// There is none that can be used; the reason.
    pub fn restore(&self, reader: &Reader, config_id: Option<&str>) -> Result<Restored, String> {
        let path = self.path();
        let failed = |why: String| format!("{}: {why}", path.display());
        let metadata = fs::metadata(&path).map_err(|error| failed(error.to_string()))?;
        if metadata.len() > READ_MAX {
            return Err(failed("it is too long".to_owned()));
        }
        let text = fs::read(&path).map_err(|error| failed(error.to_string()))?;
        let kept: Kept = serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
        if kept.file != self.file || kept.config_id.as_deref() != config_id {
            return Err(failed(format!(
                "it is of another file, {}, or of another node",
                kept.file.display()
            )));
        }
        let loaded = reader.restore(&kept.copy).map_err(failed)?;
        Ok(Restored { loaded, at: metadata.modified().ok() })
    }

    /// Marks that the configuration in use awaits its confirmation.
    ///
    /// # Errors
    /// The mark cannot be set or removed.
    pub fn mark(&self, is_awaiting: bool) -> io::Result<()> {
        let path = self.folder.join(MARK);
        if is_awaiting {
            return write(&path, b"");
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub fn is_marked(&self) -> bool {
        self.folder.join(MARK).exists()
    }

    fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }
}

/// Saves beside the main thread, one after the other, and of several that wait only the latest.
#[derive(Clone, Debug)]
pub struct LastGoodSaver(Arc<Saving>);

#[derive(Debug)]
struct Saving {
    last_good: LastGood,
    config_id: Option<String>,
    /// The configuration in use, and whether it awaits its confirmation.
    waiting: Mutex<Option<(Arc<Loaded>, bool)>>,
    /// Held while a file is written.
    writing: Mutex<()>,
    unwritten: Unwritten,
}

impl LastGoodSaver {
    /// `None` where no copies are made. A bridge process leaves copy and mark to the daemon that follows it.
    pub fn of(options: &RunOptions, unwritten: Unwritten) -> Option<Self> {
        if options.bridge.is_some() {
            return None;
        }
        let (waiting, writing) = (Mutex::default(), Mutex::default());
        let (last_good, config_id) = (LastGood::of(options)?, options.config_id.clone());
        Some(Self(Arc::new(Saving { last_good, config_id, waiting, writing, unwritten })))
    }

    /// Copies the configuration in use, or marks that it awaits its confirmation. Must be called within a runtime.
    pub fn save(&self, loaded: Arc<Loaded>, is_awaiting: bool) {
        let earlier = lock(&self.0.waiting).replace((loaded, is_awaiting));
        // Otherwise a task is on its way to it.
        if earlier.is_none() {
            let saving = Arc::clone(&self.0);
            tokio::spawn(async move {
                loop {
                    let saving = Arc::clone(&saving);
                    // Fails if the runtime ends, or by a panic; then the next save tries again.
                    if spawn_blocking(move || saving.save()).await.unwrap_or(true) {
                        return;
                    }
                    sleep(RETRY).await;
                }
            });
        }
    }

    /// Writes what still waits, after the write that is going on. The threads of a runtime that ends would not.
    pub fn finish(&self) {
        self.0.save();
    }
}

impl Saving {
    /// False if it must be tried again: the disk refuses it.
    fn save(&self) -> bool {
        let _writing = lock(&self.writing);
        let Some((loaded, is_awaiting)) = lock(&self.waiting).take() else { return true };
        let config_id = self.config_id.as_deref();
        let saved = if is_awaiting { Ok(()) } else { self.last_good.save(&loaded, config_id) };
        // The mark goes also if the disk is full: what was kept is not undone by the next start.
        let marked = self.last_good.mark(is_awaiting);
        let written = saved.and(marked);
        let has_turned = self.unwritten.note(NAME, &written);
        match written {
            Err(error) => {
                if has_turned {
                    warn!(%error, "cannot keep a copy of the configuration: a start with a broken file takes an older one, or fails");
                }
                // A later one may wait already.
                lock(&self.waiting).get_or_insert((loaded, is_awaiting));
                false
            }
            Ok(()) => {
                if has_turned {
                    info!("a copy of the configuration is kept again");
                }
                true
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_data()
}
