//! The shipped unit, run by systemd itself.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use vrrp_tests::clock::{poll, until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::service::Machine;
use vrrp_user::daemon::host_faults::RETRY;

/// Node 0 is the machine, with priority 200.
fn booted(scenario: impl Fn(&mut Pair, &Machine) -> Result<()>) -> Result<()> {
    let config = |priority| Config::of(Instance::v3(priority));
    let role = |priority| Role::new(Daemon::Vrrpx(Mode::Auto), config(priority));
    Pair::idle([role(200), role(100)])?.check(|pair| {
        let machine = Machine::boot(&pair.node(0)?.namespace, &config(200))?;
        machine.run("systemctl", &["start", "vrrpx"])?;
        pair.wait_for_master(0)?;
        pair.start(1)?;
        scenario(pair, &machine).with_context(|| machine.log())
    })
}

/// Over the system bus, and without a bus over systemd's own socket.
#[test]
#[needs("ours", "systemctl", "dbus-daemon", "nsenter")]
fn a_unit_restart_causes_no_takeover_with_and_without_a_bus() -> Result<()> {
    booted(|pair, machine| {
        let before = machine.standing()?;
        pair.observer.clear();
        for has_bus in [false, true] {
            if has_bus {
                machine.run("systemctl", &["start", "dbus.service"])?;
            }
            let pid = machine.unit("MainPID")?;
            machine.run("systemctl", &["restart", "vrrpx"])?;
            until("another main process", SETTLE, || machine.unit("MainPID").is_ok_and(|it| it != pid))?;
            until("its answer", SETTLE, || machine.standing().is_ok())?;
            watch(Duration::from_millis(800));
            ensure!(machine.standing()? == before, "bus {has_bus}: {:?} was {before:?}", machine.standing()?);
        }
        let adverts = pair.observer.adverts();
        pair.observer.ensure_only(0)?;
        ensure!(adverts.iter().all(|(.., advert)| advert.priority != 0), "an advert of priority 0 was sent");
        Ok(())
    })
}

/// Entries of the journal, once there are some.
fn entries(machine: &Machine, words: &[&str]) -> Result<Vec<Value>> {
    poll(&format!("entries of the journal: {words:?}"), SETTLE, || {
        Ok(machine.journal(words).ok().filter(|entries| !entries.is_empty()))
    })
}

/// Value of `_TRANSPORT` for the journal's native protocol.
const NATIVE: &str = "journal";

/// Levels, fields, one entry for each finding, and keepalived's words for a transition.
#[test]
#[needs("journalctl", "ours", "systemctl", "dbus-daemon", "nsenter")]
fn journal_entries_have_levels_and_fields() -> Result<()> {
    booted(|pair, machine| {
        machine.run("systemctl", &["stop", "vrrpx"])?;
        pair.wait_for_master(1)?;
        machine.start_journal()?;
        let broken = "vrrp_script broken {\n    script /bin/false\n    interval 1\n    weight -10\n}\n";
        let checked = Instance::v3(200).line("track_script {\n        broken\n    }");
        let file = format!("{broken}{}", Config::of(checked));
        machine.write_config(&file)?;
        machine.run("systemctl", &["start", "vrrpx"])?;
        pair.wait_for_master(0)?;

        let down =
            |entry: &Value| entry["MESSAGE"].as_str().is_some_and(|it| it.starts_with("check is down"));
        let warnings = || machine.journal(&["--priority=warning"]).unwrap_or_default();
        until("the warning", SETTLE, || warnings().iter().any(down))?;
        let warnings = warnings();
        let warning = warnings.iter().find(|entry| down(entry)).context("no warning")?;
        ensure!(warning["PRIORITY"] == "4" && warning["_TRANSPORT"] == NATIVE, "{warning}");
        let message = warning["MESSAGE"].as_str().unwrap_or_default();
        ensure!(message.starts_with("check is down check=broken outcome=\"exit 1\" lasted="), "{warning}");
        ensure!(warning["VRRP_CHECK"] == "broken" && warning["VRRP_OUTCOME"] == "exit 1", "{warning}");
        ensure!(warning["SYSLOG_IDENTIFIER"] == "vrrpx", "{warning}");

        let masters = entries(machine, &["--grep=Entering MASTER STATE", "VRRP_INSTANCE=VI_1"])?;
        let [master] = &masters[..] else { bail!("{masters:?}") };
        let message = master["MESSAGE"].as_str().unwrap_or_default();
        ensure!(message.starts_with("(VI_1) Entering MASTER STATE instance=VI_1 from=BACKUP"), "{master}");
        ensure!(master["PRIORITY"] == "6" && master["VRRP_FROM"] == "BACKUP", "{master}");

        machine.write_config(&file.replace("priority", "prioirty"))?;
        ensure!(machine.run("systemctl", &["reload", "vrrpx"]).is_err(), "a broken file is accepted");
        let finding = entries(machine, &["--priority=err", "--grep=unknown keyword `prioirty`"])?;
        let [finding] = &finding[..] else { bail!("{finding:?}") };
        let message = finding["MESSAGE"].as_str().unwrap_or_default();
        ensure!(message.contains("; help: did you mean `priority`?"), "{finding}");

        machine.run("systemctl", &["kill", "--kill-whom=main", "--signal=KILL", "vrrpx"])?;
        let reported =
            || machine.journal(&["--priority=err", "--grep=the daemon has died"]).unwrap_or_default();
        until("the guard's lines in the log", SETTLE, || !reported().is_empty())?;
        let fatal = || machine.journal(&["--priority=err", "--grep=unknown keyword"]).unwrap_or_default();
        until("the error of a start", SETTLE, || fatal().len() == 2)
    })
}

