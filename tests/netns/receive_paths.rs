//! Receive paths: each of them works, and the daemon reports why it does not use one.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_tests::clock::{poll, until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, vrrpx};
use vrrp_tests::flavour::{Flavour, lifecycle};
use vrrp_tests::lab::{Lab, VIRTUAL_V4};
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::{Directory, Process};
use vrrp_tests::{cases, needs};
use vrrp_user::driver::xdp::Pins;

use crate::roles;

cases! {
    #[needs("ours")]
    fn native = on(Mode::Native, Flavour::V3);
    fn tcx = on(Mode::Tcx, Flavour::V3);
    fn tc = on(Mode::Tc, Flavour::V3);
    fn generic = on(Mode::Generic, Flavour::V3);
    fn socket = on(Mode::Socket, Flavour::V3);
    fn socket_over_ipv6 = on(Mode::Socket, Flavour::V6);
    fn socket_with_password = on(Mode::Socket, Flavour::V2);
}

#[test]
#[needs("ours")]
fn daemons_with_separate_runtime_directories_share_an_interface() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let daemon = Daemon::Vrrpx(Mode::Auto);
    let start = |vrid: u8| {
        let address = format!("10.77.0.{}/24", 200 + vrid);
        daemon.start(node, &Config::of(Instance::v3(100).vrid(vrid).addresses(&[&address])))
    };
    let (mut first, second) = (start(1)?, start(2)?);
    for (running, address) in [(&first, "10.77.0.201"), (&second, "10.77.0.202")] {
        let mine = poll("the address", SETTLE, || Ok(lab.has_address(0, address)?.then_some(())));
        mine.with_context(|| running.log())?;
        until("its state", SETTLE, || running.standing().is_ok_and(|it| it.0 == "MASTER"))?;
    }
    first.stop()?;
    ensure!(!lab.has_address(0, "10.77.0.201")?, "the first daemon has left its address");
    ensure!(lab.has_address(0, "10.77.0.202")?, "the second daemon has lost its address");
    ensure!(second.standing()?.0 == "MASTER", "{}", second.status()?);
    Ok(())
}

#[test]
#[needs("ours")]
fn a_runtime_directory_serves_one_daemon() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let first = Daemon::Vrrpx(Mode::Socket).start(node, &Config::of(Instance::v3(100)))?;
    until("the first daemon to run", SETTLE, || first.status().is_ok()).with_context(|| first.log())?;
    let mut second = node.namespace.command(vrrpx())?;
    second.args(["run", "--config"]).arg(first.directory().join("keepalived.conf"));
    second.arg("--runtime-dir").arg(first.directory());
    let directory = Directory::new()?;
    let mut second = Process::start(second, directory.path().join("log"))?;
    let status = second.wait(SETTLE)?;
    ensure!(!status.success(), "a second daemon took the same directory");
    ensure!(second.log().contains(&first.directory().display().to_string()), "{}", second.log());
    ensure!(first.status().is_ok(), "the first is gone");
    Ok(())
}

#[test]
#[needs("ours")]
fn a_taken_hook_is_reported_and_bypassed() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    // Two daemons may not share an address.
    let start = |mode, vrid: u8| {
        let address = format!("10.77.0.{}/24", 100 + vrid);
        let instance = Instance::v3(100).vrid(vrid).addresses(&[&address]);
        Daemon::Vrrpx(mode).start(node, &Config::of(instance))
    };
    let first = start(Mode::Native, 1)?;
    ensure!(first.rx_path()? == "native", "{}", first.log());
    let second = start(Mode::Native, 2)?;
    ensure!(second.rx_path()? != "native", "two programs on one hook: {}", second.log());
    let reported = format!("{}{}", second.log(), second.status()?).to_lowercase();
    ensure!(["taken", "busy", "in use", "occupied"].iter().any(|word| reported.contains(word)), "{reported}");
    Ok(())
}

/// The hook becomes free while the daemon runs on a packet socket.
#[test]
#[needs("ours")]
fn a_hook_that_is_free_again_is_taken() -> Result<()> {
    let lab = Lab::new(2)?;
    for (node, mode) in lab.nodes.iter().zip([Mode::Native, Mode::Generic]) {
        let start = |vrid: u8| {
            let address = format!("10.77.0.{}/24", 100 + vrid);
            let instance = Instance::v3(100).vrid(vrid).addresses(&[&address]);
            Daemon::Vrrpx(mode).start(node, &Config::of(instance))
        };
        let mut first = start(1)?;
        ensure!(first.rx_path()? == mode.as_str(), "{}", first.log());
        let second = start(2)?;
        until("its state", SETTLE, || second.standing().is_ok_and(|it| it.0 == "MASTER"))?;
        let before = second.standing()?;
        ensure!(second.rx_path()? == "socket", "two programs on one hook: {}", second.log());
        first.stop()?;
        until("the program in the place of the socket", 2 * SETTLE, || {
            second.rx_path().is_ok_and(|it| it == mode.as_str())
        })
        .with_context(|| second.log())?;
        let status = second.status()?;
        ensure!(status["instances"][0]["fenced"] == true, "it is not fenced: {status}");
        ensure!(second.standing()? == before, "the master has moved: {status}");
    }
    Ok(())
}

#[test]
#[needs("ours", "setpriv")]
fn without_cap_bpf_the_daemon_uses_sockets_and_logs_why() -> Result<()> {
    // CAP_PERFMON, CAP_BPF and CAP_SYS_ADMIN, which implies them.
    let (lab, process) = without("-cap_38,-cap_39,-cap_21")?;
    let served = poll("the address", SETTLE, || Ok(lab.has_address(0, VIRTUAL_V4)?.then_some(())));
    served.with_context(|| process.log())?;
    ensure!(process.log().contains("CAP_BPF"), "{}", process.log());
    Ok(())
}

