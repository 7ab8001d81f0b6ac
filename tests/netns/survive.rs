//! Events, the last good configuration and unconfirmed reloads, over restarts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, Running, vrrpx};
use vrrp_tests::lab::{Lab, Node};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role};

use crate::subject;

const SOON: Duration = Duration::from_secs(15);

fn config(priority: u8) -> Config {
    Config::of(Instance::v3(priority).interval(10))
}

fn ask(running: &Running, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(vrrpx());
    command.args(arguments).arg("--runtime-dir").arg(running.directory());
    command.env("TZ", "UTC").output().context("cannot run vrrpx")
}

fn printed(running: &Running, arguments: &[&str]) -> Result<String> {
    let output = ask(running, arguments)?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "vrrpx {arguments:?}: {} {complaint}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn write(running: &Running, text: &str) -> Result<()> {
    Ok(fs::write(running.directory().join("keepalived.conf"), text)?)
}

fn priority(running: &Running) -> Result<u64> {
    running.instance()?["priority"]["configured"].as_u64().context("no priority")
}

/// Runs `check` with a daemon on a node of its own.
fn alone(check: impl FnOnce(&Node, &mut Running) -> Result<()>) -> Result<()> {
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let mut running = Daemon::Vrrpx(Mode::Auto).start(node, &config(110))?;
    until("a control socket", SOON, || running.status().is_ok())?;
    check(node, &mut running).with_context(|| running.log())
}

fn restart(node: &Node, running: &mut Running, config: &Config) -> Result<()> {
    running.restart(node, config, Signal::SIGTERM)?;
    until("a control socket", SOON, || running.status().is_ok())
}

