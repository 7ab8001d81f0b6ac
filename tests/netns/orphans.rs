//! Leftovers of killed daemons in bpffs, which all network namespaces share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use vrrp_tests::arp::ArpProber;
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, Running, vrrpx};
use vrrp_tests::lab::{INTERFACE, Lab, VIRTUAL_V4};
use vrrp_tests::needs;
use vrrp_tests::pair::SETTLE;
use vrrp_user::daemon::host_faults::RETRY;
use vrrp_user::driver::netlink::origin;

use crate::fence::is_there;

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
    ensure!(of_lives.exists(), "the pins of a living daemon without an interface are gone: {}", last.log());
    lives.stop()?;
    ensure!(!of_lives.exists(), "a stop leaves pins");
    Ok(())
}

/// Kills a daemon and its guard, whose fence then keeps neighbours from the address.
fn killed(lab: &Lab, mode: Mode) -> Result<Running> {
    let mut dead = start(lab, 0, mode)?;
    let has_address = || lab.has_address(0, VIRTUAL_V4).is_ok_and(|it| it);
    until("the address of a master", SETTLE, has_address).with_context(|| dead.log())?;
    dead.kill();
    Ok(dead)
}

/// Whether a neighbour gets answers of node 0.
fn until_answered(lab: &Lab) -> Result<()> {
    let prober = ArpProber::new(lab, VIRTUAL_V4.parse()?, Duration::from_millis(5))?;
    until("answers of node 0", SETTLE, || prober.answers(0, 0) > 10)
}

/// No later run has their name.
#[test]
#[needs("ours")]
fn a_lab_takes_the_pins_of_its_dead_daemons_along() -> Result<()> {
    let lab = Lab::new(1)?;
    let dead = killed(&lab, Mode::Tcx)?;
    ensure!(!dead.pins().is_empty(), "a killed daemon leaves no pins");
    drop(lab);
    ensure!(dead.pins().is_empty(), "{:?}", dead.pins());
    Ok(())
}

fn another_daemon_serves_the_address_of_a_dead_one(mode: Mode) -> Result<()> {
    let lab = Lab::new(1)?;
    let _dead = killed(&lab, mode)?;
    let heir = start(&lab, 0, mode)?;
    until_answered(&lab).with_context(|| heir.log())?;
    ensure!(heir.log().contains("removed what another killed daemon has left"), "{}", heir.log());
    Ok(())
}

#[test]
#[needs("ours")]
fn another_daemon_serves_the_address_of_a_dead_one_by_tc() -> Result<()> {
    another_daemon_serves_the_address_of_a_dead_one(Mode::Tc)
}

#[test]
#[needs("ours")]
fn another_daemon_serves_the_address_of_a_dead_one_by_a_pin() -> Result<()> {
    another_daemon_serves_the_address_of_a_dead_one(Mode::Tcx)
}

/// The address is one that no instance of this daemon has before.
#[test]
#[needs("ours")]
fn a_reload_serves_the_address_of_a_dead_daemon() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let mode = Mode::Tcx;
    let other = Instance::v3(100).vrid(7).addresses(&["10.77.0.201/24"]);
    let mut lives = Daemon::Vrrpx(mode).start(node, &Config::of(other))?;
    let _dead = killed(&lab, mode)?;
    let reloaded = lives.reload(&Config::of(Instance::v3(100).vrid(1)).to_string())?;
    ensure!(reloaded.status.success(), "{reloaded:?}");
    until_answered(&lab).with_context(|| lives.log())
}

fn clean(lab: &Lab, node: usize, runtime_dir: &Path) -> Result<String> {
    let node = lab.nodes.get(node).context("no node")?;
    let runtime_dir = runtime_dir.to_string_lossy();
    node.namespace.run(&vrrpx().to_string_lossy(), &["cleanup", "--runtime-dir", &runtime_dir])
}

