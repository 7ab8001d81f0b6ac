//! Check that only root can change the programs that root runs.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::process::{Identity, locate};
use crate::config::ScriptCommand;

#[derive(Debug, Error)]
pub enum SecurityError {
    #[error("{script}: {component} {weakness}; {}", weakness.remedy(component))]
    Writable { script: String, component: String, weakness: PathWeakness },
    #[error("{script}: {error}")]
    Unreadable { script: String, error: io::Error },
    #[error("{script}: not found in PATH")]
    NotFound { script: String },
    #[error("{script}: not executable for `{user}`")]
    NotExecutable { script: String, user: String },
    #[error("`{line}` is a shell command line, which may run anything; configure a script file instead")]
    Shell { line: String },
}

/// Why part of a path is not secure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PathWeakness {
    /// Owned by this user, who may change it whatever its mode.
    Owner(u32),
    /// Writable by this group.
    Group(u32),
    /// Writable by all users.
    World,
}

impl PathWeakness {
    pub fn remedy(self, component: &str) -> String {
        match self {
            Self::Owner(_) => format!("chown root {component}"),
            Self::Group(_) => format!("chmod g-w {component}"),
            Self::World => format!("chmod o-w {component}"),
        }
    }

    /// In a sticky folder users can replace only their own files, so its mode does not matter.
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

impl fmt::Display for PathWeakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(uid) => write!(f, "belongs to user {uid}"),
            Self::Group(gid) => write!(f, "is writable by group {gid}"),
            Self::World => f.write_str("is world-writable"),
        }
    }
}

/// Programs that run a file named by an argument, or a command that follows their own arguments.
const RUNNERS: [&str; 19] = [
    "busybox", "chrt", "env", "ionice", "lua", "nice", "node", "nohup", "perl", "php", "python", "ruby",
    "setsid", "stdbuf", "sudo", "su", "taskset", "timeout", "xargs",
];

const SHELLS: [&str; 11] =
    ["ash", "bash", "csh", "dash", "fish", "ksh", "mksh", "rbash", "sh", "tcsh", "zsh"];

/// Checks every path component of the program that a command starts, and of each link on the way; likewise for a script
/// that it passes to a shell or another interpreter.
///
/// # Errors
/// The first component that a user other than root may change, or that cannot be examined; or a shell command line,
/// which may run anything.
pub fn check(command: &ScriptCommand) -> Result<(), SecurityError> {
    match command {
        ScriptCommand::Direct(words) => {
            let name = words.first().map_or("", |word| &**word);
            let program = locate(name).ok_or_else(|| SecurityError::NotFound { script: name.to_owned() })?;
            check_program(&program)?;
            check_arguments(&program, words.get(1..).unwrap_or_default())
        }
        // `</FILE` runs nothing: it asks whether the file can be opened.
        ScriptCommand::Shell(line) if opens_a_file(line) => Ok(()),
        ScriptCommand::Shell(line) => Err(SecurityError::Shell { line: line.to_string() }),
    }
}

fn opens_a_file(line: &str) -> bool {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+:@".contains(letter);
    line.strip_prefix("</").is_some_and(|path| path.chars().all(is_plain))
}

/// Checks the files that an interpreter is given to run.
fn check_arguments(program: &Path, arguments: &[Arc<str>]) -> Result<(), SecurityError> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let (is_shell, is_runner) = (SHELLS.contains(&name), RUNNERS.contains(&name));
    for (index, argument) in arguments.iter().enumerate().filter(|_| is_shell || is_runner) {
        let is_option = argument.starts_with(['-', '+']);
        if is_shell && is_option && !argument.starts_with("--") && argument.contains('c') {
            let words: Vec<&str> = std::iter::once(name).chain(arguments.iter().map(|it| &**it)).collect();
            return Err(SecurityError::Shell { line: words.join(" ") });
        }
        if is_option || (is_runner && argument.contains('=')) {
            continue;
        }
        let file = if is_shell { Some(argument.to_string().into()) } else { locate(argument) };
        let Some(file) = file.filter(|file| file.is_file()) else { continue };
        check_program(&file)?;
        return check_arguments(&file, arguments.get(index + 1..).unwrap_or_default());
    }
    Ok(())
}

/// Checks a program and the interpreter named in its first line.
fn check_program(path: &Path) -> Result<(), SecurityError> {
    check_path(path)?;
    let mut head = [0; 256];
    let length = File::open(path).and_then(|mut file| file.read(&mut head)).unwrap_or(0);
    let text = String::from_utf8_lossy(head.get(..length).unwrap_or_default());
    let Some(line) = text.strip_prefix("#!").and_then(|text| text.lines().next()) else { return Ok(()) };
    let mut words = line.split_whitespace();
    let Some(interpreter) = words.next() else { return Ok(()) };
    check_path(Path::new(interpreter))?;
    match words.next().filter(|_| interpreter.ends_with("/env")).and_then(locate) {
        Some(named) => check_path(&named),
        None => Ok(()),
    }
}

/// Checks that the program of a command exists and that this user may run it. Shell command lines always pass.
///
/// # Errors
/// The file is missing, or its mode forbids it.
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

