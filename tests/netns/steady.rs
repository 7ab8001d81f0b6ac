//! Requests of a steady daemon to the kernel: none whose answer grows with the host.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use vrrp_tests::clock::{until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::Lab;
use vrrp_tests::needs;
use vrrp_tests::pair::SETTLE;
use vrrp_tests::process::{Directory, Process};

/// Many times the pause between two looks at the host.
const WATCH: Duration = Duration::from_secs(8);

/// Lists in that time: those of filters are read again each ten seconds.
const LISTS: usize = 3;

/// Links, addresses and filters are listed when the kernel reports a change of them.
#[test]
#[needs("ours", "strace")]
fn a_steady_master_asks_the_kernel_for_no_lists() -> Result<()> {
    for mode in [Mode::Auto, Mode::Tc] {
        let lab = Lab::new(1)?;
        let node = lab.nodes.first().context("no node")?;
        let config = Config::of(Instance::v3(200).addresses(&["10.77.0.200/24", "10.77.0.201/24"]));
        let mut running = Daemon::Vrrpx(mode).start(node, &config)?;
        until("the master", SETTLE, || running.standing().is_ok_and(|it| it.0 == "MASTER"))?;
        // Its own changes have been read by then.
        until("a steady master", SETTLE, || {
            let seconds = running.status().ok().and_then(|it| it["instances"][0]["since_seconds"].as_f64());
            seconds.is_some_and(|since| since > 3.0)
        })?;
        let directory = Directory::new()?;
        let calls = directory.path().join("calls");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-e", "trace=sendto,sendmsg", "-o"]).arg(&calls);
        strace.args(["-p", &running.process().pid().to_string()]);
        let mut strace = Process::start(strace, directory.path().join("log"))?;
        until("strace", SETTLE, || strace.log().contains("attached")).with_context(|| strace.log())?;
        watch(WATCH);
        strace.signal(Signal::SIGINT)?;
        strace.wait(SETTLE)?;
        let calls = fs::read_to_string(&calls)?;
        let lists: Vec<&str> = calls.lines().filter(|call| call.contains("NLM_F_DUMP")).collect();
        ensure!(lists.len() <= LISTS, "{} lists in {WATCH:?} on {mode:?}: {lists:#?}", lists.len());
    }
    Ok(())
}
