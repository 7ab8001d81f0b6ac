//! Properties of the process: scheduling, name, umask, and scripts around its life.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::Directory;
use vrrp_tests::{member, needs};

use crate::hanging::DeadMount;

/// One node with these lines in `global_defs`.
fn node(globals: Vec<String>, instance: Instance) -> Result<Pair> {
    let config = Config { globals, ..Config::of(instance) };
    Pair::idle([Role::new(Daemon::Vrrpx(Mode::Auto), config)])
}

/// Scheduling of a thread, from /proc.
#[derive(Debug)]
struct Thread {
    policy: i32,
    realtime: i32,
    nice: i32,
    cpus: String,
}

/// Threads by name.
fn threads(pid: nix::unistd::Pid) -> Result<BTreeMap<String, Thread>> {
    let mut threads = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file));
        let (stat, status) = (read("stat")?, read("status")?);
        // After the name; state is field 3 (proc(5)).
        let fields: Vec<&str> = stat.rsplit_once(") ").context("form of stat")?.1.split(' ').collect();
        let field = |number: usize| -> Result<i32> {
            Ok(fields.get(number - 3).context("form of stat")?.trim().parse()?)
        };
        let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"));
        let thread = Thread {
            policy: field(41)?,
            realtime: field(40)?,
            nice: field(19)?,
            cpus: cpus.unwrap_or_default().to_owned(),
        };
        threads.insert(read("comm")?.trim().to_owned(), thread);
    }
    Ok(threads)
}

#[test]
#[needs("ours")]
fn engine_and_effect_thread_have_the_configured_scheduling() -> Result<()> {
    let lines = [
        "vrrp_rt_priority 60",
        "vrrp_cpu_affinity 0",
        "vrrp_priority -5",
        "vrrp_process_name keepalived_vrrp",
    ];
    let globals = lines.map(str::to_owned).to_vec();
    node(globals, Instance::v3(200))?.check(|pair| {
        pair.start(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        let pid = pair.running(0)?.process().pid();
        let threads = threads(pid)?;
        for (name, priority) in [("engine", 60), ("effect", 59)] {
            let thread = threads.get(name).with_context(|| format!("no {name}: {threads:?}"))?;
            ensure!(thread.realtime == priority && thread.policy == libc::SCHED_FIFO, "{name}: {thread:?}");
            ensure!(thread.cpus == "0" && thread.nice == -5, "{name}: {thread:?}");
        }
        let main = threads.get("keepalived_vrrp").with_context(|| format!("no name: {threads:?}"))?;
        ensure!(main.nice == 0 && main.policy == libc::SCHED_OTHER, "{main:?}");
        ensure!(main.cpus == fs::read_to_string("/sys/devices/system/cpu/online")?.trim(), "{main:?}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_script_runs_before_the_start_and_one_after_the_end() -> Result<()> {
    let directory = Directory::private()?;
    let held = format!("ip address show dev lan0 | grep -q {VIRTUAL_V4} && echo held || echo free");
    let report = |name: &str| {
        let log = directory.path().join(name);
        directory.script(&format!("{name}.sh"), &format!("({held}) > {}", log.display()))
    };
    let slow = directory.script("slow.sh", "sleep 60")?;
    let globals = vec![
        "script_user root".to_owned(),
        "enable_script_security".to_owned(),
        format!("startup_script {}", report("first")?),
        format!("shutdown_script {}", report("last")?),
    ];
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap_or_default();
    node(globals.clone(), Instance::v3(200))?.check(|pair| {
        pair.start(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        ensure!(
            read("first") == "free\n" && read("last").is_empty(),
            "{:?} {:?}",
            read("first"),
            read("last")
        );
        pair.stop(0)?;
        ensure!(read("last") == "free\n", "{:?}", read("last"));
        Ok(())
    })?;
    let globals =
        vec![globals[0].clone(), format!("startup_script {slow}"), "startup_script_timeout 1".to_owned()];
    node(globals, Instance::v3(200))?.check(|pair| {
        pair.start(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        ensure!(pair.running(0)?.log().contains("timed out"), "the log does not report the script's timeout");
        Ok(())
    })
}

#[test]
#[needs("ours", "supplementary group")]
fn scripts_have_the_configured_umask_and_groups() -> Result<()> {
    let (user, group) = member().context("no user with a supplementary group")?;
    let directory = Directory::private()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777))?;
    let made = directory.path().join("made");
    let hook = directory.script("hook.sh", &format!("id -G > {}", made.display()))?;
    let globals = ["umask 027", "set_supplementary_groups"].map(str::to_owned).to_vec();
    let instance = Instance::v3(200).line(&format!("notify_master {hook} {user}"));
    node(globals, instance)?.check(|pair| {
        pair.start(0)?;
        until("the hook", SETTLE, || fs::read_to_string(&made).is_ok_and(|text| text.ends_with('\n')))?;
        let groups = fs::read_to_string(&made)?;
        ensure!(groups.split_whitespace().any(|id| id == group), "{user} is in {group}, and not in {groups}");
        let mode = fs::metadata(&made)?.mode() & 0o777;
        ensure!(mode == 0o640, "{mode:o}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_file_is_there_while_a_reload_reads() -> Result<()> {
    let directory = Directory::private()?;
    let (reading, folder) = (directory.path().join("reading"), directory.path().join("dead"));
    let globals = vec![format!("reload_file {}", reading.display())];
    node(globals, Instance::v3(200))?.check(|pair| {
        pair.start(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        ensure!(!reading.exists(), "the file exists without a reload");
        let config = pair.roles.first().context("no node")?.config.to_string();
        let file = pair.running(0)?.directory().join("keepalived.conf");
        let dead = DeadMount::over(&folder)?;
        fs::write(file, format!("{config}include {}/part.conf\n", folder.display()))?;
        pair.running(0)?.process().signal(nix::sys::signal::Signal::SIGHUP)?;
        until("the file", SETTLE, || reading.exists())?;
        // Wakes the blocked reader.
        drop(dead);
        until("its end", SETTLE, || !reading.exists())
    })
}
