//! The process interface: the same command line, file and signals for keepalived, and for ours in its place.

mod dumps;
mod fifo;
mod options;
mod signals;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use vrrp_tests::clock::{poll, poll_each, until};
use vrrp_tests::daemon::vrrpx;
use vrrp_tests::lab::Node;
use vrrp_tests::netns::Namespace;
use vrrp_tests::process::{Directory, Process};

/// Enough for a start, an election and a signal.
const SOON: Duration = Duration::from_secs(15);

/// The program that is run with keepalived's command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Program {
    Theirs,
    Ours,
}

const BOTH: [Program; 2] = [Program::Ours, Program::Theirs];

impl Program {
    /// A command that takes keepalived's options.
    fn command(self, namespace: Option<&Namespace>) -> Result<Command> {
        let program = match self {
            Self::Theirs => PathBuf::from("keepalived"),
            Self::Ours => vrrpx(),
        };
        let mut command = match namespace {
            Some(namespace) => namespace.command(program)?,
            None => Command::new(program),
        };
        if self == Self::Ours {
            command.arg("keepalived");
        }
        Ok(command)
    }

    /// Starts it on a node, in the foreground.
    fn start(self, node: &Node, config: &str) -> Result<Started> {
        let folder = Directory::private()?;
        let mut command = self.at(node, config, folder.path())?;
        command.args(["-n", "-l", "-D"]);
        let process = Process::start(command, folder.path().join("log"))?;
        let started = Started { process, folder };
        started.pid()?;
        Ok(started)
    }

    /// Command with its files in `folder`.
    fn at(self, node: &Node, config: &str, folder: &Path) -> Result<Command> {
        let file = folder.join("keepalived.conf");
        fs::write(&file, config)?;
        let mut command = self.command(Some(&node.namespace))?;
        command.env("TMPDIR", folder).arg("-f").arg(file);
        command.arg("-p").arg(folder.join("parent.pid")).arg("-r").arg(folder.join("vrrp.pid"));
        Ok(command)
    }
}

/// A daemon running in the foreground. Dropped, it is killed.
struct Started {
    process: Process,
    folder: Directory,
}

impl Started {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Pid from the pid file that scripts read.
    fn pid(&self) -> Result<Pid> {
        written_pid(&self.path("parent.pid")).with_context(|| self.log())
    }

    /// Sends a signal by number, as scripts do with the output of `--signum`.
    fn signal(&self, number: i32) -> Result<()> {
        send(self.pid()?, number)
    }

    fn log(&self) -> String {
        self.process.log()
    }

    /// Sends a signal and waits until it has written a file, which must not exist before.
    fn ordered(&self, number: i32, name: &str) -> Result<String> {
        let path = self.path(name);
        ensure!(!path.exists(), "{} is there already", path.display());
        self.signal(number)?;
        // keepalived writes in place: a file that is read too early is incomplete.
        until(name, SOON, || path.exists())?;
        let mut before = String::new();
        poll_each(Duration::from_millis(100), "the end of a file", SOON, || {
            let now = fs::read_to_string(&path)?;
            let done = !now.is_empty() && now == before;
            before = now;
            Ok(done.then(|| before.clone()))
        })
    }

    /// Ends it by SIGTERM and returns the exit code.
    fn stop(&mut self) -> Result<Option<i32>> {
        self.signal(libc::SIGTERM)?;
        Ok(self.process.wait(SOON)?.code())
    }
}

/// Waits for a pid file.
fn written_pid(path: &Path) -> Result<Pid> {
    poll(&format!("{}", path.display()), SOON, || {
        let text = fs::read_to_string(path).unwrap_or_default();
        Ok(text.strip_suffix('\n').and_then(|text| text.parse().ok()).map(Pid::from_raw))
    })
}

/// Sends any signal, including real-time signals, which have no names.
fn send(pid: Pid, number: i32) -> Result<()> {
    // SAFETY: kill is a bare system call.
    let failed = unsafe { libc::kill(pid.as_raw(), number) } != 0;
    ensure!(!failed, "signal {number} to {pid}: {}", std::io::Error::last_os_error());
    Ok(())
}

fn is_running(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

/// Output of `--signum=WORD`.
fn signum(program: Program, word: &str) -> Result<i32> {
    let output = program.command(None)?.arg(format!("--signum={word}")).output()?;
    ensure!(output.status.success(), "--signum={word}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