/// It is killed while it is stopped, without a core dump.
#[test]
#[needs("ours", "systemctl", "dbus-daemon", "nsenter")]
fn the_watchdog_kills_a_stopped_daemon_and_starts_another() -> Result<()> {
    booted(|pair, machine| {
        machine.drop_in("watchdog", "[Service]\nWatchdogSec=5s\n")?;
        machine.run("systemctl", &["restart", "vrrpx"])?;
        until("its answer", SETTLE, || machine.standing().is_ok())?;
        let pid = machine.unit("MainPID")?;
        machine.run("kill", &["-STOP", &pid])?;
        pair.wait_for_master(1)?;
        until("another daemon", SETTLE, || machine.unit("MainPID").is_ok_and(|it| it != pid && it != "0"))?;
        pair.wait_for_master(0)?;
        ensure!(machine.unit("WatchdogSignal")? == "9", "signal {}", machine.unit("WatchdogSignal")?);
        Ok(())
    })
}

/// The unit's LogLevelMax applies.
#[test]
#[needs("journalctl", "ours", "systemctl", "dbus-daemon", "nsenter")]
fn a_unit_bounds_the_levels_of_its_log() -> Result<()> {
    booted(|_, machine| {
        machine.start_journal()?;
        machine.drop_in("levels", "[Service]\nLogLevelMax=warning\n")?;
        machine.run("systemctl", &["restart", "vrrpx"])?;
        machine.configure(&Config::of(Instance::v3(210).line("nonsense")))?;
        ensure!(machine.run("systemctl", &["reload", "vrrpx"]).is_err(), "a broken file is accepted");
        let entries = entries(machine, &["_COMM=vrrpx"])?;
        let priorities: Vec<String> = entries.iter().map(|entry| entry["PRIORITY"].to_string()).collect();
        ensure!(priorities.iter().all(|it| it < &"\"5\"".to_owned()), "{priorities:?}");
        Ok(())
    })
}

/// A script that is killed for its memory does not stop the daemon, and systemd never gives it up.
#[test]
#[needs("ours", "systemctl", "dbus-daemon", "nsenter")]
fn systemd_knows_the_settings_for_faults_of_the_host() -> Result<()> {
    booted(|_, machine| {
        for (property, value) in [("OOMPolicy", "continue"), ("StartLimitIntervalUSec", "0")] {
            ensure!(machine.unit(property)? == value, "{property}: {}", machine.unit(property)?);
        }
        Ok(())
    })
}

/// It is the host's, and outlasts a restart and the daemon.
#[test]
#[needs("ours", "systemctl", "dbus-daemon", "nsenter")]
fn a_mount_of_a_hook_is_the_hosts() -> Result<()> {
    booted(|pair, machine| {
        machine.run("systemctl", &["stop", "vrrpx"])?;
        pair.wait_for_master(1)?;
        let hooks = r#"notify_master "/bin/mount -t tmpfs hook /mnt"
            notify_stop "/bin/umount /mnt""#;
        machine.configure(&Config::of(Instance::v3(200).line(hooks)))?;
        let is_mounted = || machine.run("mountpoint", &["--quiet", "/mnt"]).is_ok();
        ensure!(!is_mounted(), "mounted before");
        machine.run("systemctl", &["start", "vrrpx"])?;
        pair.wait_for_master(0)?;
        until("the mount", SETTLE, is_mounted)?;
        machine.run("systemctl", &["restart", "vrrpx"])?;
        until("its answer", SETTLE, || machine.standing().is_ok())?;
        ensure!(is_mounted(), "a restart has ended the mount");
        machine.run("systemctl", &["stop", "vrrpx"])?;
        until("the end of the mount", SETTLE, || !is_mounted())
    })
}

