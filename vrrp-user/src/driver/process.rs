//! Runs of configured commands as their user.
//!
//! Enters: a command line, its user and its time limit. Leaves: how it ended. Absent: the meaning of the result. The
//! standard streams are `/dev/null`, except the outputs of a watched run.
//!
//! Every command leads its own process group. At its time limit the group gets SIGTERM and, [`GRACE`] later, SIGKILL. A
//! watched run is also limited to 256 processes. A command that cannot start for lack of descriptors, memory or
//! processes is retried within its time limit, unless it is watched: then the next run is the retry.

use std::ffi::{CStr, CString, OsString};
use std::fmt;
use std::future::pending;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::WaitStatus;
use nix::unistd::{Gid, Pid, Uid};
use tokio::time::{sleep, timeout};
use vrrp_ebpf::time::Timestamp;

pub use super::identity::{Identity, IdentityError};
use super::output::Output;
use super::process_limit::{self, PROCESSES_MAX};
use super::spawn::{Child, Plan, spawn};
use super::starter;
use crate::config::ScriptCommand;
use crate::driver::{clock, shortage};

/// From SIGTERM to SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);

/// Time from a start that failed for lack of resources to the next attempt.
const AGAIN: Duration = Duration::from_millis(200);

/// A command that can be run repeatedly.
#[derive(Clone, Debug)]
pub struct Job {
    pub command: ScriptCommand,
    pub identity: Identity,
    /// Time limit of one run.
    pub limit: Duration,
    /// Whether a run ends with the daemon, or when the future that waits for it is dropped. Otherwise it continues
    /// alone.
    pub leashed: bool,
}

/// One finished run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Run {
    pub end: End,
    pub lasted: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// With this exit code.
    Exited(i32),
    /// By this signal, which was not ours.
    Signalled(i32),
    /// Ended by the daemon at its time limit.
    TimedOut,
    /// Ended by the daemon for having too many processes.
    Crowded,
    /// Not started, with this errno.
    NotStarted(i32),
    /// Not started: it is there, and what its first line names is not.
    NoInterpreter,
}

impl End {
    pub fn is_success(self) -> bool {
        self == Self::Exited(0)
    }

    fn of_start(errno: Errno, command: &ScriptCommand) -> Self {
        // The kernel has just looked for it, so its file system answers.
        let is_there = |program: &Arc<str>| Path::new(&**program).exists();
        match (errno, command) {
            (Errno::ETIMEDOUT, _) => Self::TimedOut,
            (Errno::ENOENT, ScriptCommand::Direct(words)) if words.first().is_some_and(is_there) => {
                Self::NoInterpreter
            }
            _ => Self::NotStarted(errno as i32),
        }
    }

    /// It could not be started for lack of descriptors, memory or processes.
    pub fn is_shortage(self) -> bool {
        matches!(self, Self::NotStarted(errno) if shortage::is_shortage_of_fork(errno))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exited(code) => write!(f, "exit {code}"),
            Self::Signalled(signal) => match Signal::try_from(signal) {
                Ok(signal) => write!(f, "{signal}"),
                Err(_) => write!(f, "signal {signal}"),
            },
            Self::TimedOut => f.write_str("timed out"),
            Self::Crowded => write!(f, "more than {PROCESSES_MAX} processes"),
            Self::NotStarted(errno) => write!(f, "not started: {}", Errno::from_raw(errno).desc()),
            Self::NoInterpreter => f.write_str(
                "not started: the interpreter that its first line names does not exist (Windows line ends?)",
            ),
        }
    }
}

impl Job {
    /// Runs the command with `more` arguments after its own and `environment` added to the daemon's. Returns when no
    /// process of it is left.
    pub async fn run(&self, more: &[&str], environment: &[(&str, String)]) -> Run {
        let started = clock::now();
        let (end, lingering) = match self.begin(more, environment, None).await {
            Ok(child) => self.wait(child, pending()).await,
            Err(errno) => (End::of_start(errno, &self.command), None),
        };
        Self::ended(end, lingering, started).await
    }

    /// As [`Self::run`]; keeps the end of its output, and has its pid in `running` until it ends, otherwise 0.
    pub async fn run_printing(
        &self,
        more: &[&str],
        environment: &[(&str, String)],
        mut output: Option<&mut Output>,
        running: &AtomicI32,
    ) -> Run {
        let started = clock::now();
        if let Some(output) = output.as_deref_mut() {
            output.begin();
        }
        let (end, lingering) = match self.begin(more, environment, output.as_deref()).await {
            Ok(child) => {
                running.store(child.group().as_raw(), Relaxed);
                let drained = async {
                    match output {
                        Some(output) => match output.follow().await {},
                        None => pending().await,
                    }
                };
                self.wait(child, drained).await
            }
            Err(errno) => (End::of_start(errno, &self.command), None),
        };
        running.store(0, Relaxed);
        Self::ended(end, lingering, started).await
    }

