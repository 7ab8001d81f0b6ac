//! The unit that is shipped, run by systemd itself.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::require;
use vrrp_tests::service::Machine;

use crate::{ours, stance_in};

/// State and epoch of its instance.
fn stance(machine: &Machine) -> Result<(String, u64)> {
    stance_in(&machine.status()?)
}

/// Node 0 is the machine, of priority 200.
fn booted(scenario: impl Fn(&mut Pair, &Machine) -> Result<()>) -> Result<()> {
    if !(ours() && require("systemctl") && require("dbus-daemon") && require("nsenter")) {
        return Ok(());
    }
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

/// Over the system bus, and where there is none over systemd's own socket.
#[test]
fn a_restart_moves_nobody_with_and_without_a_bus() -> Result<()> {
    booted(|pair, machine| {
        let before = stance(machine)?;
        pair.observer.clear();
        for has_bus in [false, true] {
            if has_bus {
                machine.run("systemctl", &["start", "dbus.service"])?;
            }
            let pid = machine.unit("MainPID")?;
            machine.run("systemctl", &["restart", "vrrpx"])?;
            sleep(Duration::from_millis(800));
            ensure!(machine.unit("MainPID")? != pid, "it was not restarted");
            ensure!(stance(machine)? == before, "bus {has_bus}: {:?} was {before:?}", stance(machine)?);
        }
        let adverts = pair.observer.adverts();
        ensure!(adverts.iter().all(|(_, node, _)| *node == 0), "the peer has sent adverts");
        ensure!(adverts.iter().all(|(.., advert)| advert.priority != 0), "a release was sent");
        Ok(())
    })
}

#[test]
fn a_reload_and_a_killed_daemon_and_a_stop() -> Result<()> {
    booted(|pair, machine| {
        let before = stance(machine)?;
        machine.configure(&Config::of(Instance::v3(210)))?;
        machine.run("systemctl", &["reload", "vrrpx"])?;
        let priority =
            || Ok::<_, anyhow::Error>(machine.status()?["instances"][0]["priority"]["effective"].take());
        until("the other priority", SETTLE, || priority().is_ok_and(|it| it == 210))?;
        machine.configure(&Config::of(Instance::v3(210).line("nonsense")))?;
        ensure!(machine.run("systemctl", &["reload", "vrrpx"]).is_err(), "a broken file is taken");
        ensure!(stance(machine)? == before, "a reload has moved it");
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
