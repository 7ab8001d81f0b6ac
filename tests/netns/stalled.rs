//! Parts of a daemon, or around it, that hang: the reader of its log, a thread.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, mkfifo};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::Directory;

use crate::{pair, standing, subject};

/// Period of the watchdog of the tests.
const WATCHDOG: Duration = Duration::from_millis(1600);

/// Fills a pipe to its last byte.
fn fill(pipe: &mut File) -> Result<()> {
    for piece in [&[b'x'; 4096][..], b"x"] {
        loop {
            match pipe.write(piece) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// What waits in a pipe.
fn drain(pipe: &mut File) -> String {
    let mut bytes = Vec::new();
    // It ends in an error, as the writer lives.
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// As with `vrrpx run 2>&1 | less`, at rest.
#[test]
#[needs("subject")]
fn a_daemon_whose_log_is_not_read_takes_over_and_obeys() -> Result<()> {
    pair(subject())?.check(|pair| {
        let log = pair.running(1)?.directory().join("log");
        fs::remove_file(&log)?;
        mkfifo(&log, Mode::S_IRWXU)?;
        let mut pipe = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&log)?;
        fill(&mut pipe)?;
        pair.restart(1, Signal::SIGTERM)?;
        // Nothing else is to wait for its end.
        fs::remove_file(&log)?;
        until("the daemon to be up", SETTLE, || pair.running(1).is_ok_and(|it| it.is_up()))?;
        pair.die(0)?;
        pair.wait_for_master(1)?;
        until("its status", SETTLE, || standing(pair, 1).is_ok_and(|(state, _)| state == "MASTER"))?;
        let announced = pair.running(1)?.ask(&["announce"])?;
        ensure!(announced.status.success(), "{announced:?}");
        let before = drain(&mut pipe);
        ensure!(before.bytes().all(|byte| byte == b'x'), "a line is in the full pipe");
        // The next lines report the loss.
        let announced = pair.running(1)?.ask(&["announce"])?;
        ensure!(announced.status.success(), "{announced:?}");
        let mut text = String::new();
        until("the number of lost lines", SETTLE, || {
            text += &drain(&mut pipe);
            text.contains("lines dropped here, as nothing has read stderr: ")
        })
    })
}

/// Stops one thread, while the others of its process run on.
struct Stopped(Pid);

impl Stopped {
    fn new(process: Pid, name: &str) -> Result<Self> {
        let is_it = |task: &fs::DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let tasks = fs::read_dir(format!("/proc/{process}/task"))?;
        let task = tasks.filter_map(Result::ok).find(is_it).context("there is no such thread")?;
        let thread = Pid::from_raw(task.file_name().to_string_lossy().parse()?);
        trace(libc::PTRACE_SEIZE, thread)?;
        trace(libc::PTRACE_INTERRUPT, thread)?;
        waitpid(thread, Some(WaitPidFlag::__WALL))?;
        Ok(Self(thread))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // Its process may have ended.
        let _ = trace(libc::PTRACE_DETACH, self.0);
    }
}

fn trace(request: libc::c_uint, thread: Pid) -> Result<()> {
    // SAFETY: these requests take no address.
    Errno::result(unsafe { libc::ptrace(request, thread.as_raw(), 0, 0) })?;
    Ok(())
}

/// Whether systemd is notified within this time.
fn is_fed(socket: &UnixDatagram, within: Duration) -> Result<bool> {
    let mut bytes = [0; 4096];
    let mut is_fed = false;
    socket.set_read_timeout(Some(within))?;
    let _ = until("a notification", within, || {
        let length = socket.recv(&mut bytes).unwrap_or(0);
        is_fed |= String::from_utf8_lossy(&bytes[..length]).lines().any(|line| line == "WATCHDOG=1");
        is_fed
    });
    Ok(is_fed)
}

#[test]
#[needs("ours")]
fn the_watchdog_is_not_fed_while_a_real_time_thread_hangs() -> Result<()> {
    let directory = Directory::new()?;
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    let environment = vec![
        ("NOTIFY_SOCKET", path.display().to_string()),
        ("WATCHDOG_USEC", WATCHDOG.as_micros().to_string()),
    ];
    let role = Role::new(Daemon::Vrrpx(vrrp_tests::daemon::Mode::Auto), Config::of(Instance::v3(200)));
    Pair::idle([Role { environment, ..role }])?.check(|pair| {
        pair.start(0)?;
        pair.wait_for_master(0)?;
        let pid = pair.running(0)?.process().pid();
        for (thread, word) in [("effect", "effect thread"), ("engine", "engine")] {
            ensure!(is_fed(&socket, SETTLE)?, "the watchdog is not fed");
            let stopped = Stopped::new(pid, thread)?;
            let line = format!("the {word} does not respond");
            until("the line in the log", SETTLE, || {
                pair.running(0).is_ok_and(|it| it.log().contains(&line))
            })?;
            // That of before may still wait.
            while is_fed(&socket, Duration::from_millis(1))? {}
            ensure!(!is_fed(&socket, WATCHDOG)?, "the watchdog is fed while the {word} hangs");
            drop(stopped);
        }
        ensure!(is_fed(&socket, SETTLE)?, "the watchdog is not fed again");
        Ok(())
    })
}
