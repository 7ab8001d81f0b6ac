//! The lock of all network interfaces (RTNL), which another process holds: the engine does not wait for it.
//!
//! The kernel itself keeps a processor while it removes many interfaces, so that gaps between adverts show nothing.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use nix::unistd::Pid;
use vrrp_tests::clock::{elapse, pace, realtime};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::needs;
use vrrp_tests::netns::Namespace;
use vrrp_tests::pair::{Pair, Role};

/// Pairs of interfaces. Their removal holds the lock for 250 ms at least.
const INTERFACES: usize = 2000;

/// Longest time in which the engine may wait in the kernel. For the lock it waits for nearly all that time.
const WAIT: Duration = Duration::from_millis(50);
/// Before the takeover: time for the command to start.
const EARLY: Duration = Duration::from_millis(90);

const SERVED: u8 = 52;

#[test]
#[needs("ours")]
fn the_engine_does_not_wait_while_many_interfaces_are_removed() -> Result<()> {
    let served = Instance::v3(100).vrid(SERVED).addresses(&["10.77.0.210/24"]);
    let heir = Instance::v3(100);
    let patience = heir.master_down_interval();
    for mode in [Mode::Tcx, Mode::Tc] {
        let daemon = Daemon::Vrrpx(mode);
        let both = Config { instances: vec![heir.clone(), served.clone()], ..Config::default() };
        let roles = [Role::new(daemon, Config::of(Instance::v3(200))), Role::new(daemon, both)];
        let mut pair = Pair::idle(roles)?;
        // Another network namespace of this host.
        let crowd = Namespace::new("crowd")?;
        let line = |index| format!("link add a{index} group 42 type veth peer name b{index}");
        crowd.ip(&(0..INTERFACES).map(line).collect::<Vec<_>>().join("\n"))?;
        pair.start(0)?;
        pair.wait_for_address(0, "10.77.0.200".parse()?, true)?;
        pair.start(1)?;
        pair.wait_for_address(1, "10.77.0.210".parse()?, true)?;
        pair.check(|pair| {
            pair.die(0)?;
            let adverts = pair.observer.adverts();
            let last = adverts.iter().rev().find(|(_, node, _)| *node == 0).context("no advert of node 0")?.0;
            let start = last + u64::try_from((patience - EARLY).as_nanos())?;
            elapse(Duration::from_nanos(start.saturating_sub(realtime())));
            let begun = realtime();
            let ended = AtomicBool::new(false);
            let pid = pair.running(1)?.process().pid();
            let (removed, waited) = thread::scope(|scope| {
                let waited = scope.spawn(|| waits_of_engine(pid, &ended));
                let removed = crowd.ip("link del group 42");
                ended.store(true, Relaxed);
                (removed, waited.join())
            });
            removed?;
            let waited = waited.map_err(|_| anyhow!("the observer of the engine has panicked"))??;
            let took = Duration::from_nanos(realtime().saturating_sub(begun));
            ensure!(took > Duration::from_millis(250), "the lock was held for less than {took:?}");
            pair.wait_for_address(1, "10.77.0.200".parse()?, true)?;
            ensure!(waited < WAIT, "{mode:?}: the engine waited for {waited:?} of {took:?}");
            pair.observer.wait_for_advert(1, last, Duration::from_secs(1)).map(drop)
        })?;
    }
    Ok(())
}

/// How long the engine of a daemon sleeps without being woken by signals (state D), until `ended`.
fn waits_of_engine(pid: Pid, ended: &AtomicBool) -> Result<Duration> {
    const STEP: Duration = Duration::from_millis(1);
    let mut threads = fs::read_dir(format!("/proc/{pid}/task"))?.flatten().map(|entry| entry.path());
    let is_engine = |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|it| it == "engine\n");
    let engine = threads.find(is_engine).context("no engine")?.join("stat");
    let mut waited = Duration::ZERO;
    while !ended.load(Relaxed) {
        let stat = fs::read_to_string(&engine)?;
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        waited += if state == Some('D') { STEP } else { Duration::ZERO };
        pace(STEP);
    }
    Ok(waited)
}