/// The kernel's limit (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Resolves the path as the kernel does: component by component, following links.
fn check_path(path: &Path) -> Result<(), SecurityError> {
    let script = path.display().to_string();
    let unreadable = |error| SecurityError::Unreadable { script: script.clone(), error };
    let mut rest: Vec<PathBuf> = vec![std::path::absolute(path).map_err(unreadable)?];
    let (mut at, mut links, mut is_shared) = (PathBuf::new(), 0, false);
    while let Some(next) = rest.pop() {
        let mut parts = next.components();
        let Some(part) = parts.next() else { continue };
        rest.push(parts.as_path().to_owned());
        match part {
            Component::CurDir => continue,
            // Its folder was checked on the way here.
            Component::ParentDir => {
                at.pop();
                continue;
            }
            Component::RootDir => at = PathBuf::from("/"),
            other => at.push(other),
        }
        let metadata = fs::symlink_metadata(&at).map_err(unreadable)?;
        // A link has no mode of its own: any user who can write to its folder can replace it, or in a sticky folder its
        // owner.
        let weakness = match metadata.is_symlink() {
            true => (is_shared && metadata.uid() != 0).then(|| PathWeakness::Owner(metadata.uid())),
            false => PathWeakness::of(&metadata),
        };
        if let Some(weakness) = weakness {
            return Err(SecurityError::Writable { script, component: at.display().to_string(), weakness });
        }
        if metadata.is_symlink() {
            links += 1;
            if links > LINKS_MAX {
                return Err(unreadable(io::Error::from_raw_os_error(libc::ELOOP)));
            }
            rest.push(fs::read_link(&at).map_err(unreadable)?);
            at.pop();
        } else {
            is_shared = metadata.mode() & (libc::S_IWGRP | libc::S_IWOTH) != 0;
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
        /// `/tmp` is sticky, which the check accepts.
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
        assert_eq!(error, format!("{path}: {path} is world-writable; chmod o-w {path}"));

        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(check(&direct(&script)).unwrap_err().to_string().contains("chmod o-w"));

        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
        chown(&script, Some(65534), None).unwrap();
        assert!(matches!(
            check(&direct(&script)),
            Err(SecurityError::Writable { weakness: PathWeakness::Owner(65534), .. })
        ));
    }

    fn words(words: &[&str]) -> ScriptCommand {
        ScriptCommand::Direct(words.iter().map(|word| (*word).into()).collect())
    }

    #[test]
    fn every_link_on_the_way_counts() {
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let folder = Folder::new("links");
        let script = folder.script("real.sh");
        let open = folder.0.join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let link = |name: &str, target: &Path| {
            let link = folder.0.join(name);
            symlink(target, &link).unwrap();
            link
        };
        let (good, relative) = (link("good", &script), link("relative", Path::new("./good")));
        for path in [&good, &relative, &folder.0.join("./relative"), Path::new("/bin/sh")] {
            check(&direct(path)).unwrap();
        }
        symlink(&script, open.join("back")).unwrap();
        let chain = link("chain", &open.join("back"));
        let through = open.join("../real.sh");
        let (round, name) = (link("round", &folder.0.join("round")), open.display());
        for path in [&chain, &through, &link("second", &chain), &link("beside", Path::new("open/../real.sh"))]
        {
            let error = check(&direct(path)).unwrap_err().to_string();
            assert!(error.ends_with(&format!("{name} is world-writable; chmod o-w {name}")), "{error}");
        }
        assert!(check(&direct(&round)).unwrap_err().to_string().contains("symbolic links"));

        // In a sticky folder the owner of a link may replace it.
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        check(&direct(&chain)).unwrap();
        std::os::unix::fs::lchown(open.join("back"), Some(65534), None).unwrap();
        let error = check(&direct(&chain)).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}/back belongs to user 65534")), "{error}");

        fs::set_permissions(&script, fs::Permissions::from_mode(0o757)).unwrap();
        assert!(check(&direct(&good)).is_err());
    }

    #[test]
    fn a_line_for_a_shell_may_run_anything() {
        check(&ScriptCommand::Shell("</run/active".into())).unwrap();
        for line in [
            "</run/active; /open/p",
            "</run/$(/open/p)",
            "cd /open && ./p",
            "FOO=1 /open/p",
            "true; /open/p",
            "{ /open/p; }",
            "exec /open/p;",
        ] {
            let expected = format!(
                "`{line}` is a shell command line, which may run anything; configure a script file instead"
            );
            assert_eq!(check(&ScriptCommand::Shell(line.into())).unwrap_err().to_string(), expected);
        }
        for line in
            [&["/bin/sh", "-c", "true"][..], &["sh", "-ec", "true"], &["env", "A=1", "sh", "-c", "true"]]
        {
            assert!(matches!(check(&words(line)), Err(SecurityError::Shell { .. })), "{line:?}");
        }
    }

    #[test]
    fn what_an_interpreter_runs_counts() {
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let folder = Folder::new("interpreters");
        let (good, bad) = (folder.script("good"), folder.script("bad"));
        fs::set_permissions(&bad, fs::Permissions::from_mode(0o757)).unwrap();
        let (good, bad) = (good.display().to_string(), bad.display().to_string());
        for before in
            [&["/bin/sh"][..], &["sh", "-e"], &["nice", "-n", "5"], &["env", "A=1", "timeout", "5", "sh"]]
        {
            check(&words(&[before, &[&good, &bad]].concat())).unwrap();
            assert!(check(&words(&[before, &[&bad]].concat())).is_err(), "{before:?}");
        }
        // Not an interpreter: its argument is not run.
        check(&words(&["test", "-e", &bad])).unwrap();
        let named = folder.script("named");
        fs::write(&named, format!("#!{bad} -x\n")).unwrap();
        assert!(check(&direct(&named)).is_err(), "its interpreter may be changed");
        fs::write(&named, "#!/usr/bin/env sh\n").unwrap();
        check(&direct(&named)).unwrap();
        assert!(check(&words(&["no-such-program"])).is_err());
    }
}
