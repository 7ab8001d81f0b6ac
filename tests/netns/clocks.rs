//! Daemons in time namespaces: the BPF program stamps with the host's clock, the daemon has a shifted one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{monotonic, realtime, until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, vrrpx};
use vrrp_tests::pair::{Pair, SETTLE};
use vrrp_tests::process::{Directory, Process};
use vrrp_tests::starvation::Starvation;
use vrrp_tests::{cases, needs};

use crate::fence::{asked, ensure_fenced};
use crate::{ensure_unmoved, roles, standings};

const AHEAD: i64 = 1000;
/// Many times a peer's Master_Down_Interval at 100 ms adverts.
const PEACE: Duration = Duration::from_secs(3);

/// Seconds of a backward shift; a clock cannot be set before the boot.
fn behind() -> i64 {
    -i64::try_from(monotonic() / 2_000_000_000).unwrap_or(0).min(100)
}

fn shifted(mode: Mode, seconds: [i64; 2]) -> Result<Pair> {
    let mut pair = Pair::idle(roles(Daemon::Vrrpx(mode), Instance::v3(200), Instance::v3(100)))?;
    for (node, seconds) in pair.lab.nodes.iter_mut().zip(seconds) {
        node.namespace.shift_clock(seconds)?;
    }
    Ok(pair)
}

/// Node 0 alone sends, and on time.
fn ensure_peace(pair: &mut Pair, span: Duration) -> Result<()> {
    pair.observer.clear();
    let (machine, since) = (Starvation::of_machine()?, realtime());
    watch(span);
    let adverts = pair.observer.adverts();
    let strange = adverts.iter().filter(|(_, node, advert)| *node != 0 || advert.priority != 200).count();
    ensure!(strange == 0, "{strange} adverts of the backup, or of a master that leaves");
    let silence = pair.observer.longest_silence(since).context("no adverts")?;
    let bound = Duration::from_millis(250) + machine.longest();
    ensure!(silence < bound, "no advert for {silence:?}");
    Ok(())
}

fn live(mode: Mode) -> Result<()> {
    let seconds = [AHEAD, behind()];
    live_with(mode, seconds)?;
    live_with(mode, [seconds[1], seconds[0]])
}

fn live_with(mode: Mode, seconds: [i64; 2]) -> Result<()> {
    shifted(mode, seconds)?.check(|pair| {
        [0, 1].into_iter().try_for_each(|node| pair.start(node))?;
        pair.wait_for_master(0)?;
        for node in [0, 1] {
            let running = pair.running(node)?;
            until("the receive path", SETTLE, || {
                running.status().is_ok_and(|status| status["interfaces"][0]["receive_path"] == mode.as_str())
            })?;
        }
        let prober = asked(pair)?;
        let before = standings(pair)?;
        let spent = [pair.running(0)?.cpu_time()?, pair.running(1)?.cpu_time()?];
        ensure_peace(pair, PEACE)?;
        for (node, spent) in spent.into_iter().enumerate() {
            // A deadline that is always in the past would keep a processor busy.
            let spent = pair.running(node)?.cpu_time()?.saturating_sub(spent);
            ensure!(spent < PEACE / 4, "node {node} has computed for {spent:?}");
        }
        // Each newer process runs with the other node's shift.
        for (node, seconds) in [1, 0].into_iter().zip(seconds) {
            pair.lab.nodes[node].namespace.shift_clock(seconds)?;
            ensure!(pair.hot_restart(node, &[])?.success(), "the old process ended with an error");
        }
        ensure_peace(pair, PEACE)?;
        ensure_unmoved(pair, &before)?;
        let since = realtime();
        pair.running(0)?.kill();
        match mode {
            Mode::Socket => drop(pair.observer.wait_for_advert(1, since, Duration::from_secs(2))?),
            _ => ensure_fenced(pair, &prober, since)?,
        }
        for (node, seconds) in [1, 0].into_iter().zip(seconds) {
            let reported = if seconds > 0 { "is ahead of the host's" } else { "is behind the host's" };
            ensure!(
                pair.running(node)?.log().contains(reported),
                "node {node} does not log its clock's offset"
            );
        }
        Ok(())
    })
}

cases! {
    #[needs("ours")]
    fn on_the_native_hook = live(Mode::Native);
    fn at_tcx = live(Mode::Tcx);
    fn on_the_generic_hook = live(Mode::Generic);
    fn on_sockets = live(Mode::Socket);
}

/// In a container that hides /proc/self/timens_offsets.
#[test]
#[needs("ours", "unshare")]
fn a_clock_offset_missing_in_proc_is_measured() -> Result<()> {
    const HIDE: &str = "mount --bind /dev/null /proc/$$/timens_offsets && exec \"$@\"";
    shifted(Mode::Tcx, [behind(), AHEAD])?.check(|pair| {
        pair.start(0)?;
        let directory = Directory::new()?;
        let file = directory.path().join("keepalived.conf");
        std::fs::write(&file, Config::of(Instance::v3(100)).to_string())?;
        let mut command = pair.node(1)?.namespace.command("unshare")?;
        command.args(["--mount", "sh", "-c", HIDE, "sh"]).arg(vrrpx());
        command.args(["run", "--xdp-mode", "tcx", "--config"]).arg(&file);
        command.arg("--runtime-dir").arg(directory.path());
        let backup = Process::start_in(command, directory)?;
        for reported in [format!("seconds={AHEAD}.0"), "receive_path=tcx".to_owned()] {
            until(&reported, SETTLE, || backup.log().contains(&reported)).with_context(|| backup.log())?;
        }
        pair.wait_for_master(0)?;
        ensure_peace(pair, PEACE).with_context(|| backup.log())?;
        pair.die(0)?;
        pair.wait_for_master(1).with_context(|| backup.log())
    })
}
