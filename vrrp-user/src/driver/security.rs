//! Whether somebody other than root could change what root is about to run.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use thiserror::Error;

use super::process::{Identity, locate};
use crate::config::ScriptCommand;

#[derive(Debug, Error)]
pub enum SecurityError {
    #[error("{script}: {component} {weakness}; {}", weakness.remedy(component))]
    Writable { script: String, component: String, weakness: Weakness },
    #[error("{script}: {error}")]
    Unreadable { script: String, error: io::Error },
    #[error("{script}: not found in PATH")]
    NotFound { script: String },
    #[error("{script}: not executable for `{user}`")]
    NotExecutable { script: String, user: String },
}

/// Why a part of a path cannot be trusted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Weakness {
    /// Belongs to this user, who may change it whatever its mode.
    Owner(u32),
    /// Writable by this group.
    Group(u32),
    /// Writable by anybody.
    World,
}

impl Weakness {
    fn remedy(self, component: &str) -> String {
        match self {
            Self::Owner(_) => format!("chown root {component}"),
            Self::Group(_) => format!("chmod g-w {component}"),
            Self::World => format!("chmod o-w {component}"),
        }
    }

    /// In a sticky folder nobody may replace what belongs to somebody else, so its mode does not matter.
    fn of(metadata: &fs::Metadata) -> Option<Self> {
        let mode = metadata.mode();
        let sticky = metadata.is_dir() && mode & libc::S_ISVTX != 0;
        if metadata.uid() != 0 {
            Some(Self::Owner(metadata.uid()))
        } else if sticky {
            None
        } else if mode & libc::S_IWOTH != 0 {
            Some(Self::World)
        } else if mode & libc::S_IWGRP != 0 && metadata.gid() != 0 {
            Some(Self::Group(metadata.gid()))
        } else {
            None
        }
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(uid) => write!(f, "belongs to user {uid}"),
            Self::Group(gid) => write!(f, "is writable by group {gid}"),
            Self::World => f.write_str("is writable by everybody"),
        }
    }
}

/// Checks every component of the path of the program that a command starts, as written and as its symbolic links
/// lead. Of a shell's line that is its first word, or the shell where that is no program (a builtin).
///
/// # Errors
/// The first component that somebody other than root may change, or that cannot be examined.
pub fn check(command: &ScriptCommand) -> Result<(), SecurityError> {
    match command {
        ScriptCommand::Direct(words) => {
            let name = words.first().map_or("", |word| &**word);
            let program = locate(name).ok_or_else(|| SecurityError::NotFound { script: name.to_owned() })?;
            check_path(&program)
        }
        ScriptCommand::Shell(line) => {
            check_path(Path::new("/bin/sh"))?;
            let program = line.split_whitespace().next().and_then(locate);
            program.map_or(Ok(()), |program| check_path(&program))
        }
    }
}

/// Checks that there is the program of a command, and that this user may run it. Of a shell's line nothing is known.
///
/// # Errors
/// It is not there, or the mode of its file forbids it.
pub fn is_runnable(command: &ScriptCommand, identity: &Identity) -> Result<(), SecurityError> {
    let ScriptCommand::Direct(words) = command else { return Ok(()) };
    let script = words.first().map(ToString::to_string).unwrap_or_default();
    let Some(program) = locate(&script) else { return Err(SecurityError::NotFound { script }) };
    match fs::metadata(&program) {
        Err(error) => Err(SecurityError::Unreadable { script, error }),
        Ok(file) if file.is_file() && identity.may_run(&file) => Ok(()),
        Ok(_) => Err(SecurityError::NotExecutable { script, user: identity.name.to_string() }),
    }
}

fn check_path(path: &Path) -> Result<(), SecurityError> {
    let script = path.display().to_string();
    let unreadable = |error| SecurityError::Unreadable { script: script.clone(), error };
    let target = fs::canonicalize(path).map_err(unreadable)?;
    let unreadable = |error| SecurityError::Unreadable { script: script.clone(), error };
    for component in path.ancestors().chain(target.ancestors()).filter(|part| !part.as_os_str().is_empty()) {
        let metadata = fs::symlink_metadata(component).map_err(unreadable)?;
        // A link has no mode of its own; the folders that it lies in and leads through are checked.
        if metadata.is_symlink() {
            continue;
        }
        if let Some(weakness) = Weakness::of(&metadata) {
            return Err(SecurityError::Writable {
                script,
                component: component.display().to_string(),
                weakness,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::path::PathBuf;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        /// In `/root`-like places: `/tmp` is sticky, which the check accepts.
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("vrrpx-security-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn script(&self, name: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn direct(path: &Path) -> ScriptCommand {
        ScriptCommand::Direct(vec![path.display().to_string().into()])
    }

    #[test]
    fn names_the_component_that_others_may_change() {
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let folder = Folder::new("modes");
        let script = folder.script("check.sh");
        check(&direct(&script)).unwrap();

        fs::set_permissions(&script, fs::Permissions::from_mode(0o757)).unwrap();
        let error = check(&direct(&script)).unwrap_err().to_string();
        let path = script.display();
        assert_eq!(error, format!("{path}: {path} is writable by everybody; chmod o-w {path}"));

        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(check(&direct(&script)).unwrap_err().to_string().contains("chmod o-w"));

        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
        chown(&script, Some(65534), None).unwrap();
        assert!(matches!(
            check(&direct(&script)),
            Err(SecurityError::Writable { weakness: Weakness::Owner(65534), .. })
        ));
    }

    #[test]
    fn follows_links_and_shell_lines() {
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let folder = Folder::new("links");
        let script = folder.script("real.sh");
        let link = folder.0.join("link.sh");
        symlink(&script, &link).unwrap();
        check(&direct(&link)).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o757)).unwrap();
        assert!(check(&direct(&link)).is_err());
        assert!(check(&ScriptCommand::Shell(format!("{} a; b", link.display()).into())).is_err());
        check(&ScriptCommand::Shell("[ -e /etc/passwd ]".into())).unwrap();
        assert!(check(&ScriptCommand::Direct(vec!["no-such-program".into()])).is_err());
    }
}
