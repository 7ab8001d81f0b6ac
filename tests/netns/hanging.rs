//! Files that block their reader: the daemon continues, answers, and ends.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use vrrp_tests::clock::{Deadline, elapse, until};
use vrrp_tests::daemon::{Config, Daemon, Instance, vrrpx};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::starvation::Starvation;

/// Time of an answer of a daemon that is not blocked, on a busy machine.
const SOON: Duration = Duration::from_secs(4);

/// A file system without an answering server, like NFS without its server.
pub(crate) struct DeadMount {
    path: PathBuf,
    /// Closing it wakes the blocked readers.
    _server: File,
}

impl DeadMount {
    pub(crate) fn over(path: &Path) -> Result<Self> {
        let server = File::options().read(true).write(true).open("/dev/fuse").context("/dev/fuse")?;
        let options = format!("fd={},rootmode=40755,user_id=0,group_id=0", server.as_raw_fd());
        fs::create_dir_all(path)?;
        mount(Some("dead"), path, Some("fuse"), MsFlags::empty(), Some(&*options))?;
        Ok(Self { path: path.to_owned(), _server: server })
    }
}

impl Drop for DeadMount {
    fn drop(&mut self) {
        let _ = umount2(&self.path, MntFlags::MNT_FORCE | MntFlags::MNT_DETACH);
    }
}

fn instance(priority: u8) -> Instance {
    Instance::v3(priority)
}

fn pair() -> Result<Pair> {
    let daemon = Daemon::Vrrpx(vrrp_tests::daemon::Mode::Auto);
    Pair::settled([200, 100].map(|priority| Role::new(daemon, Config::of(instance(priority)))))
}

/// Begins a reload of node 0 with this configuration.
fn begin_reload(pair: &mut Pair, text: &str) -> Result<Child> {
    let directory = pair.running(0)?.directory().to_owned();
    fs::write(directory.join("keepalived.conf"), text)?;
    let mut command = Command::new(vrrpx());
    command.args(["reload", "--runtime-dir"]).arg(directory).stderr(Stdio::piped());
    Ok(command.spawn()?)
}

fn refused(output: &Output, word: &str) -> Result<()> {
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(4), "exit {}: {text}", output.status);
    ensure!(text.contains(word), "not `{word}`: {text}");
    Ok(())
}

#[test]
#[needs("ours")]
fn a_fifo_behind_an_include_is_refused_at_once() -> Result<()> {
    pair()?.check(|pair| {
        let fifo = pair.running(0)?.directory().join("fifo");
        mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let soon = Deadline::after(SOON);
        let text = format!("include {}\n{}", fifo.display(), Config::of(instance(200)));
        let output = begin_reload(pair, &text)?.wait_with_output()?;
        refused(&output, "keepalived.conf:1:1: error: `")?;
        refused(&output, "it is a FIFO, not a regular file")?;
        ensure!(!soon.passed(), "the refusal came late");
        pair.wait_for_master(0)
    })
}

/// The deadline fails the reload; status, another reload and the end of the daemon do not wait for the mount.
#[test]
#[needs("ours")]
fn a_dead_mount_behind_an_include_blocks_only_its_reload() -> Result<()> {
    pair()?.check(|pair| {
        // Not in the daemon's directory, which is removed with it.
        let folder = std::env::temp_dir().join(format!("vrrpx-dead-{}", std::process::id()));
        let dead = DeadMount::over(&folder)?;
        let sound = Config::of(instance(200)).to_string();
        let held = format!("include {}/x.conf\n{sound}", dead.path.display());

        let (machine, since) = (Starvation::of_machine()?, pair.mark());
        let deadline = Deadline::after(Duration::from_secs(15));
        let first = begin_reload(pair, &held)?;
        elapse(Duration::from_millis(500));
        let soon = Deadline::after(SOON);
        pair.running(0)?.status()?;
        ensure!(!soon.passed(), "status waits for the mount");
        let second = begin_reload(pair, &sound)?;
        let first = first.wait_with_output()?;
        refused(&first, &format!("{}/x.conf` (included by ", dead.path.display()))?;
        refused(&first, "keepalived.conf:1) has not been read within 10s")?;
        let second = second.wait_with_output()?;
        ensure!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
        ensure!(!deadline.passed(), "the reloads came late");
        let silence = pair.observer.longest_silence(since);
        let bound = Duration::from_millis(300) + machine.longest();
        ensure!(silence.is_some_and(|it| it < bound), "adverts are {silence:?} apart");

        let mut third = begin_reload(pair, &held)?;
        elapse(Duration::from_millis(500));
        let soon = Deadline::after(SOON);
        pair.stop(0)?;
        ensure!(!soon.passed(), "the end waits for the mount");
        third.wait()?;
        drop(dead);
        fs::remove_dir(&folder)?;
        pair.wait_for_master(1)
    })
}

/// The mount below a tracked file dies: its last number counts.
#[test]
#[needs("ours")]
fn a_dead_mount_behind_a_track_file_blocks_nothing() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("vrrpx-tracked-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let file = folder.join("number");
    fs::write(&file, "-30\n")?;
    let daemon = Daemon::Vrrpx(vrrp_tests::daemon::Mode::Auto);
    let tracks = instance(200).line("track_file {\n        number weight 1\n    }");
    let block = format!("track_file number {{\n    file {}\n}}\n", file.display());
    let roles = [
        Role::new(daemon, Config { blocks: block, ..Config::of(tracks) }),
        Role::new(daemon, Config::of(instance(100))),
    ];
    Pair::settled(roles)?.check(|pair| {
        let priority = |pair: &mut Pair| -> Result<u64> {
            pair.running(0)?.instance()?["priority"]["effective"].as_u64().context("no priority")
        };
        until("the number to count", SETTLE, || priority(pair).is_ok_and(|it| it == 170))?;
        let dead = DeadMount::over(&folder)?;
        // The daemon checks the folder at each change there, and before it reads the number.
        pair.wait_for_log(0, "the file system of a tracked file does not answer")?;
        let soon = Deadline::after(SOON);
        ensure!(priority(pair)? == 170, "another priority");
        ensure!(!soon.passed(), "status waits for the mount");
        let soon = Deadline::after(SOON);
        pair.stop(0)?;
        ensure!(!soon.passed(), "the end waits for the mount");
        drop(dead);
        fs::remove_dir_all(&folder)?;
        pair.wait_for_master(1)
    })
}
