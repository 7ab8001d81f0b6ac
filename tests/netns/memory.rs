//! Memory of the daemon and of its guard.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vrrp_tests::clock::until;
use vrrp_tests::control_group::ControlGroup;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, vrrpx};
use vrrp_tests::http::scrape_in_all_forms;
use vrrp_tests::lab::{Lab, VIRTUAL_V4};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::{Directory, Process};
use vrrp_user::daemon::host_faults::RETRY;

/// KiB that the guard may keep; a debug build has code of little density. The whole program has more than 50 MiB.
const GUARD: u64 = 16 << 10;

/// MiB in which a daemon must do with its guard and its BPF maps. A debug build is several times as large.
const ROOM: u64 = if cfg!(debug_assertions) { 64 } else { 16 };

/// KiB that an instance may take in the daemon beside its code: with the place in the maps that its slot has.
const INSTANCE: u64 = 12;

/// Threads of a daemon that has started: the main one, the engine, the effect thread, the one that writes events,
/// those that ask the kernel about hooks, that serve readers and that write the log to a file, and those of tokio that
/// have read or written a file and wait for the next one.
const THREADS: usize = 11;

/// A number of KiB in a file of /proc.
fn field(file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| file.to_owned())?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| name.to_owned())?;
    Ok(line.split_whitespace().next().context("an empty field")?.parse()?)
}

#[test]
#[needs("ours")]
fn the_guard_keeps_and_locks_only_what_it_needs() -> Result<()> {
    Pair::settled([Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(Instance::v3(200)))])?.check(|pair| {
        let guard = pair.running(0)?.guard()?;
        // It has just been started.
        until("the guard to wait", SETTLE, || {
            fs::read_to_string(format!("/proc/{guard}/wchan")).is_ok_and(|at| at.contains("poll"))
        })?;
        let resident = field(&format!("/proc/{guard}/status"), "VmRSS:")?;
        ensure!(resident <= GUARD, "{resident} KiB in memory");
        let locked = field(&format!("/proc/{guard}/smaps_rollup"), "Locked:")?;
        ensure!(locked > 0, "nothing is locked");
        Ok(())
    })
}

#[test]
#[needs("ours", "memory limits")]
fn a_small_control_group_is_room_enough() -> Result<()> {
    let group = ControlGroup::new("small", ROOM).context("no control group")?;
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let directory = Directory::new()?;
    let path = directory.path();
    let file = path.join("vrrpx.conf");
    fs::write(&file, Config::of(Instance::v3(200)).to_string())?;
    let mut command = node.namespace.command("sh")?;
    command.args(["-c", "echo $$ > \"$1\"/cgroup.procs && shift && exec \"$@\"", "sh"]).arg(group.path());
    command.arg(vrrpx()).args(["run", "--config"]).arg(&file).arg("--runtime-dir").arg(path);
    command.env_remove("NOTIFY_SOCKET");
    let daemon = Process::start(command, path.join("log"))?;
    let has_address = || lab.has_address(0, VIRTUAL_V4).is_ok_and(|has| has);
    until("the address", SETTLE, has_address).with_context(|| daemon.log())?;
    ensure!(!daemon.log().contains("packet socket"), "the program is not loaded: {}", daemon.log());
    // The guard has room for its work as well.
    kill(daemon.pid(), Signal::SIGKILL)?;
    until("the address to be gone", SETTLE, || !has_address()).with_context(|| daemon.log())?;
    ensure!(group.killed()? == 0, "processes were killed for lack of memory: {}", daemon.log());
    Ok(())
}

/// KiB of a process in memory, without what is mapped from a file.
fn own_memory(pid: Pid) -> Result<u64> {
    memory(pid, |mapping| !mapping.contains(" /"))
}

/// The same without BPF maps. One of them is mapped only while it is read, which may be at this moment.
fn own_memory_without_maps(pid: Pid) -> Result<u64> {
    memory(pid, |mapping| !mapping.contains(" /") && !mapping.contains(" anon_inode:bpf-map"))
}

/// KiB in memory of the mappings of a process whose heads count.
fn memory(pid: Pid, counts: impl Fn(&str) -> bool) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    let (mut sum, mut is_counted) = (0, false);
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("Pss:") if is_counted => sum += words.next().context("an empty field")?.parse::<u64>()?,
            // The head of a mapping, with its file at the end.
            Some(first) if !first.ends_with(':') => is_counted = counts(line),
            _ => {}
        }
    }
    Ok(sum)
}

/// A configuration of this many instances.
fn masters(instances: u8) -> Config {
    let instance = |number: u8| {
        let address = format!("10.77.1.{number}/16");
        Instance::v3(200).vrid(number).named(&format!("VI_{number}")).addresses(&[&address])
    };
    Config { instances: (1..=instances).map(instance).collect(), ..Config::default() }
}

/// The daemon's own memory as master of this many instances, in KiB, and its number of threads.
fn as_master_of(instances: u8) -> Result<(u64, usize)> {
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let config = masters(instances);
    let mut running = Daemon::Vrrpx(Mode::Auto).start_in(node, &config, None, &[])?;
    let masters = || running.log().matches("Entering MASTER STATE").count() >= usize::from(instances);
    until("every instance to be master", SETTLE, masters).with_context(|| running.log())?;
    let pid = running.process().pid();
    Ok((own_memory(pid)?, fs::read_dir(format!("/proc/{pid}/task"))?.count()))
}

