//! Addresses that could not be removed when their instance left: shown, tried again, and removed in the end.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::sys::socket::{NetlinkAddr, getsockname, setsockopt, sockopt};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, SETTLE};
use vrrp_user::driver::pidfd;

use crate::roles;

/// Addresses of each instance: the request for their removal is longer than [`SHORT`], those that set them are not.
const COUNT: usize = 149;

/// Send buffers, in bytes: the shortest that the kernel allows (4608), and an ordinary one.
const SHORT: usize = 1;
const ORDINARY: usize = 100_000;

/// Last parts of further addresses, beside that of [`VIRTUAL_V4`].
fn further() -> impl Iterator<Item = u8> {
    (101..250).filter(|host| *host != 200)
}

fn settled() -> Result<Pair> {
    let list: String = further().map(|host| format!("        10.77.0.{host}/24\n")).collect();
    let instance =
        |priority| Instance::v3(priority).line(&format!("virtual_ipaddress_excluded {{\n{list}    }}"));
    let pair = Pair::settled(roles(Daemon::Vrrpx(Mode::Auto), instance(200), instance(100)))?;
    until("all addresses", SETTLE, || pair.lab.has_address(0, "10.77.0.249").is_ok_and(|held| held))?;
    Ok(pair)
}

/// Sets the send buffers of a daemon's netlink sockets: longer requests fail with EMSGSIZE.
fn limit_requests(pair: &mut Pair, node: usize, bytes: usize) -> Result<()> {
    let pid = pair.running(node)?.process().pid();
    let process = pidfd::open(pid.as_raw())?;
    let mut found = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let number: RawFd = entry?.file_name().to_string_lossy().parse()?;
        // SAFETY: a plain system call.
        let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) };
        // It may have been closed since.
        let Some(copy) = RawFd::try_from(copy).ok().filter(|copy| *copy >= 0) else { continue };
        // SAFETY: fresh from the kernel, with no other owner.
        let copy = unsafe { OwnedFd::from_raw_fd(copy) };
        if getsockname::<NetlinkAddr>(copy.as_raw_fd()).is_ok() {
            setsockopt(&copy, sockopt::SndBuf, &bytes)?;
            found += 1;
        }
    }
    ensure!(found > 0, "the daemon has no netlink socket");
    Ok(())
}

/// Waits until the status of node 0 has this number of leftovers.
fn wait_for_leftovers(pair: &mut Pair, count: usize) -> Result<()> {
    until(&format!("{count} leftovers"), SETTLE, || {
        let status = pair.running(0).and_then(|running| running.status());
        let left = status.ok().and_then(|it| it["instances"][0]["leftovers"].as_array().map(Vec::len));
        left == Some(count)
    })
}

#[test]
#[needs("ours")]
fn an_address_that_stays_is_shown_and_removed_later() -> Result<()> {
    settled()?.check(|pair| {
        limit_requests(pair, 0, SHORT)?;
        pair.lab.set_cable(0, false)?;
        wait_for_leftovers(pair, COUNT)?;
        let shown = pair.running(0)?.ask(&["status"])?;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let problem = format!("! VI_1: address {VIRTUAL_V4} cannot be removed: Message too long;");
        ensure!(shown.contains(&problem), "{shown}");
        ensure!(pair.lab.has_address(0, VIRTUAL_V4)?, "the address was removed");

        // As master it has its addresses again.
        pair.lab.set_cable(0, true)?;
        pair.wait_for_master(0)?;
        wait_for_leftovers(pair, 0)?;
        ensure!(pair.lab.has_address(0, VIRTUAL_V4)?, "an address of the master was removed");

        pair.lab.set_cable(0, false)?;
        wait_for_leftovers(pair, COUNT)?;
        limit_requests(pair, 0, ORDINARY)?;
        wait_for_leftovers(pair, 0)?;
        let held: Vec<String> = pair.node(0)?.addresses()?.into_iter().map(|held| held.address).collect();
        let is_left = |host: u8| held.contains(&format!("10.77.0.{host}"));
        ensure!(!further().chain([200]).any(is_left), "addresses are still set: {held:?}");
        ensure!(pair.running(0)?.log().contains("is removed now"), "the removal is not logged");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn the_guard_removes_what_a_daemon_could_not_at_its_end() -> Result<()> {
    settled()?.check(|pair| {
        limit_requests(pair, 0, SHORT)?;
        pair.running(0)?.process().signal(Signal::SIGTERM)?;
        ensure!(pair.running(0)?.process().wait(SETTLE)?.success(), "the stop has failed");
        let words = "vrrpx guard: the daemon has stopped; addresses that it could not remove are removed now";
        let running = pair.running(0)?;
        until("the guard's words", SETTLE, || running.log().contains(words))
            .with_context(|| running.log())?;
        pair.kill(0);
        pair.wait_for_master(1)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)
    })
}

#[test]
#[needs("ours")]
fn a_hot_restart_removes_what_the_daemon_before_could_not() -> Result<()> {
    settled()?.check(|pair| {
        limit_requests(pair, 0, SHORT)?;
        pair.lab.set_cable(0, false)?;
        wait_for_leftovers(pair, COUNT)?;
        ensure!(pair.hot_restart(0, &[])?.success(), "the old process ended with an error");
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)?;
        pair.wait_for_address(0, "10.77.0.249".parse()?, false)?;
        wait_for_leftovers(pair, 0)
    })
}

#[test]
#[needs("ours")]
fn the_guard_removes_what_an_instance_has_left_that_a_reload_dropped() -> Result<()> {
    settled()?.check(|pair| {
        limit_requests(pair, 0, SHORT)?;
        pair.lab.set_cable(0, false)?;
        wait_for_leftovers(pair, COUNT)?;
        pair.reload(0, &Config::of(Instance::v3(200).vrid(52).addresses(&["10.77.0.99/24"])))?;
        ensure!(pair.lab.has_address(0, VIRTUAL_V4)?, "the address was removed before the stop");
        let status = pair.running(0)?.status()?;
        let left = status["leftovers"].as_array().context("no leftovers")?;
        ensure!(left.len() == COUNT && left[0]["instance"] == "VI_1", "{:#}", status["leftovers"]);
        let shown = pair.running(0)?.ask(&["status"])?;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let problem = format!("! VI_1: removed by a reload; address {VIRTUAL_V4} cannot be removed:");
        ensure!(shown.contains(&problem), "{shown}");
        pair.stop(0).context("the stop")?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)
    })
}

/// The daemon ends, in order or not, just when it finds that it cannot remove the addresses.
#[test]
#[needs("ours")]
fn the_guard_knows_a_dropped_instance_at_once() -> Result<()> {
    for by in [Signal::SIGTERM, Signal::SIGKILL] {
        settled()?.check(|pair| {
            limit_requests(pair, 0, SHORT)?;
            pair.reload(0, &Config::of(Instance::v3(200).vrid(52).addresses(&["10.77.0.99/24"])))?;
            pair.running(0)?.process().signal(by)?;
            pair.running(0)?.process().wait(SETTLE)?;
            until(&format!("the guard after {by}"), SETTLE, || {
                pair.lab.has_address(0, VIRTUAL_V4).is_ok_and(|held| !held)
            })?;
            pair.kill(0);
            Ok(())
        })?;
    }
    Ok(())
}
