//! Nodes without free descriptors or processes: checks get no result, which says nothing about the services, and a
//! reload that brings checks is refused.

use std::os::unix::process::CommandExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use vrrp_tests::clock::{elapse, pace, until, watch};
use vrrp_tests::control_group::ControlGroup;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, vrrpx};
use vrrp_tests::lab::{Lab, VIRTUAL_V4};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::{Directory, Process};

use crate::standing;

/// Ten times the duration of a failure that counts.
const WATCH: Duration = Duration::from_secs(3);

/// Its user id on Linux.
const NOBODY: u32 = 65534;

/// Name, block and list of checks that succeed on every node.
const CHECKS: [(&str, &str, &str); 6] = [
    ("command", "vrrp_script command {\n    script /bin/true\n    interval 0.2\n}\n", "track_script"),
    ("port", "vrrp_check port {\n    tcp 10.77.0.2:9113\n    interval 0.2\n}\n", "track_check"),
    (
        "page",
        "vrrp_check page {\n    http http://10.77.0.2:9113/metrics\n    interval 0.2\n}\n",
        "track_check",
    ),
    ("echo", "vrrp_check echo {\n    ping 127.0.0.1\n    interval 0.2\n}\n", "track_check"),
    ("number", "vrrp_track_file number {\n    file FILE\n}\n", "track_file"),
    ("process", "vrrp_track_process process {\n    process vrrpx\n}\n", "track_process"),
];