    /// Starts the command, and tries again while this machine lacks what that takes.
    async fn begin(
        &self,
        more: &[&str],
        environment: &[(&str, String)],
        output: Option<&Output>,
    ) -> nix::Result<Child> {
        let started = clock::now();
        loop {
            match self.spawn(more, environment, output).await {
                Err(errno)
                    if shortage::is_shortage_of_fork(errno as i32)
                        && clock::now().since(started) < self.limit =>
                {
                    sleep(AGAIN).await;
                }
                begun => return begun,
            }
        }
    }

    async fn ended(end: End, lingering: Option<Lingering>, started: Timestamp) -> Run {
        let run = Run { end, lasted: clock::now().since(started) };
        if let Some(lingering) = lingering {
            lingering.end().await;
        }
        run
    }

    /// Runs the command as configured and watches it: keeps its output and counts its processes. Reports a limit as
    /// soon as it is reached; the caller ends the rest.
    pub async fn run_watched(&self, output: &mut Output) -> (Run, Option<Lingering>) {
        let started = clock::now();
        output.begin();
        let (end, lingering) = match self.spawn(&[], &[], Some(output)).await {
            Ok(child) => {
                let group = child.group();
                let process_limit = async {
                    tokio::select! {
                        () = process_limit::gathers(group) => {}
                        never = output.follow() => match never {},
                    }
                };
                match self.wait(child, process_limit).await {
                    // Background processes of a run may continue, up to the limit.
                    (_, None) if process_limit::is_left(group).await => {
                        (End::Crowded, Some(Lingering::of(group)))
                    }
                    ended => ended,
                }
            }
            Err(errno) => (End::of_start(errno, &self.command), None),
        };
        (Run { end, lasted: clock::now().since(started) }, lingering)
    }

    /// Starts the command within its time limit.
    async fn spawn(
        &self,
        more: &[&str],
        environment: &[(&str, String)],
        output: Option<&Output>,
    ) -> nix::Result<Child> {
        let words = words(&self.command, more);
        let added = environment.iter().map(|(name, value)| format!("{name}={value}").into());
        let environment = inherited(environment).chain(added).map(c_string).collect::<Result<_, _>>()?;
        let name = words.first().ok_or(Errno::ENOENT)?.clone();
        let foreign = self.identity.uid != Uid::effective() || self.identity.gid != Gid::effective();
        let mut plan = Plan {
            program: CString::default(),
            arguments: words.into_iter().map(c_string).collect::<Result<_, _>>()?,
            environment,
            user: foreign.then(|| (self.identity.uid, self.identity.gid, self.identity.groups.clone())),
            leashed: self.leashed,
            output: output.map(Output::to_writer).transpose()?,
        };
        let limit = self.limit.min(starter::LIMIT);
        let path = name.clone();
        let begun = starter::start(&name, self.leashed, limit, move |attempt| {
            plan.program = c_string(locate(&path).ok_or(Errno::ENOENT)?)?;
            match spawn(&plan, attempt) {
                // As execvp does: a script without an interpreter line runs in the shell.
                Err(Errno::ENOEXEC) => {
                    let script = std::mem::replace(&mut plan.program, SHELL.to_owned());
                    plan.arguments.splice(..1, [SHELL.to_owned(), script]);
                    spawn(&plan, attempt)
                }
                started => started,
            }
        });
        Child::new(begun.await?)
    }

    /// `crowded` completes when there are too many processes.
    async fn wait(&self, child: Child, crowded: impl Future<Output = ()>) -> (End, Option<Lingering>) {
        let kill_on_drop = KillOnDrop(self.leashed.then_some(child.group()));
        let limit = tokio::select! {
            biased;
            status = child.wait() => {
                kill_on_drop.release();
                let end = match status {
                    Ok(WaitStatus::Exited(_, code)) => End::Exited(code),
                    Ok(WaitStatus::Signaled(_, signal, _)) => End::Signalled(signal as i32),
                    Ok(_) => End::NotStarted(libc::ECHILD),
                    Err(errno) => End::NotStarted(errno as i32),
                };
                return (end, None);
            }
            () = sleep(self.limit) => End::TimedOut,
            () = crowded => End::Crowded,
        };
        let grace = if limit == End::Crowded { Duration::ZERO } else { GRACE };
        (limit, Some(Lingering { group: child.group(), child: Some(child), kill_on_drop, grace }))
    }
}

/// A run that has reached a limit and still has processes.
#[derive(Debug)]
pub struct Lingering {
    group: Pid,
    /// Its leader, if still to be reaped.
    child: Option<Child>,
    kill_on_drop: KillOnDrop,
    /// From SIGTERM to SIGKILL.
    grace: Duration,
}

impl Lingering {
    /// Background processes of an ended run, over the limit.
    fn of(group: Pid) -> Self {
        Self { group, child: None, kill_on_drop: KillOnDrop(Some(group)), grace: Duration::ZERO }
    }

