//! Requests of a steady daemon to the kernel: none whose answer grows with the host, and none for each instance.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use vrrp_tests::clock::{elapse, until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::Lab;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::{Directory, Process};

/// Many times the pause between two looks at the host.
const WATCH: Duration = Duration::from_secs(8);

/// Lists in that time: those of filters are read again each ten seconds.
const LISTS: usize = 3;

/// Links, addresses and filters are listed when the kernel reports a change of them.
#[test]
#[needs("ours", "strace")]
fn a_steady_master_asks_the_kernel_for_no_lists() -> Result<()> {
    for mode in [Mode::Auto, Mode::Tc] {
        let lab = Lab::new(1)?;
        let node = lab.nodes.first().context("no node")?;
        let config = Config::of(Instance::v3(200).addresses(&["10.77.0.200/24", "10.77.0.201/24"]));
        let mut running = Daemon::Vrrpx(mode).start(node, &config)?;
        until("the master", SETTLE, || running.standing().is_ok_and(|it| it.0 == "MASTER"))?;
        // Its own changes have been read by then.
        until("a steady master", SETTLE, || {
            let seconds = running.status().ok().and_then(|it| it["instances"][0]["since_seconds"].as_f64());
            seconds.is_some_and(|since| since > 3.0)
        })?;
        let calls = traced(running.process().pid(), "sendto,sendmsg")?;
        let lists: Vec<&str> = calls.lines().filter(|call| call.contains("NLM_F_DUMP")).collect();
        ensure!(lists.len() <= LISTS, "{} lists in {WATCH:?} on {mode:?}: {lists:#?}", lists.len());
    }
    Ok(())
}

/// Instances of the backup, as many as there is room for after a start with one.
const INSTANCES: u8 = 60;

/// Most of its requests in [`WATCH`]: two of each instance are as many.
const REQUESTS: usize = 120;

/// Rounds of the slowest comparison, that of settings, each 5 s: each master's advert has been read by then.
const ROUNDS: Duration = Duration::from_secs(8);

/// Adverts come in through the program, and are compared in what it shares with the daemon. The engine wakes by its own
/// timer, and no other thread wakes it.
#[test]
#[needs("ours", "strace")]
fn a_steady_backup_makes_no_request_for_each_instance() -> Result<()> {
    let config = |priority, count| {
        let instance = |vrid: u8| {
            Instance::v3(priority).interval(1000).vrid(vrid).addresses(&[&format!("10.78.0.{vrid}/32")])
        };
        Config { instances: (1..=count).map(instance).collect(), ..Config::default() }
    };
    let role = |priority, count| Role::new(Daemon::Vrrpx(Mode::Auto), config(priority, count));
    let mut pair = Pair::settled_in_turn([role(200, INSTANCES), role(100, 1)])?;
    // The others are unknown routers until a reload.
    until("the unknown routers", SETTLE, || {
        let status = pair.running(1).and_then(|it| it.status());
        let unknown = status.ok().and_then(|it| it["unknown_routers"].as_array().map(Vec::len));
        unknown == Some(usize::from(INSTANCES - 1))
    })?;
    pair.reload(1, &config(100, INSTANCES))?;
    elapse(ROUNDS);
    let pid = pair.running(1)?.process().pid();
    let before = switches(pid, "engine")?;
    watch(WATCH);
    let wakes = switches(pid, "engine")? - before;
    // Its own are half as many as seconds; a second thread that looks twice a second would add four times these.
    ensure!(wakes <= WATCH.as_secs() * 3 / 2, "the engine wakes {wakes} times in {WATCH:?}");
    let calls = traced(pid, "bpf,recvmsg,write")?;
    let count = calls.lines().count();
    ensure!(count < REQUESTS, "{count} requests in {WATCH:?}: {calls:.4000}");
    Ok(())
}

/// These system calls of a process in [`WATCH`].
fn traced(pid: Pid, names: &str) -> Result<String> {
    let directory = Directory::new()?;
    let calls = directory.path().join("calls");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", &format!("trace={names}"), "-o"]).arg(&calls).args(["-p", &pid.to_string()]);
    let mut strace = Process::start(strace, directory.path().join("log"))?;
    until("strace", SETTLE, || strace.log().contains("attached")).with_context(|| strace.log())?;
    watch(WATCH);
    strace.signal(Signal::SIGINT)?;
    strace.wait(SETTLE)?;
    Ok(fs::read_to_string(&calls)?)
}

/// How often a thread has gone to sleep.
fn switches(pid: Pid, thread: &str) -> Result<u64> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if field("Name:") == Some(thread) {
            return Ok(field("voluntary_ctxt_switches:").context("no count")?.parse()?);
        }
    }
    anyhow::bail!("no thread {thread}")
}