#[test]
#[needs("ours")]
fn a_reload_says_what_it_changes() -> Result<()> {
    alone(|_, running| {
        ensure!(printed(running, &["reload"])? == "nothing changed\n");
        write(running, &config(90).to_string())?;
        let dry = printed(running, &["reload", "--dry-run"])?;
        ensure!(dry.contains("VI_1  priority 110 → 90\n") && dry.contains("nothing is applied"), "{dry}");
        ensure!(priority(running)? == 110, "a dry run has changed something");
        let done = printed(running, &["reload"])?;
        ensure!(done.starts_with("keepalived.conf:") && done.contains("VI_1  priority 110 → 90\n"), "{done}");
        ensure!(priority(running)? == 90);
        let lost = Instance::v3(90).vrid(77).on("gone0").addresses(&["10.99.0.1/24"]);
        let mut two = config(90);
        two.instances.push(lost);
        write(running, &two.to_string())?;
        let done = printed(running, &["reload"])?;
        let joined = done.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(joined.contains("VI_77 new instance, VRID 77 on gone0, priority 90"), "{done}");
        ensure!(joined.contains("interface gone0 not found: the instance stays in FAULT"), "{done}");
        ensure!(done.lines().all(|line| line.chars().count() <= 80), "{done}");
        let events = printed(running, &["events", "--kind", "reload"])?;
        let joined = events.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(joined.contains("VI_1 priority 110 → 90"), "{events}");
        write(running, "vrrp_instance broken {\n")?;
        ensure!(ask(running, &["reload", "--dry-run"])?.status.code() == Some(4));
        ensure!(running.status()?["configuration"]["stale_since"].is_null(), "a dry run made it stale");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_reload_that_is_not_kept_is_undone() -> Result<()> {
    alone(|_, running| {
        let cause = |running: &Running| -> Result<String> {
            Ok(running.status()?["configuration"]["stale_cause"].as_str().unwrap_or_default().to_owned())
        };
        ensure!(ask(running, &["reload", "--keep"])?.status.code() == Some(1), "nothing waits");
        write(running, &config(90).to_string())?;
        let done = printed(running, &["reload", "--confirm", "1s"])?;
        ensure!(done.contains("undone in 1 s unless you run: vrrpx reload --keep"), "{done}");
        until("the priority before", SOON, || priority(running).is_ok_and(|priority| priority == 110))?;
        until("a word of it", SOON, || cause(running).is_ok_and(|cause| cause == "not_kept"))?;
        let screen = String::from_utf8(ask(running, &["status"])?.stdout)?;
        ensure!(screen.contains("STALE: a reload was undone"), "{screen}");
        let events = printed(running, &["events", "--kind", "reload_undone"])?;
        ensure!(events.contains("the reload was not kept within 1 s"), "{events}");

        // A further reload within the time starts the time again; what was kept last stays what to go back to.
        printed(running, &["reload", "--confirm", "10m"])?;
        ensure!(priority(running)? == 90 && cause(running)?.is_empty());
        ensure!(running.status()?["configuration"]["keep_by"].is_string());
        write(running, &config(80).to_string())?;
        printed(running, &["reload", "--confirm", "1s"])?;
        until("the first priority", SOON, || priority(running).is_ok_and(|priority| priority == 110))?;

        // A reload without a time ends the wait.
        printed(running, &["reload", "--confirm", "10m"])?;
        printed(running, &["reload"])?;
        ensure!(ask(running, &["reload", "--keep"])?.status.code() == Some(1), "nothing waits any more");
        write(running, &config(70).to_string())?;
        printed(running, &["reload", "--confirm", "10m"])?;
        ensure!(printed(running, &["reload", "--keep"])? == "the reload is kept\n");
        ensure!(running.status()?["configuration"]["keep_by"].is_null());
        ensure!(priority(running)? == 70);
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_restart_undoes_a_reload_that_was_not_kept() -> Result<()> {
    alone(|node, running| {
        write(running, &config(90).to_string())?;
        printed(running, &["reload", "--confirm", "10m"])?;
        until("the mark", SOON, || running.directory().join("unconfirmed").exists())?;
        restart(node, running, &config(90))?;
        ensure!(priority(running)? == 110);
        let configuration = running.status()?["configuration"].clone();
        ensure!(configuration["stale_cause"] == "not_kept", "{configuration}");
        // The next one reads the file.
        until("no mark", SOON, || !running.directory().join("unconfirmed").exists())?;
        restart(node, running, &config(90))?;
        ensure!(priority(running)? == 90);
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_start_with_a_broken_file_takes_the_last_good_one() -> Result<()> {
    alone(|node, running| {
        let copy = running.directory().join("last-good.json");
        until("a copy", SOON, || copy.exists())?;
        ensure!(fs::metadata(&copy)?.permissions().mode() & 0o777 == 0o600, "others can read the passwords");
        let broken = Config::of(Instance::v3(50).interval(10).line("priorty 60"));
        restart(node, running, &broken)?;
        ensure!(priority(running)? == 110);
        let configuration = running.status()?["configuration"].clone();
        ensure!(configuration["stale_cause"] == "refused_at_start", "{configuration}");
        let finding = configuration["findings"][0].as_str().unwrap_or_default();
        ensure!(finding.contains("keepalived.conf:") && finding.contains("priorty"), "{configuration}");
        let screen = String::from_utf8(ask(running, &["status"])?.stdout)?;
        ensure!(screen.contains("STALE: the file was refused at the start"), "{screen}");
        ensure!(running.log().contains("started with the last good configuration"));
        // A file that is correct again is compared with the configuration in use.
        write(running, &config(90).to_string())?;
        let done = printed(running, &["reload"])?;
        ensure!(done.contains("VI_1  priority 110 → 90\n"), "{done}");
        ensure!(running.status()?["configuration"]["stale_since"].is_null());

        write(running, &broken.to_string())?;
        ensure!(running.stop()?.success());
        let mut command = node.namespace.command(vrrpx())?;
        command.args(["run", "--strict-start", "--config"]).arg(running.directory().join("keepalived.conf"));
        let refused = command.arg("--runtime-dir").arg(running.directory()).output()?;
        ensure!(refused.status.code() == Some(4), "{}", refused.status);
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn events_and_history_outlive_a_restart() -> Result<()> {
    alone(|node, running| {
        let is_master = |running: &Running| {
            running.status().is_ok_and(|status| status["instances"][0]["state"] == "MASTER")
        };
        let masters = |running: &Running| -> Result<usize> {
            Ok(printed(running, &["events", "VI_1", "--kind", "transition"])?.matches("-> MASTER").count())
        };
        until("a master", SOON, || is_master(running))?;
        for count in 2..=3 {
            match count {
                2 => restart(node, running, &config(110))?,
                _ => ensure!(running.hot_restart(node, &[])?.success()),
            }
            until("a master", SOON, || is_master(running))?;
            let expected = 2;
            until("the events before", SOON, || masters(running).is_ok_and(|found| found == expected))?;
            let history = running.status()?["instances"][0]["history"].clone();
            let found =
                history.as_array().map_or(0, |all| all.iter().filter(|it| it["to"] == "MASTER").count());
            ensure!(found == expected, "{history}");
        }
        let all = printed(running, &["events"])?;
        ensure!(all.lines().all(|line| line.chars().count() <= 80), "{all}");
        ensure!(!printed(running, &["events", "--since", "1h"])?.is_empty());
        ensure!(printed(running, &["events", "--since", "2999-01-01 00:00"])?.is_empty());
        ensure!(ask(running, &["events", "another"])?.status.code() == Some(2));
        ensure!(ask(running, &["events", "--kind", "nonsense"])?.status.code() == Some(2));
        ensure!(ask(running, &["events", "--since", "nonsense"])?.status.code() == Some(2));
        Ok(())
    })
}

#[test]
#[needs("subject")]
fn a_dry_run_names_the_next_master_and_a_reload_hands_over_and_takes_back() -> Result<()> {
    let roles = [200, 100].map(|priority| Role::new(subject(), config(priority)));
    Pair::settled(roles)?.check(|pair| {
        let peer = {
            // The backup is known once it was master.
            pair.running(0)?.reload(&config(50).to_string())?;
            pair.wait_for_master(1)?;
            let status = pair.running(0)?.status()?;
            let peer = status["instances"][0]["master"].as_str().context("no master")?.to_owned();
            pair.running(0)?.reload(&config(200).to_string())?;
            pair.wait_for_master(0)?;
            peer
        };
        let node = pair.running(0)?;
        write(node, &config(50).to_string())?;
        let dry = printed(node, &["reload", "--dry-run"])?;
        ensure!(dry.contains(&format!("VI_1: would hand over to {peer} (100)")), "{dry}");
        printed(node, &["reload", "--confirm", "3s"])?;
        pair.wait_for_master(1)?;
        pair.wait_for_master(0)
    })
}
