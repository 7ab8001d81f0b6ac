//! Configuration differences and unknown routers on the wire: reported, without a takeover.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_ebpf::wire::ChecksumForm;
use vrrp_tests::clock::{poll, until};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};

use crate::peers::{forge_one, peers, steady};

const SUBJECT: Daemon = Daemon::Vrrpx(Mode::Auto);

fn role(instance: Instance) -> Role {
    Role::new(SUBJECT, Config::of(instance))
}

/// Words and details of the differences that a node reports.
fn differences(pair: &mut Pair, node: usize) -> Result<Vec<(String, String)>> {
    let status = pair.running(node)?.status()?;
    let found = status["instances"][0]["differences"].as_array().context("no differences")?;
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    Ok(found.iter().map(|it| (text(it, "what"), text(it, "detail"))).collect())
}

/// R11.
#[test]
#[needs("ours")]
fn another_list_and_another_interval_are_named() -> Result<()> {
    let master = Instance::v3(200).interval(50).addresses(&["10.77.0.200/24", "10.77.0.201/24"]);
    let backup = Instance::v3(100).addresses(&["10.77.0.202/24", "10.77.0.200/24"]);
    Pair::settled_in_turn([role(master.clone()), role(backup)])?.check(|pair| {
        let expected = [
            ("addresses", "its adverts have 10.77.0.201 and lack 10.77.0.202"),
            ("interval", "it sends an advert every 0.05 s, and we do every 0.1 s"),
        ];
        let expected = expected.map(|(what, detail)| (what.to_owned(), detail.to_owned()));
        until("both differences", SETTLE, || differences(pair, 1).is_ok_and(|found| found == expected))?;
        let reported = |pair: &mut Pair, text: &str| -> Result<()> {
            until(text, SETTLE, || pair.running(1).is_ok_and(|it| it.log().contains(text)))
        };
        reported(pair, "its adverts have 10.77.0.201 and lack 10.77.0.202")?;
        pair.wait_for_master(0)?;

        // A reload gives the backup the master's list.
        let alike =
            Config::of(Instance::v3(100).interval(50).addresses(&["10.77.0.201/24", "10.77.0.200/24"]));
        pair.reload(1, &alike)?;
        until("no difference", SETTLE, || differences(pair, 1).is_ok_and(|found| found.is_empty()))?;
        reported(pair, "its adverts and our settings agree again")
    })
}

/// A16.
#[test]
#[needs("ours")]
fn two_owners_are_named() -> Result<()> {
    let owner = || role(Instance::v3(255).master());
    Pair::idle([owner(), owner()])?.check(|pair| {
        pair.start(0)?;
        pair.start(1)?;
        // The node with the higher address stays master.
        pair.wait_for_master(1)?;
        until("the difference", SETTLE, || {
            differences(pair, 0).is_ok_and(|found| found.iter().any(|(what, _)| what == "owner"))
        })?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)
    })
}

#[test]
#[needs("ours")]
fn unknown_routers_are_named() -> Result<()> {
    let asking = |instance| {
        let globals = vec!["log_unknown_vrids".to_owned()];
        Role::new(SUBJECT, Config { globals, ..Config::of(instance) })
    };
    let other = Instance::v3(200).vrid(77).addresses(&["10.77.0.207/24"]);
    Pair::idle([asking(Instance::v3(100)), role(other)])?.check(|pair| {
        pair.start(0)?;
        pair.start(1)?;
        let named = |pair: &mut Pair| -> Result<bool> {
            let status = pair.running(0)?.status()?;
            let unknown_routers = status["unknown_routers"].as_array().context("no unknown routers")?;
            let is_other =
                |it: &Value| it["vrid"] == 77 && it["kind"] == "vrrp3" && it["source"] == "10.77.0.2";
            Ok(unknown_routers.iter().any(is_other))
        };
        until("the unknown router", SETTLE, || named(pair).unwrap_or(false))?;
        until("a line in the log", SETTLE, || {
            pair.running(0).is_ok_and(|it| it.log().contains("a virtual router that is not configured here"))
        })
    })
}

/// P21: node 2 reports the heir's form. A third router has sent the heir one advert of the other form since the master
/// became steady.
#[test]
#[needs("ours")]
fn the_checksum_is_answered_in_the_form_received() -> Result<()> {
    for (form, other) in [("plain", ChecksumForm::Pseudo), ("pseudo", ChecksumForm::Plain)] {
        let master = Instance::v3(200).line(&format!("checksum {form}"));
        let heir = Instance::v3(100).line("checksum auto");
        Pair::settled([role(master), role(heir), role(Instance::v3(50))])?.check(|pair| {
            forge_one(pair, 1, 10, other)?;
            until("the third router", SETTLE, || {
                peers(pair).is_ok_and(|it| it.iter().any(|it| it == "10.77.9.1"))
            })?;
            let before = steady(pair)?;
            until("an advert of the master", SETTLE, || steady(pair).is_ok_and(|it| it > before))?;
            pair.die(0)?;
            pair.wait_for_master(1)?;
            // The status may lag behind the wire.
            let heard = poll("the heir among the peers of node 2", SETTLE, || {
                let status = pair.running(2)?.status()?;
                let peers = status["instances"][0]["peers"].as_array().context("no peers")?;
                let heir = peers.iter().find(|peer| peer["address"] == "10.77.0.2");
                Ok(heir.map(|heir| heir["checksum"].clone()))
            })?;
            ensure!(heard == form, "{heard} instead of {form}");
            Ok(())
        })?;
    }
    Ok(())
}