/// Sets a limit of a running daemon; `limit` is an option of prlimit.
pub(crate) fn limit(pair: &mut Pair, node: usize, limit: &str) -> Result<()> {
    let pid = pair.running(node)?.process().pid().to_string();
    let output = std::process::Command::new("prlimit").args(["--pid", &pid, limit]).output()?;
    ensure!(output.status.success(), "prlimit: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
#[needs("ours")]
fn checks_without_descriptors_keep_their_results() -> Result<()> {
    let file = std::env::temp_dir().join(format!("vrrpx-shortage-{}", std::process::id()));
    std::fs::write(&file, "0\n")?;
    let blocks = CHECKS.map(|(_, block, _)| block).concat().replace("FILE", &file.to_string_lossy());
    let mut tracking = Instance::v3(200);
    for list in ["track_script", "track_check", "track_file", "track_process"] {
        let names =
            CHECKS.iter().filter(|(_, _, of)| *of == list).map(|(name, ..)| format!("        {name}\n"));
        tracking = tracking.line(&format!("{list} {{\n{}    }}", names.collect::<String>()));
    }
    let globals = vec!["script_user root".to_owned()];
    let config = Config { globals, blocks, instances: vec![tracking] };
    let heir = Config::of(Instance::v3(100));
    let outcome = Pair::idle([config, heir].map(|config| Role::new(Daemon::Vrrpx(Mode::Auto), config)))?
        .check(|pair| {
            // The checks test the metrics port of the other node, which has descriptors.
            pair.start(1)?;
            until("the other node", SETTLE, || pair.running(1).is_ok_and(|it| it.is_up()))?;
            let metrics = format!("{}:9113", pair.node(1)?.v4());
            pair.hot_restart(1, &["--metrics", &metrics])?;
            pair.start(0)?;
            until("the node", SETTLE, || pair.running(0).is_ok_and(|it| it.is_up()))?;
            until("all checks are up", SETTLE, || all(pair, |check| check["up"] == true).is_ok_and(|it| it))?;
            pair.wait_for_master(0)?;
            let before = standing(pair, 0)?;
            leave_no_descriptor(pair, 0)?;
            pair.observer.clear();
            watch(WATCH);
            let reports = |pair: &mut Pair, name: &str| {
                let log = pair.running(0).map(|daemon| daemon.log()).unwrap_or_default();
                let of = format!("check={name}");
                log.lines().filter(|line| line.contains("the check cannot run") && line.contains(&of)).count()
            };
            // A file needs one descriptor for a moment, and may find it.
            for (name, ..) in CHECKS.iter().filter(|(name, ..)| *name != "number") {
                until(&format!("a report of {name}"), SETTLE, || reports(pair, name) > 0)?;
            }
            limit(pair, 0, "--nofile=1024:")?;
            for (name, ..) in &CHECKS {
                ensure!(reports(pair, name) <= 1, "{name}: logged {} times", reports(pair, name));
            }
            let log = pair.running(0)?.log();
            ensure!(!log.contains("check is down"), "{log}");
            ensure!(standing(pair, 0)? == before, "{before:?} is now {:?}", standing(pair, 0)?);
            pair.observer.ensure_only(0)?;
            until("all checks to run again", SETTLE, || {
                all(pair, |check| check["up"] == true && check["skipped"].is_null()).is_ok_and(|it| it)
            })
        });
    std::fs::remove_file(file)?;
    outcome
}

#[test]
#[needs("ours")]
fn a_script_without_processes_is_reported_as_skipped() -> Result<()> {
    let block = "vrrp_script c {\n    script /bin/true\n    interval 0.2\n    user nobody\n}\n";
    let tracking = Instance::v3(200).line("track_script {\n        c\n    }");
    let config = Config { globals: vec![], blocks: block.to_owned(), instances: vec![tracking] };
    let roles = [config, Config::of(Instance::v3(100))];
    // The kernel counts all processes of the user, wherever they were started.
    let mut other = std::process::Command::new("sleep").arg("120").uid(NOBODY).spawn()?;
    let outcome =
        Pair::settled(roles.map(|config| Role::new(Daemon::Vrrpx(Mode::Auto), config)))?.check(|pair| {
            until("the check is up", SETTLE, || all(pair, |check| check["up"] == true).is_ok_and(|it| it))?;
            let before = standing(pair, 0)?;
            limit(pair, 0, "--nproc=0:")?;
            until("the warning in the log", SETTLE, || {
                all(pair, |check| check["skipped"] == "not started: Try again").is_ok_and(|it| it)
            })?;
            watch(WATCH);
            ensure!(
                all(pair, |check| check["up"] == true && !check["skipped"].is_null())?,
                "the check is down"
            );
            limit(pair, 0, "--nproc=1000:")?;
            until("the check to run again", SETTLE, || {
                all(pair, |check| check["skipped"].is_null()).is_ok_and(|it| it)
            })?;
            ensure!(standing(pair, 0)? == before, "{before:?} is now {:?}", standing(pair, 0)?);
            Ok(())
        });
    other.kill()?;
    other.wait()?;
    outcome
}

/// Enough that their pipes need more descriptors than a daemon without them.
const MANY: usize = 100;

/// An instance that tracks this many scripts, each of which has a pipe for what it prints.
fn with_scripts(count: usize, priority: u8) -> Config {
    let names: Vec<String> = (0..count).map(|number| format!("c{number}")).collect();
    let block = |name: &String| format!("vrrp_script {name} {{\n    script /bin/true\n    interval 5\n}}\n");
    let list = names.iter().map(|name| format!("        {name}\n")).collect::<String>();
    Config {
        globals: vec!["script_user root".to_owned()],
        blocks: names.iter().map(block).collect(),
        instances: vec![Instance::v3(priority).line(&format!("track_script {{\n{list}    }}"))],
    }
}

/// Leaves a daemon no descriptor: those below the limit are in use as long as it lives, while it opens others for a
/// moment.
fn leave_no_descriptor(pair: &mut Pair, node: usize) -> Result<()> {
    let pid = pair.running(node)?.process().pid();
    let mut held = usize::MAX;
    for _ in 0..100 {
        let is_free = |number: &usize| !std::path::Path::new(&format!("/proc/{pid}/fd/{number}")).exists();
        held = held.min((0..).find(is_free).context("all are in use")?);
        pace(Duration::from_millis(10));
    }
    // poll(2) refuses more descriptors than the limit.
    ensure!(held > 4, "{held} descriptors are always in use");
    limit(pair, node, &format!("--nofile={}:", held.min(10)))
}

/// Leaves a daemon this many descriptors, and 64 that are kept back from clients.
fn leave_descriptors(pair: &mut Pair, node: usize, count: usize) -> Result<()> {
    let pid = pair.running(node)?.process().pid();
    let is_free = |number: &usize| !std::path::Path::new(&format!("/proc/{pid}/fd/{number}")).exists();
    let bound = (0..).filter(is_free).nth(64 + count).context("no bound")?;
    limit(pair, node, &format!("--nofile={bound}:"))
}

#[test]
#[needs("ours")]
fn a_reload_needs_descriptors_only_for_checks_that_do_not_run() -> Result<()> {
    Pair::idle([Role::new(Daemon::Vrrpx(Mode::Auto), with_scripts(MANY, 200))])?.check(|pair| {
        pair.start(0)?;
        pair.wait_for_master(0)?;
        leave_descriptors(pair, 0, 20)?;
        pair.reload(0, &with_scripts(MANY, 190))?;
        let status = pair.running(0)?.status()?;
        ensure!(status["configuration"]["stale_since"].is_null(), "{}", status["configuration"]);
        ensure!(status["checks"].as_array().is_some_and(|all| all.len() == MANY), "{}", status["checks"]);
        ensure!(status.to_string().contains("190"), "{status}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_reload_without_descriptors_for_its_checks_is_refused_as_a_whole() -> Result<()> {
    Pair::idle([Role::new(Daemon::Vrrpx(Mode::Auto), with_scripts(1, 200))])?.check(|pair| {
        pair.start(0)?;
        pair.wait_for_master(0)?;
        let before = standing(pair, 0)?;
        leave_descriptors(pair, 0, 20)?;
        let refused = pair.running(0)?.reload(&with_scripts(MANY, 200).to_string())?;
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(refused.status.code() == Some(4), "{} {text}", refused.status);
        ensure!(text.contains("check `c") && text.contains("Too many open files"), "{text}");
        let status = pair.running(0)?.status()?;
        ensure!(status["configuration"]["stale_since"].is_string(), "{}", status["configuration"]);
        ensure!(status["checks"].as_array().is_some_and(|all| all.len() == 1), "{}", status["checks"]);
        limit(pair, 0, "--nofile=1024:")?;
        pair.reload(0, &with_scripts(MANY, 200))?;
        until("all checks to run", SETTLE, || {
            let count =
                pair.running(0).ok().and_then(|it| it.status().ok()?["checks"].as_array().map(Vec::len));
            count == Some(MANY) && all(pair, |check| check["up"] == true).is_ok_and(|it| it)
        })?;
        ensure!(standing(pair, 0)? == before, "{before:?} is now {:?}", standing(pair, 0)?);
        Ok(())
    })
}

/// Whether `holds` is true of all checks of node 0.
fn all(pair: &mut Pair, holds: impl Fn(&Value) -> bool) -> Result<bool> {
    let status = pair.running(0)?.status()?;
    let checks = status["checks"].as_array().context("no checks")?;
    Ok(!checks.is_empty() && checks.iter().all(holds))
}

/// The processes that a hook has left count against the limit of the daemon's control group, as `TasksMax=` of a unit.
#[test]
#[needs("ours", "process limits")]
fn a_hook_that_takes_all_processes_leaves_the_daemon_at_work() -> Result<()> {
    const MOST: usize = 100;
    let group = ControlGroup::of_processes("bomb").context("no control group")?;
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let directory = Directory::private()?;
    let path = directory.path();
    let bomb = directory.script("bomb.sh", "while :; do sleep 60 & done")?;
    let file = path.join("vrrpx.conf");
    let write = |priority| {
        let globals = vec!["script_user root".to_owned()];
        let instance = Instance::v3(priority).line(&format!("notify_fault {bomb}"));
        std::fs::write(&file, Config { globals, ..Config::of(instance) }.to_string())
    };
    write(200)?;
    let mut command = node.namespace.command("sh")?;
    command.args(["-c", "echo $$ > \"$1\"/cgroup.procs && shift && exec \"$@\"", "sh"]).arg(group.path());
    command.arg(vrrpx()).args(["run", "--config"]).arg(&file).arg("--runtime-dir").arg(path);
    command.env_remove("NOTIFY_SOCKET");
    let daemon = Process::start(command, path.join("log"))?;
    let has_address = || lab.has_address(0, VIRTUAL_V4).is_ok_and(|has| has);
    until("the address", SETTLE, has_address).with_context(|| daemon.log())?;
    // Threads that have nothing to do would end.
    elapse(Duration::from_secs(11));
    group.limit_processes(&MOST.to_string())?;
    let ask = |words: &[&str]| -> Result<()> {
        let output =
            std::process::Command::new(vrrpx()).args(words).arg("--runtime-dir").arg(path).output()?;
        ensure!(output.status.success(), "{words:?}: {output:?}\n{}", daemon.log());
        Ok(())
    };
    let processes = || -> Result<Vec<i32>> {
        let text = std::fs::read_to_string(group.path().join("cgroup.procs"))?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    };
    let outcome = (|| {
        ask(&["maintenance", "on", "--all", "--force"])?;
        until("the limit", SETTLE, || processes().is_ok_and(|all| all.len() > MOST / 2))?;
        until("the end of the hook", 4 * SETTLE, || daemon.log().contains("hook failed"))?;
        write(190)?;
        ask(&["reload"])?;
        ask(&["maintenance", "off", "--all"])?;
        until("the address again", SETTLE, has_address)?;
        ensure!(!daemon.log().contains("panicked"), "a thread has panicked");
        Ok(())
    })();
    let outcome = outcome.with_context(|| daemon.log());
    // A hook that still runs makes new ones meanwhile.
    until("an empty control group", SETTLE, || {
        let left = processes().unwrap_or_default();
        for pid in &left {
            let _gone = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        left.is_empty()
    })?;
    outcome
}