/// As before a return to keepalived, which sets the address next.
#[test]
#[needs("ours")]
fn cleanup_removes_what_a_dead_daemon_has_left_and_nothing_else() -> Result<()> {
    for mode in [Mode::Tc, Mode::Native, Mode::Socket] {
        let lab = Lab::new(1)?;
        let node = lab.nodes.first().context("no node")?;
        let other = Instance::v3(100).vrid(7).addresses(&["10.77.0.201/24"]);
        let lives = Daemon::Vrrpx(Mode::Tcx).start(node, &Config::of(other))?;
        until("another master", SETTLE, || lab.has_address(0, "10.77.0.201").is_ok_and(|it| it))?;
        let dead = killed(&lab, mode)?;
        let of_lives = pins(&lives)?;
        let clean = || clean(&lab, 0, dead.directory());
        let printed = clean()?;
        ensure!(printed.contains(&*dead.directory().to_string_lossy()), "{mode:?}: {printed}");
        ensure!(!lab.has_address(0, VIRTUAL_V4)?, "{mode:?}: the address is there");
        ensure!(dead.pins().is_empty(), "{mode:?}: {:?}", dead.pins());
        ensure!(clean()?.is_empty(), "{mode:?}: there was more to remove");
        ensure!(
            of_lives.exists() && lab.has_address(0, "10.77.0.201")?,
            "{mode:?}: the living daemon has lost something"
        );
        node.namespace.ip(&format!("addr add {VIRTUAL_V4}/24 dev {INTERFACE}"))?;
        until_answered(&lab)?;
    }
    Ok(())
}

/// As with a container, whose runtime directory ends with it: another daemon must not make a second owner.
#[test]
#[needs("ours")]
fn a_fence_without_a_plan_takes_its_addresses_along() -> Result<()> {
    for mode in [Mode::Tc, Mode::Tcx, Mode::Native] {
        let lab = Lab::new(1)?;
        let node = lab.nodes.first().context("no node")?;
        let dead = killed(&lab, mode)?;
        std::fs::remove_file(dead.directory().join("guard"))?;
        node.namespace.ip("route add 198.51.100.0/24 via 10.77.0.99 proto 18")?;
        let other = Instance::v3(100).vrid(7).addresses(&["10.77.0.201/24"]);
        let lives = Daemon::Vrrpx(Mode::Tcx).start(node, &Config::of(other))?;
        until("another master", SETTLE, || lab.has_address(0, "10.77.0.201").is_ok_and(|it| it))?;
        if !origin::is_supported() {
            let is_kept = lab.has_address(0, VIRTUAL_V4)? && lives.log().contains("its fence stays");
            ensure!(is_kept, "{mode:?}: a fence or an address of an unknown origin is gone: {}", lives.log());
            continue;
        }
        ensure!(!lab.has_address(0, VIRTUAL_V4)?, "{mode:?}: the address stays: {}", lives.log());
        let named = lives.log().contains("of the 1 routes and 0 rules that VRRP has set");
        ensure!(named, "{mode:?}: its route is not named: {}", lives.log());
        ensure!(dead.pins().is_empty(), "{mode:?}: {:?}", dead.pins());
        node.namespace.ip(&format!("addr add {VIRTUAL_V4}/24 dev {INTERFACE}"))?;
        until_answered(&lab).with_context(|| format!("{mode:?}: {}", lives.log()))?;
    }
    Ok(())
}

#[test]
#[needs("ours")]
fn a_fence_of_an_address_that_another_has_set_stays_until_it_is_forced() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let dead = killed(&lab, Mode::Tcx)?;
    let runtime_dir = dead.directory();
    std::fs::remove_file(runtime_dir.join("guard"))?;
    let address = format!("{VIRTUAL_V4}/24 dev {INTERFACE}");
    node.namespace.ip(&format!("addr del {address}\naddr add {address}"))?;
    let error = format!("{:#}", clean(&lab, 0, runtime_dir).err().context("the fence has been removed")?);
    ensure!(error.contains(VIRTUAL_V4) && error.contains("--force"), "{error}");
    ensure!(lab.has_address(0, VIRTUAL_V4)? && dead.pins().len() == 1, "{error}");
    let words = ["cleanup", "--force", "--runtime-dir", &*runtime_dir.to_string_lossy()];
    node.namespace.run(&vrrpx().to_string_lossy(), &words)?;
    ensure!(lab.has_address(0, VIRTUAL_V4)? && dead.pins().is_empty(), "{:?}", dead.pins());
    until_answered(&lab)
}

