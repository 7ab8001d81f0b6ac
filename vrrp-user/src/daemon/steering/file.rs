//! The file of orders in the runtime folder: they outlive the daemon, and end at the next boot.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::Steerings;
use crate::daemon::process::runtime_dir;

const NAME: &str = "steering.json";

/// A file larger than this is none of ours.
const SIZE_MAX: u64 = 16 << 20;

#[derive(Deserialize, Serialize)]
struct Kept<S> {
    /// The kernel's id of the boot.
    boot: String,
    orders: S,
}

/// The orders of an earlier run. A file that cannot be used is warned of once, and replaced by the next order.
pub(super) fn load(runtime_dir: &Path) -> Steerings {
    let path = runtime_dir.join(NAME);
    let kept = match read(&path) {
        Ok(kept) => kept,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Steerings::default(),
        Err(error) => {
            warn!(path = %path.display(), %error, "orders of an earlier run are lost: their file cannot be read");
            return Steerings::default();
        }
    };
    if boot().is_ok_and(|boot| boot == kept.boot) {
        return kept.orders;
    }
    if !kept.orders.is_empty() {
        info!("orders from before the boot are over");
    }
    let _ = fs::remove_file(path);
    Steerings::default()
}

/// Replaces the file as a whole; without orders there is none.
pub(super) fn save(runtime_dir: &Path, orders: &Steerings) -> io::Result<()> {
    let path = runtime_dir.join(NAME);
    let outcome = if orders.is_empty() { remove(&path) } else { write(runtime_dir, &path, orders) };
    outcome.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn read(path: &Path) -> io::Result<Kept<Steerings>> {
    if fs::metadata(path)?.len() > SIZE_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn write(runtime_dir: &Path, path: &Path, orders: &Steerings) -> io::Result<()> {
    let mut text = serde_json::to_vec(&Kept { boot: boot()?, orders })?;
    text.push(b'\n');
    let aside = aside(runtime_dir);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&aside)?;
    let written =
        file.write_all(&text).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&aside, path));
    written.inspect_err(|_| drop(fs::remove_file(&aside)))
}

/// Tidied up with other files of killed processes.
fn aside(runtime_dir: &Path) -> PathBuf {
    runtime_dir::next(runtime_dir, "steering")
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Order, Steered};
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("vrrpx-steering-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn some() -> Steerings {
        let order = Order { until: Some(u64::MAX), by: "root".into(), reason: Some("\"disk\"".into()) };
        let steered = Steered { priority: Some((7, order.clone())), ..Steered::default() };
        Steerings { instances: [("VI 1".to_owned(), steered)].into(), log: Some(("debug".into(), order)) }
    }

    #[test]
    fn orders_outlive_the_daemon_and_leave_no_file_at_their_end() {
        let folder = folder("kept");
        save(&folder, &some()).unwrap();
        assert_eq!(load(&folder), some());
        save(&folder, &Steerings::default()).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        assert_eq!(load(&folder), Steerings::default());
        save(&folder, &Steerings::default()).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_boot_ends_them() {
        let folder = folder("boot");
        save(&folder, &some()).unwrap();
        let path = folder.join(NAME);
        let text = fs::read_to_string(&path).unwrap().replace(&boot().unwrap(), "another");
        fs::write(&path, text).unwrap();
        assert_eq!(load(&folder), Steerings::default());
        assert!(!path.exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_is_none_counts_as_no_orders() {
        let folder = folder("bad");
        for bad in ["", "{", "[]", r#"{"boot":"x"}"#, r#"{"boot":1,"orders":{}}"#] {
            fs::write(folder.join(NAME), bad).unwrap();
            assert_eq!(load(&folder), Steerings::default(), "{bad}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_written_leaves_the_file_as_it_was() {
        let folder = folder("full");
        save(&folder, &some()).unwrap();
        // Opening it fails as on a full disk.
        fs::create_dir(aside(&folder)).unwrap();
        let error = save(&folder, &Steerings { log: None, ..some() }).unwrap_err().to_string();
        assert!(error.contains("steering.json: "), "{error}");
        assert_eq!(load(&folder), some());
        fs::remove_dir_all(folder).unwrap();
    }
}