#[test]
#[needs("ours", "setpriv")]
fn without_cap_net_raw_the_daemon_exits_and_logs_why() -> Result<()> {
    let (_lab, mut process) = without("-cap_13")?;
    let status = process.wait(Duration::from_secs(10)).with_context(|| process.log())?;
    ensure!(!status.success(), "the daemon succeeded: {}", process.log());
    ensure!(process.log().contains("CAP_NET_RAW"), "{}", process.log());
    Ok(())
}

fn on(mode: Mode, flavour: Flavour) -> Result<()> {
    let daemon = Daemon::Vrrpx(mode);
    Pair::settled(flavour.roles(daemon, daemon))?.check(|pair| {
        for node in [0, 1] {
            let rx_path = pair.running(node)?.rx_path()?;
            ensure!(rx_path == mode.as_str(), "receive path {rx_path} instead of {}", mode.as_str());
        }
        lifecycle(pair)
    })
}

/// The daemon on a node, with fewer capabilities.
fn without(capabilities: &str) -> Result<(Lab, Process)> {
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let directory = Directory::new()?;
    let config = directory.path().join("vrrpx.conf");
    std::fs::write(&config, Config::of(Instance::v3(100)).to_string())?;
    let mut command = node.namespace.command("setpriv")?;
    command.args(["--bounding-set", capabilities, "--inh-caps=-all"]).arg(vrrpx());
    command.args(["run", "--config"]).arg(&config).arg("--runtime-dir").arg(directory.path());
    let process = Process::start_in(command, directory)?;
    Ok((lab, process))
}

/// Whether one of these folders has the pin of an attached program.
fn has_link(pins: &[PathBuf]) -> bool {
    let files =
        |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path());
    let layouts = pins.iter().cloned().flat_map(files);
    layouts
        .flat_map(files)
        .any(|pin| pin.file_name().is_some_and(|it| it.to_string_lossy().starts_with("link")))
}

/// Another process may detach the program. Silence for that reason must not cause a second master.
#[test]
#[needs("ours")]
fn a_detached_program_is_attached_again_without_a_takeover() -> Result<()> {
    for (mode, is_successor) in
        [(Mode::Tcx, false), (Mode::Native, false), (Mode::Tcx, true), (Mode::Native, true)]
    {
        let instance = |priority| Instance::v3(priority).interval(20);
        Pair::settled(roles(Daemon::Vrrpx(mode), instance(200), instance(100)))?.check(|pair| {
            if is_successor {
                ensure!(pair.hot_restart(1, &[])?.success(), "the old process ended with an error");
            }
            pair.running(1)?.rx_path()?;
            pair.observer.clear();
            let reported = |pair: &mut Pair| -> Result<usize> {
                let log = pair.running(1)?.log();
                Ok(log.lines().filter(|line| line.contains("attaching it again")).count())
            };
            for round in 1..=3 {
                let directory = pair.running(1)?.directory().to_owned();
                let detached = pair.node(1)?.namespace.enter(|| Ok(Pins::open(&directory)?.clear()?))?;
                ensure!(detached == 1, "{detached} programs were there");
                until("the program to be attached again", SETTLE, || {
                    let is_pinned = pair.running(1).is_ok_and(|it| has_link(&it.pins()));
                    is_pinned && reported(pair).is_ok_and(|count| count == round)
                })?;
                watch(Duration::from_millis(500));
            }
            pair.observer.ensure_only(0)?;
            let reported = reported(pair)?;
            ensure!(reported == 3, "logged {reported} times");
            // It receives again, so it is an heir again.
            pair.die(0)?;
            pair.wait_for_master(1)
        })?;
    }
    Ok(())
}

/// No memory for the filters of sockets: a limit of the network namespace (Linux 6.9).
#[test]
#[needs("ours")]
fn a_missing_receive_path_is_named_and_tried_again() -> Result<()> {
    let role = |priority| Role::new(Daemon::Vrrpx(Mode::Socket), Config::of(Instance::v3(priority)));
    Pair::idle([role(100), role(200)])?.check(|pair| {
        let node = |pair: &Pair, lines: &str| pair.node(0)?.namespace.ip(lines);
        node(pair, "link set lan0 down\nlink set lan0 name away0")?;
        pair.start(0)?;
        until("the daemon", SETTLE, || pair.running(0).is_ok_and(|it| it.is_up()))?;
        pair.node(0)?.namespace.sysctl("core/optmem_max", "1")?;
        node(pair, "link set away0 name lan0\nlink set lan0 up")?;
        until("the status to name it", SETTLE, || {
            let shown = pair.running(0).and_then(|it| it.ask(&["status"]));
            let named = "! lan0: no receive path, so that no other router is heard: socket: ";
            shown.is_ok_and(|shown| String::from_utf8_lossy(&shown.stdout).contains(named))
        })?;
        let of_interface = |pair: &mut Pair, key: &str| -> Result<Value> {
            Ok(pair.running(0)?.status()?["interfaces"][0][key].clone())
        };
        ensure!(of_interface(pair, "receive_path")? == "none", "there is a receive path");
        pair.node(0)?.namespace.sysctl("core/optmem_max", "131072")?;
        until("a receive path", SETTLE, || {
            of_interface(pair, "receive_path").is_ok_and(|path| path == "socket")
        })?;
        let log = pair.running(0)?.log();
        ensure!(log.matches("adverts cannot be heard").count() == 1, "not logged once");
        pair.wait_for_master(0)?;
        pair.start(1)?;
        until("the node to hear the other one", SETTLE, || {
            pair.running(0).and_then(|it| it.status()).is_ok_and(|it| it["instances"][0]["state"] == "BACKUP")
        })
    })
}
