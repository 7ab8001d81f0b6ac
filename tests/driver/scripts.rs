//! Scripts run as untrusted users.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::spawn;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{Gid, Uid};
use tokio::runtime::Builder;
use vrrp_tests::needs;
use vrrp_user::config::ScriptCommand;
use vrrp_user::driver::clock;
use vrrp_user::driver::process::{End, Identity, Job};

/// A user id of this test alone, without an account.
const USER: u32 = 54_321;

const LIMIT: Duration = Duration::from_millis(500);

/// A start that is stopped must end after its time limit and the grace period of the runs.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many runs must have been stopped.
const STOPPED_RUNS: usize = 2;

/// Stops all processes of the user, again and again.
struct Stopper(Child);

impl Stopper {
    fn new() -> Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "n=0; while [ $n -lt 20000000 ]; do kill -STOP -1; n=$((n+1)); done"]);
        Ok(Self(command.uid(USER).gid(USER).spawn().context("cannot run sh")?))
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// The user may stop a script between the change of user and exec, when it still shares the daemon's memory.
#[test]
#[needs("root")]
fn a_script_stopped_by_its_user_before_exec_delays_no_other() -> Result<()> {
    let (done, finished) = channel();
    // On its own thread, as it may never end.
    spawn(move || done.send(runs()));
    match finished.recv_timeout(PATIENCE) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => bail!("the thread that starts scripts is blocked"),
        Err(RecvTimeoutError::Disconnected) => bail!("the runs have panicked"),
    }
}

fn runs() -> Result<()> {
    let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
    let stranger = Identity { uid, gid, name: "stranger".into(), groups: Vec::new() };
    let job = |identity: Identity, command: &str| Job {
        command: ScriptCommand::Direct(vec![command.into()]),
        identity,
        limit: LIMIT,
        leashed: true,
    };
    let (victim, other) = (job(stranger, "/bin/true"), job(Identity::daemon(), "/bin/pwd"));
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        ensure!(victim.run(&[], &[]).await.end == End::Exited(0), "the script does not run at all");
        let _stopper = Stopper::new()?;
        let (begun, mut stopped) = (clock::now(), 0);
        // On a busy machine, the stopper seldom runs beside a start.
        while stopped < STOPPED_RUNS {
            ensure!(
                clock::now().since(begun) < PATIENCE / 2,
                "{stopped} scripts were stopped: too few to show anything"
            );
            let (run, beside) = tokio::join!(victim.run(&[], &[]), other.run(&[], &[]));
            stopped += usize::from(run.end == End::TimedOut);
            ensure!(beside.end == End::Exited(0), "the other script ended with {}", beside.end);
        }
        Ok(())
    })
}
