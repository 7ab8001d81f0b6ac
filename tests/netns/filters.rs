//! The program as a tc filter: it outlives every process without a pin, and the next daemon finds it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use vrrp_tests::clock::{elapse, poll, realtime, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, vrrpx};
use vrrp_tests::lab::{INTERFACE, Lab, VIRTUAL_V4};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, SETTLE};
use vrrp_tests::process::{Directory, Process};
use vrrp_tests::starvation::Starvation;

use crate::fence::{asked, ensure_fenced, is_there};
use crate::pair;

const DAEMON: Daemon = Daemon::Vrrpx(Mode::Tc);

/// Names of the ingress filters of node 0.
fn filters(lab: &Lab) -> Result<Vec<String>> {
    let node = lab.nodes.first().context("no node")?;
    let shown = node.namespace.run("tc", &["filter", "show", "dev", INTERFACE, "ingress"])?;
    let names = shown.split_whitespace().filter(|word| word.starts_with("vrrpx:"));
    Ok(names.map(str::to_owned).collect())
}

#[test]
#[needs("ours", "tc")]
fn a_filter_outlives_all_processes_as_a_fence_until_the_next_daemon() -> Result<()> {
    pair(DAEMON)?.check(|pair| {
        let prober = asked(pair)?;
        let since = realtime();
        pair.running(0)?.kill();
        ensure_fenced(pair, &prober, since)?;
        ensure!(pair.lab.has_address(0, VIRTUAL_V4)?, "the address is gone, so the test shows nothing");
        let left = filters(&pair.lab)?;
        ensure!(left.len() == 1, "filters: {left:?}");
        pair.restart(0, Signal::SIGKILL)?;
        pair.wait_for_master(0)?;
        let log = pair.running(0)?.log();
        ensure!(log.contains("detached the program of a killed daemon"), "{log}");
        let after = filters(&pair.lab)?;
        ensure!(after.len() == 1, "filters: {after:?}");
        elapse(Duration::from_millis(300));
        let (machine, back) = (Starvation::of_machine()?, realtime());
        let within = Duration::from_millis(300);
        machine.until("answers of the master, which a leftover filter would fence", within, || {
            prober.answers(0, back) > 50
        })
    })
}

#[test]
#[needs("ours", "tc")]
fn the_guard_and_a_clean_stop_leave_no_filter() -> Result<()> {
    pair(DAEMON)?.check(|pair| {
        let guard = pair.running(0)?.guard()?;
        pair.running(0)?.process().signal(Signal::SIGKILL)?;
        poll("the end of the guard", Duration::from_secs(5), || Ok((!is_there(guard)).then_some(())))?;
        ensure!(!pair.lab.has_address(0, VIRTUAL_V4)?, "the address is still there");
        let left = filters(&pair.lab)?;
        ensure!(left.is_empty(), "filters: {left:?}");
        pair.restart(0, Signal::SIGKILL)?;
        pair.wait_for_master(0)?;
        pair.stop(0)?;
        let left = filters(&pair.lab)?;
        ensure!(left.is_empty(), "filters: {left:?}");
        Ok(())
    })
}

#[test]
#[needs("ours", "tc")]
fn a_filter_removed_by_hand_is_attached_again_without_a_takeover() -> Result<()> {
    pair(DAEMON)?.check(|pair| {
        let mut last = 0;
        for words in [&["filter", "del"][..], &["qdisc", "del"]] {
            pair.observer.clear();
            let node = pair.node(1)?;
            let place = if words[0] == "filter" { "ingress" } else { "clsact" };
            node.namespace.run("tc", &[words, &["dev", INTERFACE, place]].concat())?;
            poll("the program to be attached again", SETTLE, || {
                let log = pair.running(1)?.log();
                let reported = log.lines().filter(|line| line.contains("attaching it again")).count();
                Ok((reported > last).then(|| last = reported))
            })?;
            watch(Duration::from_millis(500));
            pair.observer.ensure_only(0)?;
        }
        pair.die(0)?;
        pair.wait_for_master(1)
    })
}

#[test]
#[needs("ours", "tc")]
fn another_filter_and_another_daemon_are_left_alone() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let tc = |words: &str| node.namespace.run("tc", &words.split(' ').collect::<Vec<_>>());
    tc(&format!("qdisc add dev {INTERFACE} clsact"))?;
    tc(&format!("filter add dev {INTERFACE} ingress pref 1 protocol all u32 match u32 0 0 classid 1:1"))?;
    let start = |vrid: u8| {
        let address = format!("10.77.0.{}/24", 200 + vrid);
        DAEMON.start(node, &Config::of(Instance::v3(100).vrid(vrid).addresses(&[&address])))
    };
    let (mut first, second) = (start(1)?, start(2)?);
    for (running, address) in [(&first, "10.77.0.201"), (&second, "10.77.0.202")] {
        let mine = poll("the address", SETTLE, || Ok(lab.has_address(0, address)?.then_some(())));
        mine.with_context(|| running.log())?;
    }
    ensure!(filters(&lab)?.len() == 2, "filters: {:?}", filters(&lab)?);
    first.stop()?;
    ensure!(filters(&lab)?.len() == 1, "filters: {:?}", filters(&lab)?);
    let shown = node.namespace.run("tc", &["filter", "show", "dev", INTERFACE, "ingress"])?;
    ensure!(shown.contains("u32"), "the other filter is gone: {shown}");
    ensure!(second.status()?["instances"][0]["state"] == "MASTER", "{}", second.status()?);
    Ok(())
}