/// The limits of the unit are shorter than the scripts of a start and a stop.
#[test]
#[needs("ours", "systemctl", "dbus-daemon", "nsenter")]
fn systemd_waits_for_the_scripts_of_a_start_and_a_stop() -> Result<()> {
    booted(|pair, machine| {
        machine.run("systemctl", &["stop", "vrrpx"])?;
        pair.wait_for_master(1)?;
        let globals =
            "global_defs {\n startup_script \"/bin/sleep 6\"\n shutdown_script \"/bin/sleep 6\"\n}\n";
        machine.write_config(&format!("{globals}{}", Config::of(Instance::v3(200))))?;
        machine.drop_in("limits", "[Service]\nTimeoutStartSec=4s\nTimeoutStopSec=4s\n")?;
        machine.run("systemctl", &["start", "vrrpx"])?;
        pair.wait_for_master(0)?;
        machine.run("systemctl", &["stop", "vrrpx"])?;
        ensure!(machine.unit("Result")? == "success", "ended by {}", machine.unit("Result")?);
        let done = machine.log().matches("script done").count();
        ensure!(done == 2, "{done} scripts have ended");
        Ok(())
    })
}

/// An address for metrics that the host does not have yet.
#[test]
#[needs("ours", "systemctl", "dbus-daemon", "nsenter")]
fn an_address_for_metrics_that_comes_late_is_a_fault_of_the_host() -> Result<()> {
    booted(|pair, machine| {
        machine.run("systemctl", &["stop", "vrrpx"])?;
        pair.wait_for_master(1)?;
        machine.drop_in("metrics", "[Service]\nEnvironment=VRRPX_OPTIONS=--metrics=192.0.2.7:9112\n")?;
        machine.run("systemctl", &["start", "vrrpx"])?;
        pair.wait_for_master(0)?;
        let faults = || machine.status().map(|mut status| status["host_faults"].take());
        until("the fault", SETTLE, || faults().is_ok_and(|it| it[0]["about"] == "--metrics"))?;
        let fault = faults()?.to_string();
        ensure!(fault.contains("192.0.2.7:9112") && fault.contains("does not have the address"), "{fault}");
        machine.run("ip", &["address", "add", "192.0.2.7/32", "dev", "lo"])?;
        until("its end", RETRY + SETTLE, || faults().is_ok_and(|it| it == json!([])))?;
        let listening = machine.run("ss", &["-Hltn", "sport = :9112"])?;
        ensure!(listening.contains("192.0.2.7:9112"), "{listening}");
        Ok(())
    })
}

#[test]
#[needs("ours", "systemctl", "dbus-daemon", "nsenter")]
fn a_reload_and_a_killed_daemon_and_a_stop() -> Result<()> {
    booted(|pair, machine| {
        let before = machine.standing()?;
        machine.configure(&Config::of(Instance::v3(210)))?;
        machine.run("systemctl", &["reload", "vrrpx"])?;
        let priority =
            || Ok::<_, anyhow::Error>(machine.status()?["instances"][0]["priority"]["effective"].take());
        until("the other priority", SETTLE, || priority().is_ok_and(|it| it == 210))?;
        machine.configure(&Config::of(Instance::v3(210).line("nonsense")))?;
        ensure!(machine.run("systemctl", &["reload", "vrrpx"]).is_err(), "a broken file is accepted");
        ensure!(machine.standing()? == before, "a reload has changed the state");
        machine.configure(&Config::of(Instance::v3(210)))?;

        let pid = machine.unit("MainPID")?;
        machine.run("kill", &["-KILL", &pid])?;
        pair.wait_for_master(1)?;
        until("another daemon", SETTLE, || machine.unit("MainPID").is_ok_and(|it| it != pid && it != "0"))?;
        pair.wait_for_master(0)?;
        ensure!(machine.unit("NRestarts")? == "1", "started {} times", machine.unit("NRestarts")?);

        machine.run("systemctl", &["stop", "vrrpx"])?;
        pair.wait_for_master(1)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)?;
        ensure!(machine.unit("Result")? == "success", "ended by {}", machine.unit("Result")?);
        let left = machine
            .run("sh", &["-c", "cat /sys/fs/cgroup/system.slice/vrrpx.service/cgroup.procs 2>&- || true"])?;
        ensure!(left.is_empty(), "processes are left: {left}");
        let pins = machine.run("find", &["/sys/fs/bpf/vrrpx", "-mindepth", "1"])?;
        ensure!(pins.is_empty(), "pins are left: {pins}");
        Ok(())
    })
}
