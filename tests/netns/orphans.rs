//! Leftovers of killed daemons in bpffs, which all network namespaces share.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, Running};
use vrrp_tests::lab::Lab;
use vrrp_tests::needs;
use vrrp_tests::pair::SETTLE;

/// Pin folder of a daemon.
fn pins(running: &Running) -> Result<PathBuf> {
    let directory = running.directory().to_string_lossy().replace('/', "+");
    let folders = std::fs::read_dir("/sys/fs/bpf/vrrpx")?.flatten().map(|folder| folder.path());
    let mut folders = folders.filter(|path| path.to_string_lossy().ends_with(&directory));
    folders.next().context("nothing is pinned")
}

fn start(lab: &Lab, node: usize, mode: Mode) -> Result<Running> {
    let config = Config::of(Instance::v3(100).vrid(u8::try_from(node + 1)?));
    let running = Daemon::Vrrpx(mode).start(lab.nodes.get(node).context("no such node")?, &config)?;
    let is_attached =
        || running.status().is_ok_and(|status| status["interfaces"][0]["receive_path"] == mode.as_str());
    until("the program to be attached", SETTLE, is_attached).with_context(|| running.log())?;
    Ok(running)
}

fn leaves_only_what_is_needed(mode: Mode) -> Result<()> {
    let lab = Lab::new(3)?;
    let (mut dead, mut lives) = (start(&lab, 0, mode)?, start(&lab, 1, mode)?);
    let (of_dead, of_lives) = (pins(&dead)?, pins(&lives)?);
    // Kills its guard too.
    dead.kill();
    start(&lab, 2, mode)?.stop()?;
    ensure!(of_dead.exists(), "the fence of a killed daemon is gone while its interface exists");
    ensure!(of_lives.exists(), "the pins of a living daemon are gone");

    lab.unplug(0)?;
    lab.unplug(1)?;
    let last = start(&lab, 2, mode)?;
    ensure!(!of_dead.exists(), "the pins of a dead daemon without an interface are there: {}", last.log());
    ensure!(last.log().contains("removed the pins"), "{}", last.log());
    ensure!(of_lives.exists(), "the pins of a living daemon without an interface are gone: {}", last.log());
    lives.stop()?;
    ensure!(!of_lives.exists(), "a stop leaves pins");
    Ok(())
}

#[test]
#[needs("ours")]
fn pins_of_dead_daemons_go_with_their_interfaces() -> Result<()> {
    leaves_only_what_is_needed(Mode::Tcx)
}

#[test]
#[needs("ours")]
fn pins_of_dead_daemons_go_on_the_native_hook() -> Result<()> {
    leaves_only_what_is_needed(Mode::Native)
}
