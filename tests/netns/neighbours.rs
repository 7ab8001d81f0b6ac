//! Two daemons in one network namespace, each with its own runtime directory.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, Running};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::Directory;

const DAEMON: Daemon = Daemon::Vrrpx(Mode::Auto);

const OTHER: &str = "10.77.0.201";

const ROUTES: &str = "virtual_routes {\n        198.51.100.0/24 via 10.77.0.254 dev lan0\n    }";

fn first() -> Instance {
    Instance::v3(200).line(ROUTES)
}

fn second() -> Instance {
    Instance::v3(200).vrid(61).addresses(&[&format!("{OTHER}/24")]).line(ROUTES)
}

/// Node 0 with the first daemon, as master.
fn alone() -> Result<Pair> {
    let mut pair = Pair::idle([Role::new(DAEMON, Config::of(first()))])?;
    pair.start(0)?;
    pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
    Ok(pair)
}

/// A second daemon there, as master.
fn beside(pair: &Pair, instance: Instance) -> Result<Running> {
    let running = DAEMON.start_with(pair.node(0)?, &Config::of(instance).to_string())?;
    until("the second daemon as master", SETTLE, || state(&running).is_ok_and(|state| state == "MASTER"))?;
    Ok(running)
}

fn state(running: &Running) -> Result<String> {
    Ok(running.status()?["instances"][0]["state"].as_str().context("no state")?.to_owned())
}

fn has_route(pair: &Pair) -> bool {
    let shown = pair.node(0).and_then(|node| node.namespace.run("ip", &["route"]));
    shown.is_ok_and(|text| text.contains("198.51.100.0/24"))
}

#[test]
#[needs("ours")]
fn the_same_virtual_router_or_address_is_refused() -> Result<()> {
    alone()?.check(|pair| {
        for (instance, words) in [
            (
                Instance::v3(100).addresses(&["10.77.0.209/24"]),
                "VRID 51 (ipv4) is that of vrrp_instance VI_1",
            ),
            (second().addresses(&[&format!("{VIRTUAL_V4}/32")]), "is an address of vrrp_instance VI_1"),
        ] {
            let mut refused = DAEMON.start_with(pair.node(0)?, &Config::of(instance.clone()).to_string())?;
            let status = refused.process().wait(SETTLE)?;
            ensure!(!status.success(), "it has ended with {status}");
            let log = refused.log();
            let pid = pair.running(0)?.status()?["node"]["pid"].to_string();
            for part in [words, &format!("(pid {pid}, runtime directory "), "on lan0; give it to one of them"]
            {
                ensure!(log.contains(part), "no {part:?} in {log}");
            }
            // So does a reload.
            let mut other = beside(pair, second())?;
            let output = other.reload(&Config::of(instance).to_string())?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(!output.status.success() && said.contains(words), "{said}");
            ensure!(state(&other)? == "MASTER", "it has left its state");
            other.stop()?;
        }
        ensure!(pair.lab.has_address(0, VIRTUAL_V4)?, "the address is gone");
        let log = pair.running(0)?.log();
        ensure!(!log.contains("address 10.77.0.200"), "the address was removed: {log}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_route_of_both_is_set_again_without_end() -> Result<()> {
    alone()?.check(|pair| {
        let directory = Directory::new()?;
        let flag = directory.path().join("flag");
        std::fs::write(&flag, "0")?;
        let blocks = format!("track_file flag {{\n    file {}\n    weight 0\n}}\n", flag.display());
        let instances = vec![second().line("track_file {\n        flag\n    }")];
        let file = Config { blocks, instances, ..Config::default() };
        let other = DAEMON.start_with(pair.node(0)?, &file.to_string())?;
        for round in 0..8 {
            until("the second daemon as master", SETTLE, || {
                state(&other).is_ok_and(|state| state == "MASTER")
            })?;
            std::fs::write(&flag, "1")?;
            until("its Fault", SETTLE, || state(&other).is_ok_and(|state| state == "FAULT"))?;
            until(&format!("the route in round {round}"), SETTLE, || has_route(pair))?;
            sleep(Duration::from_millis(150));
            std::fs::write(&flag, "0")?;
        }
        let status = pair.running(0)?.status()?;
        ensure!(status["instances"][0]["paths_left_alone"] == false, "the route is left alone");
        ensure!(has_route(pair), "the route is missing");
        Ok(())
    })
}