/// What a program that manages its own filter does: it names the place that the kernel gives to the first one.
#[test]
#[needs("ours", "tc")]
fn a_filter_that_another_program_sets_by_its_handle_is_left_alone_and_so_is_ours() -> Result<()> {
    pair(DAEMON)?.check(|pair| {
        let shown = |pair: &Pair| -> Result<String> {
            pair.node(0)?.namespace.run("tc", &["filter", "show", "dev", INTERFACE, "ingress"])
        };
        // A classic program that takes no packet.
        let replace = |pair: &Pair, handle: &str| {
            let words = ["filter", "replace", "dev", INTERFACE, "ingress", "pref", "1", "handle", handle];
            let rest = ["protocol", "all", "bpf", "bytecode", "1,6 0 0 0"];
            pair.node(0)?.namespace.run("tc", &[&words[..], &rest[..]].concat())
        };
        let bytecodes = |pair: &Pair| Ok::<_, anyhow::Error>(shown(pair)?.matches("bytecode").count());
        replace(pair, "1")?;
        ensure!(filters(&pair.lab)?.len() == 1, "ours is gone: {}", shown(pair)?);
        // And one that takes our own place.
        let text = shown(pair)?;
        let ours = text.lines().find(|line| line.contains("vrrpx:")).context("no filter of ours")?;
        let handle =
            ours.split_whitespace().skip_while(|word| *word != "handle").nth(1).context("no handle")?;
        let threads = Starvation::of_ordinary_threads()?;
        replace(pair, handle)?;
        // The daemon may have attached ours again by now, but not in that place.
        ensure!(bytecodes(pair)? == 2, "not replaced: {}", shown(pair)?);
        threads.until("our filter", Duration::from_secs(3), || {
            filters(&pair.lab).is_ok_and(|filters| filters.len() == 1)
        })?;
        ensure!(bytecodes(pair)? == 2, "{}", shown(pair)?);
        let guard = pair.running(0)?.guard()?;
        pair.running(0)?.process().signal(Signal::SIGKILL)?;
        poll("the end of the guard", Duration::from_secs(5), || Ok((!is_there(guard)).then_some(())))?;
        ensure!(filters(&pair.lab)?.is_empty() && bytecodes(pair)? == 2, "{}", shown(pair)?);
        pair.restart(0, Signal::SIGKILL)?;
        pair.wait_for_master(0)?;
        pair.stop(0)?;
        ensure!(filters(&pair.lab)?.is_empty() && bytecodes(pair)? == 2, "{}", shown(pair)?);
        Ok(())
    })
}

/// As `ip netns exec` and container engines start it: in its own mount namespace, without the host's bpffs.
#[test]
#[needs("ours", "tc", "unshare")]
fn a_filter_is_used_if_no_pin_outlives_the_daemon() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let directory = Directory::new()?;
    let path = directory.path();
    let config = path.join("vrrpx.conf");
    std::fs::write(&config, Config::of(Instance::v3(100)).to_string())?;
    // The new mount hides the host's.
    let script = "umount -l /sys/fs/bpf; mount -t bpf bpf /sys/fs/bpf; exec \"$@\"";
    for prepare in ["umount -l /sys/fs/bpf 2>/dev/null; exec \"$@\"", script] {
        let mut command = node.namespace.command("unshare")?;
        command.args(["--mount", "sh", "-c", prepare, "sh"]).arg(vrrpx());
        command.args(["run", "--config"]).arg(&config).arg("--runtime-dir").arg(path);
        let mut process = Process::start(command, path.join("log"))?;
        let served = poll("the address", SETTLE, || Ok(lab.has_address(0, VIRTUAL_V4)?.then_some(())));
        served.with_context(|| process.log())?;
        let status = std::process::Command::new(vrrpx())
            .args(["status", "--json", "--runtime-dir"])
            .arg(path)
            .output()?;
        let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
        ensure!(status["interfaces"][0]["receive_path"] == "tc", "{:#}", status["interfaces"]);
        ensure!(status["fence"]["pinned"] == true, "{:#}", status["fence"]);
        ensure!(filters(&lab)?.len() == 1, "filters: {:?}", filters(&lab)?);
        process.signal(Signal::SIGTERM)?;
        process.wait(SETTLE)?;
        ensure!(filters(&lab)?.is_empty(), "filters: {:?}", filters(&lab)?);
    }
    Ok(())
}