/// Another daemon names the fence, with what to do, and removes it once that is done.
#[test]
#[needs("ours")]
fn a_fence_that_stays_is_a_problem_until_its_address_is_gone() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let dead = killed(&lab, Mode::Tcx)?;
    std::fs::remove_file(dead.directory().join("guard"))?;
    let address = format!("{VIRTUAL_V4}/24 dev {INTERFACE}");
    node.namespace.ip(&format!("addr del {address}\naddr add {address}"))?;
    let other = Instance::v3(100).vrid(7).addresses(&["10.77.0.201/24"]);
    let lives = Daemon::Vrrpx(Mode::Tcx).start(node, &Config::of(other))?;
    let problem = format!("killed daemon of {}", dead.directory().display());
    let faults = || lives.status().map(|status| status["host_faults"].to_string()).unwrap_or_default();
    let is_shown = |found: &str| found.contains(&problem) && found.contains("vrrpx cleanup --force");
    until("the problem", SETTLE, || is_shown(&faults())).with_context(|| lives.log())?;
    node.namespace.ip(&format!("addr del {address}"))?;
    until("the end of the problem", 2 * RETRY, || faults() == "[]").with_context(faults)?;
    ensure!(dead.pins().is_empty(), "{:?}: {}", dead.pins(), lives.log());
    ensure!(lives.log().matches(&problem).count() == 1, "it is logged again: {}", lives.log());
    Ok(())
}

/// As after an `ExecStart=` with nsenter(1), which `ExecStopPost=` lacks.
#[test]
#[needs("ours")]
fn cleanup_in_another_namespace_leaves_the_plan() -> Result<()> {
    let lab = Lab::new(2)?;
    let dead = killed(&lab, Mode::Socket)?;
    for node in &lab.nodes {
        node.namespace.ip(&format!("addr replace {VIRTUAL_V4}/24 dev {INTERFACE}"))?;
    }
    let error = format!("{:#}", clean(&lab, 1, dead.directory()).err().context("it succeeds")?);
    ensure!(error.contains("another network namespace"), "{error}");
    ensure!(lab.has_address(1, VIRTUAL_V4)?, "an address of another namespace is gone");
    let printed = clean(&lab, 0, dead.directory())?;
    ensure!(!lab.has_address(0, VIRTUAL_V4)?, "the plan has been cleared: {printed}");
    Ok(())
}

/// A removal of the package, while another daemon has the address.
#[test]
#[needs("ours")]
fn cleanup_does_not_repeat_what_a_guard_has_done() -> Result<()> {
    for mode in [Mode::Tc, Mode::Tcx] {
        let lab = Lab::new(1)?;
        let mut dead = start(&lab, 0, mode)?;
        let has_address = || lab.has_address(0, VIRTUAL_V4).is_ok_and(|it| it);
        until("the address of a master", SETTLE, has_address).with_context(|| dead.log())?;
        let guard = dead.guard()?;
        dead.process().signal(Signal::SIGKILL)?;
        until("the end of the guard", SETTLE, || !is_there(guard))?;
        ensure!(!has_address(), "{mode:?}: the guard leaves the address");
        let heir = start(&lab, 0, mode)?;
        until("the address of another master", SETTLE, has_address).with_context(|| heir.log())?;
        let printed = clean(&lab, 0, dead.directory())?;
        ensure!(
            printed.is_empty() && has_address(),
            "{mode:?}: a living daemon has lost something: {printed}"
        );
        let prober = ArpProber::new(&lab, VIRTUAL_V4.parse()?, Duration::from_millis(5))?;
        until("answers of node 0", SETTLE, || prober.answers(0, 0) > 10)?;
        ensure!(heir.status()?["interfaces"][0]["receive_path"] == mode.as_str(), "{mode:?}: {}", heir.log());
    }
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