#[test]
#[needs("ours")]
fn an_instance_takes_little_memory() -> Result<()> {
    let (few, threads) = as_master_of(10)?;
    let (many, also) = as_master_of(210)?;
    let each = many.saturating_sub(few) / 200;
    ensure!(each <= INSTANCE, "{each} KiB for each instance: {few} KiB with 10, {many} KiB with 210");
    ensure!(threads.max(also) <= THREADS, "{threads} threads with 10 instances, {also} with 210");
    Ok(())
}

/// What a scrape keeps, each further one keeps as well. The heap only fills: the first scrapes take half a MiB of the
/// arena of the thread that serves them, 40 rounds later a round takes nothing more, and 240 rounds later neither.
#[test]
#[needs("ours")]
fn scrapes_leave_nothing_behind() -> Result<()> {
    const ADDRESS: &str = "127.0.0.1:9112";
    const ROUNDS: u64 = 20;
    /// Times so many rounds in which the heap may fill.
    const STRETCHES: u64 = 6;
    /// KiB that the rounds of one stretch may take. With 1 kB for each scrape, it is 48 KiB or more in every stretch.
    const GROWTH: u64 = 32;
    /// KiB that metrics take in all: threads and code that serve, and what the heap keeps of the largest answer.
    const ADDED: u64 = if cfg!(debug_assertions) { 4 << 10 } else { 2 << 10 };
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let mut running = Daemon::Vrrpx(Mode::Auto).start_by(node, &masters(250), &["--metrics", ADDRESS])?;
    let masters = || running.log().matches("Entering MASTER STATE").count() >= 250;
    until("every instance to be master", SETTLE, masters).with_context(|| running.log())?;
    let pid = running.process().pid();
    let mut sizes = vec![own_memory_without_maps(pid)?];
    for stretch in 0..=STRETCHES {
        node.namespace.enter(|| (0..ROUNDS).try_for_each(|_| scrape_in_all_forms(ADDRESS).map(drop)))?;
        sizes.push(own_memory_without_maps(pid)?);
        if let (1.., [.., before, after]) = (stretch, sizes.as_slice())
            && *after <= before + GROWTH
        {
            let first = sizes.first().context("no size")?;
            ensure!(
                *after <= first + ADDED,
                "KiB before any scrape and after each {ROUNDS} rounds: {sizes:?}"
            );
            return Ok(());
        }
    }
    bail!("KiB before any scrape and after each {ROUNDS} rounds: {sizes:?}")
}

/// The kernel refuses it for as long as strace follows the daemon.
#[test]
#[needs("ours", "strace")]
fn memory_that_is_not_locked_again_is_a_fault_of_the_host_until_it_is() -> Result<()> {
    Pair::idle([Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(Instance::v3(200)))])?.check(|pair| {
        pair.start(0)?;
        let is_locked = |pair: &mut Pair, expected: bool| {
            until(&format!("memory locked {expected}"), 2 * RETRY, || {
                pair.running(0).and_then(|it| it.status()).is_ok_and(|status| {
                    let fault = status["host_faults"][0]["about"] == "lock";
                    status["node"]["memory_locked"] == expected && fault != expected
                })
            })
        };
        // As it starts, and once more ten seconds later.
        is_locked(pair, true)?;
        let directory = Directory::new()?;
        let mut strace = Command::new("strace");
        let pid = pair.running(0)?.process().pid().to_string();
        strace.args(["-f", "-e", "trace=mlockall", "-e", "inject=mlockall:error=ENOMEM", "-p", &pid]);
        let strace = Process::start(strace, directory.path().join("log"))?;
        is_locked(pair, false).with_context(|| strace.log())?;
        let screen = String::from_utf8(pair.running(0)?.ask(&["status"])?.stdout)?;
        ensure!(screen.contains("! lock: memory is not locked: Cannot allocate memory"), "{screen}");
        // It detaches.
        strace.signal(Signal::SIGINT)?;
        is_locked(pair, true)?;
        ensure!(pair.running(0)?.log().contains("memory is locked now"), "no line in the log");
        Ok(())
    })
}

/// The kernel refuses it for as long as strace follows the daemon.
#[test]
#[needs("ours", "strace")]
fn memory_that_is_not_locked_at_the_start_is_a_fault_of_the_host_until_it_is() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let directory = Directory::new()?;
    let path = directory.path();
    let file = path.join("vrrpx.conf");
    fs::write(&file, Config::of(Instance::v3(200)).to_string())?;
    let mut command = node.namespace.command("strace")?;
    command.args(["-D", "-f", "-e", "trace=mlockall", "-e", "inject=mlockall:error=ENOMEM", "-o"]);
    command.arg(path.join("calls")).arg(vrrpx()).args(["run", "--config"]).arg(&file);
    command.arg("--runtime-dir").arg(path).env_remove("NOTIFY_SOCKET");
    let daemon = Process::start(command, path.join("log"))?;
    let screen = || -> Result<String> {
        let shown = Command::new(vrrpx()).args(["status", "--runtime-dir"]).arg(path).output()?;
        Ok(String::from_utf8(shown.stdout)?)
    };
    let is_named = || screen().is_ok_and(|it| it.contains("! lock: memory is not locked"));
    until("the fault", SETTLE, is_named).with_context(|| daemon.log())?;
    ensure!(daemon.log().matches("lock: memory is not locked").count() == 1, "{}", daemon.log());
    let pid = daemon.pid();
    // Its calls are its own again.
    let tracer = field(&format!("/proc/{pid}/status"), "TracerPid:")?;
    kill(Pid::from_raw(i32::try_from(tracer)?), Signal::SIGKILL)?;
    until("memory to be locked", 2 * RETRY, || !is_named()).with_context(|| daemon.log())?;
    ensure!(field(&format!("/proc/{pid}/status"), "VmLck:")? > 0, "nothing is locked");
    Ok(())
}