    /// Ends the whole group and waits for its end.
    pub async fn end(self) {
        let gone = async {
            if let Some(child) = &self.child {
                let _ = child.wait().await;
            }
            while killpg(self.group, None).is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if !self.grace.is_zero() {
            let _ = killpg(self.group, Signal::SIGTERM);
        }
        if self.grace.is_zero() || timeout(self.grace, gone).await.is_err() {
            let _ = killpg(self.group, Signal::SIGKILL);
            if let Some(child) = &self.child {
                let _ = child.wait().await;
            }
        }
        self.kill_on_drop.release();
    }
}

/// Variables not passed on: those that change how a script's programs are loaded or split into words, as in keepalived,
/// and those that systemd set for the daemon alone.
const WITHHELD: [&str; 10] = [
    "IFS",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "JOURNAL_STREAM",
    "STATE_DIRECTORY",
];

const SHELL: &CStr = c"/bin/sh";

/// The words of a command, its program first.
fn words(command: &ScriptCommand, more: &[&str]) -> Vec<String> {
    let more = more.iter().map(|&word| word.to_owned());
    match command {
        ScriptCommand::Direct(words) => words.iter().map(|word| word.to_string()).chain(more).collect(),
        ScriptCommand::Shell(line) if more.len() == 0 => {
            vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_string()]
        }
        ScriptCommand::Shell(line) => {
            // The shell itself appends the arguments to the line, so they need no quoting.
            let line = format!("{line} \"$@\"");
            ["/bin/sh".to_owned(), "-c".to_owned(), line, "sh".to_owned()].into_iter().chain(more).collect()
        }
    }
}

/// The daemon's environment, without withheld and `replaced` variables.
fn inherited(replaced: &[(&str, String)]) -> impl Iterator<Item = OsString> {
    let handed = std::env::vars_os().filter(|(name, _)| {
        !WITHHELD.iter().any(|withheld| name == withheld) && !replaced.iter().any(|(other, _)| name == other)
    });
    handed.map(|(mut entry, value)| {
        entry.push("=");
        entry.push(value);
        entry
    })
}

/// The path of a program, searched as execvp does.
pub(super) fn locate(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name));
    }
    let folders = std::env::var_os("PATH")?;
    let is_program =
        |path: &PathBuf| path.metadata().is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0);
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(is_program)
}

/// Fails with EINVAL on a zero byte, which no argument can hold.
fn c_string(text: impl Into<OsString>) -> nix::Result<CString> {
    CString::new(text.into().into_vec()).map_err(|_| Errno::EINVAL)
}

/// Sends the group SIGTERM on drop. A command that ignores it is killed with the daemon.
#[derive(Debug)]
struct KillOnDrop(Option<Pid>);

impl KillOnDrop {
    fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGTERM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str, limit: Duration) -> Job {
        Job { command: ScriptCommand::Shell(line.into()), identity: Identity::daemon(), limit, leashed: true }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn reports_how_a_command_ended() {
        let limit = Duration::from_secs(10);
        assert_eq!(shell("exit 3", limit).run(&[], &[]).await.end, End::Exited(3));
        assert_eq!(shell("kill -9 $$", limit).run(&[], &[]).await.end, End::Signalled(9));
        let missing = Job { command: ScriptCommand::Direct(vec!["/nonexistent".into()]), ..shell("", limit) };
        assert_eq!(missing.run(&[], &[]).await.end, End::NotStarted(libc::ENOENT));
        assert_eq!(missing.run(&[], &[]).await.end.to_string(), "not started: No such file or directory");
        let script = std::env::temp_dir().join(format!("vrrpx-interpreter-{}", std::process::id()));
        std::fs::write(&script, "#!/bin/sh\r\nexit 0\r\n").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let of_windows = ScriptCommand::Direct(vec![script.to_str().unwrap().into()]);
        let of_windows = Job { command: of_windows, ..shell("", limit) };
        assert_eq!(of_windows.run(&[], &[]).await.end, End::NoInterpreter);
        std::fs::remove_file(script).unwrap();
        let empty = Job { command: ScriptCommand::Direct(vec![]), ..shell("", limit) };
        assert!(!empty.run(&[], &[]).await.end.is_success());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn arguments_and_environment_reach_a_shell_line_unchanged() {
        let job = shell("test \"$2\" = 'a \"b' -a \"$V\" = 'c d' -a $# = 2 #", Duration::from_secs(10));
        // The comment sign hides the arguments appended to the line; the positional parameters remain.
        let run = job.run(&["x", "a \"b"], &[("V", "c d".to_owned())]).await;
        assert_eq!(run.end, End::Exited(0));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn added_variables_replace_inherited_ones() {
        let job =
            shell("[ \"$PATH\" = /here -a -n \"$CARGO_MANIFEST_DIR\" ] && exit 5", Duration::from_secs(10));
        let run = job.run(&[], &[("PATH", "/here".to_owned())]).await;
        assert_eq!(run.end, End::Exited(5));
    }
}
