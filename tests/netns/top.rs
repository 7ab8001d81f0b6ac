//! `vrrpx top` on a terminal of tmux, with a daemon that goes and comes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vrrp_tests::clock::{poll, until};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, vrrpx};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role};
use vrrp_tests::process::tree;

/// A reading comes each second.
const PATIENCE: Duration = Duration::from_secs(15);

/// A server of tmux with one window; ends when dropped.
struct Screen {
    socket: String,
}

impl Screen {
    fn start(command: &str) -> Result<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Relaxed);
        let screen = Self { socket: format!("vrrpx-{}-{number}", std::process::id()) };
        screen.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", command])?;
        Ok(screen)
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).args(arguments).env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        let output = command.stdin(Stdio::null()).output().context("cannot run tmux")?;
        ensure!(output.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn keys(&self, keys: &str) -> Result<()> {
        self.tmux(&["send-keys", keys]).map(drop)
    }

    /// Waits until the screen has all of these words, and none of `without`.
    fn shows(&self, words: &[&str], without: &[&str]) -> Result<String> {
        let mut text = String::new();
        let shown = poll(&format!("{words:?}"), PATIENCE, || {
            text = self.tmux(&["capture-pane", "-p"])?;
            let has = |word: &&str| text.contains(*word);
            Ok((words.iter().all(has) && !without.iter().any(has)).then_some(()))
        });
        shown.with_context(|| text.clone())?;
        Ok(text)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _gone = self.tmux(&["kill-server"]);
    }
}

#[test]
#[needs("ours", "tmux")]
fn the_screen_follows_the_daemon_and_leaves_the_terminal_as_it_was() -> Result<()> {
    let role = |priority| Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(Instance::v3(priority)));
    Pair::settled_in_turn([role(200), role(100)])?.check(|pair| {
        let directory = pair.running(1)?.directory().display().to_string();
        let top = format!("{} top --runtime-dir {directory}", vrrpx().display());
        let screen = Screen::start(&format!(
            "sh -c 'echo before; {top}; echo code $?; read _; {top}; echo code $?; exec sleep 1000'"
        ))?;
        screen.shows(&["VI_1", "BACKUP", "10.77.0.1 is master", "MARGIN", "no problem"], &["before"])?;
        // Ten adverts a second and their gaps are plotted once there are two readings.
        screen.shows(&["%"], &[])?;
        screen.tmux(&["resize-window", "-x", "200", "-y", "50"])?;
        screen.shows(&["WHY", "events"], &[])?;
        screen.keys("Enter")?;
        screen.shows(&["GAPS of 10.77.0.1", "memory locked"], &["INSTANCE  STATE   PRIO"])?;
        screen.keys("Escape")?;
        pair.running(1)?.process().signal(Signal::SIGSTOP)?;
        screen.shows(&["NO ANSWER for 7 s: the daemon is stopped or hangs; all below is of"], &[])?;
        pair.running(1)?.process().signal(Signal::SIGCONT)?;
        screen.shows(&["VI_1"], &["NO ANSWER"])?;
        pair.running(1)?.stop()?;
        screen.shows(&["NO DAEMON since"], &[])?;
        pair.restart(1, Signal::SIGTERM)?;
        screen.shows(&["another daemon answers"], &["NO DAEMON"])?;
        screen.keys("q")?;
        screen.shows(&["before", "code 0"], &[])?;
        screen.keys("Enter")?;
        // The second one is ended by a signal.
        screen.shows(&["VI_1"], &["before"])?;
        let pids = screen.tmux(&["list-panes", "-F", "#{pane_pid}"])?;
        let shell = Pid::from_raw(pids.trim().parse()?);
        let child = tree(shell).into_iter().next_back().context("no child")?;
        kill(child, Signal::SIGTERM)?;
        screen.shows(&["before", "code 0", "code 143"], &[])?;
        Ok(())
    })
}

/// As when its window is closed, or the connection to the host is lost.
#[test]
#[needs("ours", "tmux")]
fn it_ends_with_its_terminal() -> Result<()> {
    let role = Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(Instance::v3(200)));
    Pair::settled([role])?.check(|pair| {
        let directory = pair.running(0)?.directory().display().to_string();
        let screen = Screen::start(&format!("{} top --runtime-dir {directory}", vrrpx().display()))?;
        screen.shows(&["VI_1"], &[])?;
        let pids = screen.tmux(&["list-panes", "-F", "#{pane_pid}"])?;
        let all = tree(Pid::from_raw(pids.trim().parse()?));
        ensure!(!all.is_empty(), "no process on the terminal");
        drop(screen);
        let has_ended = |pid: &Pid| !Path::new(&format!("/proc/{pid}/fd/0")).exists();
        until("the end of all processes", PATIENCE, || all.iter().all(has_ended))
    })
}
