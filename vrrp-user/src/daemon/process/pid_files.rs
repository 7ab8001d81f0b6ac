//! Pid files, at the paths that keepalived's users know.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::options::KeepalivedPaths;
use crate::config::ProcessSettings;
use crate::driver::ownership;

const FOLDER: &str = "/run";
const FOLDER_OF_ITS_OWN: &str = "/run/keepalived";

/// Paths of the pid files.
pub fn paths(places: &KeepalivedPaths, process: &ProcessSettings) -> [PathBuf; 2] {
    let suffix = process.instance.as_ref().map_or_else(String::new, |name| format!("_{name}"));
    let by_default = |name: &str| {
        let folder = Path::new(if process.pid_folder { FOLDER_OF_ITS_OWN } else { FOLDER });
        folder.join(format!("{name}{suffix}.pid"))
    };
    let vrrp = if process.pid_folder { "vrrp" } else { "keepalived_vrrp" };
    [
        places.pid.clone().unwrap_or_else(|| by_default("keepalived")),
        places.vrrp_pid.clone().unwrap_or_else(|| by_default(vrrp)),
    ]
}

/// When dropped, it removes the files.
#[derive(Debug, Default)]
pub struct PidFiles(Vec<PathBuf>);

#[derive(Debug, Error)]
pub enum PidFileError {
    #[error("{}: {name} (pid {pid}) runs already; stop it, or use other files with -p and -r", .path.display())]
    Taken { path: PathBuf, name: String, pid: u32 },
    #[error("{}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl PidFiles {
    /// Writes them all, or none.
    ///
    /// # Errors
    /// One names a running daemon, or cannot be written.
    pub fn write(paths: &[PathBuf]) -> Result<Self, PidFileError> {
        for path in paths {
            if let Some((pid, name)) = running(path) {
                return Err(PidFileError::Taken { path: path.clone(), name, pid });
            }
        }
        let mut files = Self::default();
        for path in paths {
            if let Some(folder) = path.parent().filter(|folder| *folder == Path::new(FOLDER_OF_ITS_OWN)) {
                fs::create_dir_all(folder)
                    .map_err(|error| PidFileError::Io { path: folder.to_owned(), error })?;
            }
            write(path).map_err(|error| PidFileError::Io { path: path.clone(), error })?;
            files.0.push(path.clone());
        }
        Ok(files)
    }
}

impl Drop for PidFiles {
    fn drop(&mut self) {
        if ownership::is_ours() {
            for path in &self.0 {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Readable by every user, whatever the umask.
fn write(path: &Path) -> io::Result<()> {
    fs::write(path, format!("{}\n", std::process::id()))?;
    fs::set_permissions(path, Permissions::from_mode(0o644))
}

/// The running daemon of ours or keepalived's that a file names. Process ids are reused, so its program is checked.
fn running(path: &Path) -> Option<(u32, String)> {
    let pid: u32 = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned();
    let is_ours = fs::read_link(format!("/proc/{pid}/exe")).ok() == std::env::current_exe().ok();
    let daemon = is_ours || name.starts_with("keepalived") || name == "vrrpx";
    (daemon && pid != std::process::id()).then_some((pid, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_keepalived_s() {
        let named = KeepalivedPaths { pid: Some("/p".into()), ..KeepalivedPaths::default() };
        for (places, pid_folder, instance, expected) in [
            (KeepalivedPaths::default(), false, None, ["/run/keepalived.pid", "/run/keepalived_vrrp.pid"]),
            (
                KeepalivedPaths::default(),
                true,
                None,
                ["/run/keepalived/keepalived.pid", "/run/keepalived/vrrp.pid"],
            ),
            (
                KeepalivedPaths::default(),
                true,
                Some("blue".into()),
                ["/run/keepalived/keepalived_blue.pid", "/run/keepalived/vrrp_blue.pid"],
            ),
            (named, true, None, ["/p", "/run/keepalived/vrrp.pid"]),
        ] {
            let process = ProcessSettings { pid_folder, instance, ..ProcessSettings::default() };
            assert_eq!(paths(&places, &process), expected.map(PathBuf::from));
        }
    }

    #[test]
    fn files_come_and_go_with_the_daemon() {
        let path = |name: &str| std::env::temp_dir().join(format!("vrrpx-{name}-{}", std::process::id()));
        let paths = [path("one.pid"), path("two.pid")];
        // Left by a process that has ended: process ids are at most 2^22.
        fs::write(&paths[0], "4194305\n").unwrap();
        let files = PidFiles::write(&paths).unwrap();
        for path in &paths {
            assert_eq!(fs::read_to_string(path).unwrap(), format!("{}\n", std::process::id()));
        }
        drop(files);
        assert!(paths.iter().all(|path| !path.exists()));
        let error = PidFiles::write(&[PathBuf::from("/nonexistent/pid")]).unwrap_err().to_string();
        assert!(error.starts_with("/nonexistent/pid: "), "{error}");
    }
}
