//! Runs one command of the configuration as its user.
//!
//! Enters: a command line, who runs it and for how long at most. Leaves: how it ended. Absent: what that means for
//! anybody, and any output: all three standard streams are `/dev/null`, so a flood of output costs nothing.
//!
//! Every command leads a process group of its own. At its time limit the group gets SIGTERM and, [`GRACE`] later,
//! SIGKILL.

use std::fmt;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Gid, Group, Pid, Uid, User};
use thiserror::Error;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::config::{ScriptCommand, ScriptUser};
use crate::driver::clock;

/// From SIGTERM to SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);

/// Runs scripts that name no user, where it exists; as in keepalived.
const DEFAULT_USER: &str = "keepalived_script";

/// A command that may be run any number of times.
#[derive(Clone, Debug)]
pub struct Job {
    pub command: ScriptCommand,
    pub identity: Identity,
    /// Longest time that one run may take.
    pub limit: Duration,
    /// Whether a run ends with the daemon, or with the future that waits for it. Otherwise it goes on alone.
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
    /// Ended by us at its limit.
    TimedOut,
    /// It could not be started, for this errno.
    NotStarted(i32),
}

impl End {
    pub fn is_success(self) -> bool {
        self == Self::Exited(0)
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
            Self::NotStarted(errno) => write!(f, "not started: {}", Errno::from_raw(errno).desc()),
        }
    }
}

impl Job {
    /// Runs the command with `more` arguments after its own and `environment` added to the daemon's.
    pub async fn run(&self, more: &[&str], environment: &[(&str, String)]) -> Run {
        let started = clock::now();
        let end = match self.spawn(more, environment) {
            Ok(child) => self.wait(child).await,
            Err(error) => End::NotStarted(error.raw_os_error().unwrap_or(libc::EINVAL)),
        };
        Run { end, lasted: clock::now().since(started) }
    }

    fn spawn(&self, more: &[&str], environment: &[(&str, String)]) -> io::Result<Child> {
        let mut command = command_line(&self.command, more)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .envs(environment.iter().map(|(name, value)| (name, value)));
        for name in WITHHELD {
            command.env_remove(name);
        }
        if self.identity.uid != Uid::effective() || self.identity.gid != Gid::effective() {
            // The standard library clears the supplementary groups when it is given a user.
            command.uid(self.identity.uid.as_raw()).gid(self.identity.gid.as_raw());
        }
        let leashed = self.leashed;
        // SAFETY: `detach` makes system calls only, which is all that is allowed between fork and exec.
        unsafe { command.pre_exec(move || detach(leashed)) };
        command.spawn()
    }

    async fn wait(&self, mut child: Child) -> End {
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let leash = Leash(group.filter(|_| self.leashed));
        let end = match timeout(self.limit, child.wait()).await {
            Ok(Ok(status)) => {
                use std::os::unix::process::ExitStatusExt;
                status.code().map_or_else(|| End::Signalled(status.signal().unwrap_or(0)), End::Exited)
            }
            Ok(Err(error)) => End::NotStarted(error.raw_os_error().unwrap_or(libc::ECHILD)),
            Err(_) => {
                if let Some(group) = group {
                    end_group(group, &mut child).await;
                }
                End::TimedOut
            }
        };
        leash.release();
        end
    }
}

/// Who runs a command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    pub uid: Uid,
    pub gid: Gid,
    pub name: Arc<str>,
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum IdentityError {
    #[error("there is no user `{0}`")]
    User(Arc<str>),
    #[error("there is no group `{0}`")]
    Group(Arc<str>),
    #[error("cannot look up `{0}`: {1}")]
    Lookup(Arc<str>, Errno),
}

impl Identity {
    pub fn is_root(&self) -> bool {
        self.uid.is_root()
    }

    /// The user of the script itself, else of the whole configuration, else `keepalived_script` where that exists,
    /// else whoever runs the daemon.
    pub fn resolve(own: Option<&ScriptUser>, global: Option<&ScriptUser>) -> Result<Self, IdentityError> {
        if let Some(user) = own.or(global) {
            return Self::of(user);
        }
        let default = ScriptUser { name: DEFAULT_USER.into(), group: None };
        Ok(Self::of(&default).unwrap_or_else(|_| Self::daemon()))
    }

    pub fn daemon() -> Self {
        let uid = Uid::effective();
        let name = if uid.is_root() { "root".into() } else { uid.to_string().into() };
        Self { uid, gid: Gid::effective(), name }
    }

