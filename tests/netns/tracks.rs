//! Checks with weights on the priority, tracked interfaces, and hooks.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use vrrp_tests::clock::{poll, until};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::{Directory, Process};

use crate::fence::is_there;
use crate::subject;

#[test]
#[needs("subject")]
fn a_failing_check_lowers_the_priority() -> Result<()> {
    fails_over("weight -150")
}

#[test]
#[needs("subject")]
fn a_failing_check_without_weight_is_a_fault() -> Result<()> {
    fails_over("")
}

#[test]
#[needs("subject")]
fn a_tracked_interface_without_carrier_is_a_fault() -> Result<()> {
    let tracking = Instance::v3(200).line("track_interface {\n        uplink\n    }");
    let roles = [tracking, Instance::v3(100)].map(|instance| Role::new(subject(), Config::of(instance)));
    Pair::idle(roles)?.check(|pair| {
        let uplink = &pair.node(0)?.namespace;
        uplink.ip("link add uplink type veth peer name far\nlink set uplink up\nlink set far up")?;
        pair.start(0)?;
        pair.start(1)?;
        pair.wait_for_master(0)?;
        pair.node(0)?.namespace.ip("link set far down")?;
        pair.wait_for_master(1)?;
        pair.node(0)?.namespace.ip("link set far up")?;
        pair.wait_for_master(0)
    })
}

#[test]
#[needs("subject")]
fn hooks_get_keepalived_s_arguments() -> Result<()> {
    let directory = Directory::new()?;
    let heard = directory.path().join("heard");
    let script = directory.script("hook", &format!("echo \"$*\" >> {}", heard.display()))?;
    let instance = Instance::v3(200)
        .line(&format!("notify {script}"))
        .line(&format!("notify_master \"{script} up now\""))
        .line(&format!("notify_backup \"{script} down now\""))
        .line(&format!("notify_stop \"{script} gone\""));
    let lines = || fs::read_to_string(&heard).unwrap_or_default();
    Pair::idle([instance, Instance::v3(100)].map(|instance| role(subject(), instance, "")))?.check(|pair| {
        pair.start(0)?;
        for line in ["INSTANCE VI_1 BACKUP 200", "down now", "INSTANCE VI_1 MASTER 200", "up now"] {
            until(&format!("a hook called with {line:?}"), SETTLE, || {
                lines().lines().any(|heard| heard == line)
            })?;
        }
        pair.stop(0)?;
        for line in ["INSTANCE VI_1 STOP 200", "gone"] {
            until(&format!("a hook called with {line:?}"), SETTLE, || {
                lines().lines().any(|heard| heard == line)
            })?;
        }
        ensure!(lines().lines().count() == 6, "the hooks received\n{}", lines());
        Ok(())
    })
}

#[test]
#[needs("subject")]
fn a_process_that_ends_moves_the_master() -> Result<()> {
    let daemon = subject();
    let blocks = "vrrp_track_process service {\n    process sleep 86003.75\n    weight -150\n}\n";
    let service = || Process::start(shell("exec sleep 86003.75"), "/dev/null".into());
    let tracking = Instance::v3(200).line("track_process {\n        service\n    }");
    let mut running = service()?;
    Pair::settled([role(daemon, tracking, blocks), role(daemon, Instance::v3(100), "")])?.check(|pair| {
        running.kill();
        pair.wait_for_master(1)?;
        pair.observer.clear();
        running = service()?;
        pair.wait_for_master(0)
    })
}

#[test]
#[needs("subject")]
fn a_number_in_a_file_moves_the_master() -> Result<()> {
    let daemon = subject();
    let directory = Directory::new()?;
    let number = directory.path().join("number");
    let blocks = format!("track_file load {{\n    file {}\n    weight -5\n}}\n", number.display());
    let tracking = Instance::v3(200).line("track_file {\n        load\n    }");
    Pair::settled([role(daemon, tracking, &blocks), role(daemon, Instance::v3(100), "")])?.check(|pair| {
        fs::write(&number, "30\n")?;
        pair.wait_for_master(1)?;
        pair.observer.clear();
        fs::remove_file(&number)?;
        pair.wait_for_master(0)
    })
}

/// The master's check fails and the heir takes over; the check succeeds and the master is back.
fn fails_over(weight: &str) -> Result<()> {
    let daemon = subject();
    let directory = Directory::new()?;
    let broken = directory.path().join("broken");
    let script = directory.script("check", &format!("test ! -e {}", broken.display()))?;
    let check = format!(
        "vrrp_script service {{\n    script {script}\n    interval 1\n    fall 1\n    rise 1\n    {weight}\n}}\n"
    );
    let tracking = Instance::v3(200).line("track_script {\n        service\n    }");
    Pair::settled([role(daemon, tracking, &check), role(daemon, Instance::v3(100), "")])?.check(|pair| {
        fs::write(&broken, "")?;
        pair.wait_for_master(1)?;
        pair.observer.clear();
        fs::remove_file(&broken)?;
        pair.wait_for_master(0)
    })
}

/// Even a script that ignores signals; nothing else would end it.
#[test]
#[needs("ours")]
fn a_running_script_ends_with_the_daemon_that_is_killed() -> Result<()> {
    let directory = Directory::new()?;
    let file = directory.path().join("pid");
    let body = format!("trap '' TERM; echo $$ > {}; while :; do sleep 0.1; done", file.display());
    let script = directory.script("check", &body)?;
    let check = format!("vrrp_script service {{\n    script {script}\n    interval 60\n    timeout 60\n}}\n");
    let tracking = Instance::v3(200).line("track_script {\n        service\n    }");
    Pair::idle([role(Daemon::Vrrpx(Mode::Auto), tracking, &check)])?.check(|pair| {
        pair.start(0)?;
        let pid = poll("the script's number", SETTLE, || {
            Ok(fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()))
        })?;
        let pid = Pid::from_raw(pid);
        pair.running(0)?.process().signal(Signal::SIGKILL)?;
        until("the end of the script", SETTLE, || !is_there(pid))
    })
}

fn role(daemon: Daemon, instance: Instance, blocks: &str) -> Role {
    let globals = vec!["script_user root".to_owned()];
    Role::new(daemon, Config { globals, blocks: blocks.to_owned(), instances: vec![instance] })
}

fn shell(line: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]);
    command
}