    fn of(user: &ScriptUser) -> Result<Self, IdentityError> {
        let found = User::from_name(&user.name)
            .map_err(|errno| IdentityError::Lookup(Arc::clone(&user.name), errno))?
            .ok_or_else(|| IdentityError::User(Arc::clone(&user.name)))?;
        let gid = match &user.group {
            None => found.gid,
            Some(group) => {
                Group::from_name(group)
                    .map_err(|errno| IdentityError::Lookup(Arc::clone(group), errno))?
                    .ok_or_else(|| IdentityError::Group(Arc::clone(group)))?
                    .gid
            }
        };
        Ok(Self { uid: found.uid, gid, name: Arc::clone(&user.name) })
    }
}

/// Not handed on: what would change how a script's programs are loaded or split into words, as in keepalived, and
/// what systemd meant for the daemon alone.
const WITHHELD: [&str; 9] = [
    "IFS",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "JOURNAL_STREAM",
];

fn command_line(command: &ScriptCommand, more: &[&str]) -> io::Result<Command> {
    match command {
        ScriptCommand::Direct(words) => {
            let (program, arguments) =
                words.split_first().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
            let mut command = Command::new(&**program);
            command.args(arguments.iter().map(|word| &**word)).args(more);
            Ok(command)
        }
        ScriptCommand::Shell(line) => {
            let mut command = Command::new("/bin/sh");
            if more.is_empty() {
                command.arg("-c").arg(&**line);
            } else {
                // The shell puts the arguments behind the line by itself, so they need no quoting.
                command.arg("-c").arg(format!("{line} \"$@\"")).arg("sh").args(more);
            }
            Ok(command)
        }
    }
}

/// Runs in the child, just before exec: no descriptor, scheduling class or signal handler of the daemon goes along.
fn detach(leashed: bool) -> io::Result<()> {
    let ordinary = libc::sched_param { sched_priority: 0 };
    // SAFETY: plain system calls on values that live here. Failure of the first (an older kernel than 5.11) leaves
    // descriptors that are close-on-exec by themselves; the daemon's thread is of ordinary class, so failure of the
    // second changes nothing.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const ordinary);
        if leashed && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Waits until nobody of the group is left, and sees to it after [`GRACE`].
async fn end_group(group: Pid, child: &mut Child) {
    let _ = killpg(group, Signal::SIGTERM);
    let gone = async {
        let _ = child.wait().await;
        while killpg(group, None).is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(GRACE, gone).await.is_err() {
        let _ = killpg(group, Signal::SIGKILL);
        let _ = child.wait().await;
    }
}

/// Ends the group when the one who waits is dropped.
struct Leash(Option<Pid>);

impl Leash {
    fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for Leash {
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
    async fn tells_how_a_command_ended() {
        let limit = Duration::from_secs(10);
        assert_eq!(shell("exit 3", limit).run(&[], &[]).await.end, End::Exited(3));
        assert_eq!(shell("kill -9 $$", limit).run(&[], &[]).await.end, End::Signalled(9));
        let missing = Job { command: ScriptCommand::Direct(vec!["/nonexistent".into()]), ..shell("", limit) };
        assert_eq!(missing.run(&[], &[]).await.end, End::NotStarted(libc::ENOENT));
        assert_eq!(missing.run(&[], &[]).await.end.to_string(), "not started: No such file or directory");
        let empty = Job { command: ScriptCommand::Direct(vec![]), ..shell("", limit) };
        assert!(!empty.run(&[], &[]).await.end.is_success());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn arguments_and_environment_reach_a_shell_line_unchanged() {
        let job = shell("test \"$2\" = 'a \"b' -a \"$V\" = 'c d' -a $# = 2 #", Duration::from_secs(10));
        // The comment sign swallows the appended arguments of the line; the positional ones stay.
        let run = job.run(&["x", "a \"b"], &[("V", "c d".to_owned())]).await;
        assert_eq!(run.end, End::Exited(0));
    }

    #[test]
    fn users_are_looked_up_by_name() {
        let user =
            |name: &str, group: Option<&str>| ScriptUser { name: name.into(), group: group.map(Into::into) };
        let nobody = Identity::resolve(Some(&user("nobody", None)), Some(&user("root", None))).unwrap();
        assert!(!nobody.is_root() && nobody.gid.as_raw() != 0);
        let mixed = Identity::resolve(None, Some(&user("nobody", Some("root")))).unwrap();
        assert!(!mixed.is_root() && mixed.gid.as_raw() == 0);
        let unknown = Identity::resolve(Some(&user("no such user", None)), None).unwrap_err();
        assert_eq!(unknown.to_string(), "there is no user `no such user`");
    }
}
