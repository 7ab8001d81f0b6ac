//! Faults around a daemon: links, interfaces, addresses, malformed adverts, refused sends.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_tests::clock::{outage, pace, until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::{INTERFACE, VIRTUAL_V4};
use vrrp_tests::malformed::{Flaw, Forger};
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::starvation::Starvation;
use vrrp_tests::{needs, waits};

use crate::{pair, subject};

/// A mended firewall ends the Fault of a master whose sends it refused within this time.
const MENDED: Duration = Duration::from_secs(11);

#[test]
#[needs("subject")]
fn a_dead_link_is_a_fault_and_a_live_one_ends_it() -> Result<()> {
    pair(subject())?.check(|pair| {
        pair.lab.set_cable(0, false)?;
        pair.wait_for_master(1)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)?;
        pair.observer.clear();
        pair.lab.set_cable(0, true)?;
        pair.wait_for_master(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        pair.wait_for_address(1, VIRTUAL_V4.parse()?, false)
    })
}

/// R18, R19.
#[test]
#[needs("ours")]
fn malformed_adverts_do_not_disturb_the_master() -> Result<()> {
    // keepalived 2.2.7 and 2.4.3 fall silent here.
    pair(subject())?.check(|pair| {
        let forger = Forger::new(&pair.lab.client, 51)?;
        pair.observer.clear();
        let machine = Starvation::of_machine()?;
        for flaw in Flaw::ALL.iter().cycle().take(60) {
            forger.send(*flaw)?;
            pace(Duration::from_millis(50));
        }
        let adverts = pair.observer.adverts();
        ensure!(adverts.iter().all(|advert| advert.1 == 0), "node 1 has sent adverts");
        // 30 are due in the three seconds.
        let lost = usize::try_from(machine.longest().as_millis() / 100)?;
        ensure!(adverts.len() + lost >= 27, "the master has sent only {} adverts", adverts.len());
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn malformed_adverts_of_another_vrid_have_no_effect() -> Result<()> {
    pair(subject())?.check(|pair| {
        let forger = Forger::new(&pair.lab.client, 52)?;
        pair.observer.clear();
        for flaw in Flaw::ALL.iter().cycle().take(30) {
            forger.send(*flaw)?;
            pace(Duration::from_millis(20));
        }
        pair.wait_for_master(0)?;
        pair.observer.ensure_only(0)
    })
}

#[test]
#[needs("subject")]
fn an_interface_may_appear_late() -> Result<()> {
    late(subject())?.check(|pair| {
        // The daemon does not find it under another name.
        pair.node(0)?.namespace.ip(&format!("link set {INTERFACE} down\nlink set {INTERFACE} name away0"))?;
        pair.start(0)?;
        watch(Duration::from_millis(1500));
        ensure!(pair.observer.adverts().is_empty(), "the daemon advertises without its interface");
        pair.node(0)?.namespace.ip(&format!("link set away0 name {INTERFACE}\nlink set {INTERFACE} up"))?;
        pair.wait_for_master(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)
    })
}

#[test]
#[needs("ours")]
fn a_recreated_interface_is_used_again() -> Result<()> {
    pair(subject())?.check(|pair| {
        let address = VIRTUAL_V4.parse()?;
        let index = *pair.lab.ports()?.first().context("no port")?;
        pair.lab.unplug(0)?;
        pair.wait_for_address(1, address, true)?;
        let what = "a status that shows that the interface is gone";
        until(what, SETTLE, || pair.running(0).and_then(|it| it.rx_path()).is_ok_and(|path| path == "none"))?;
        pair.observer.clear();
        pair.lab.plug_again(0, index)?;
        pair.wait_for_master(0)?;
        let what = "a status that shows that the interface is back";
        until(what, SETTLE, || pair.running(0).and_then(|it| it.rx_path()).is_ok_and(|path| path != "none"))?;
        pair.wait_for_address(0, address, true)?;
        pair.wait_for_address(1, address, false)
    })
}

#[test]
#[needs("ours")]
fn an_interface_that_is_renamed_is_gone_until_it_has_its_name_again() -> Result<()> {
    pair(subject())?.check(|pair| {
        let address = VIRTUAL_V4.parse()?;
        pair.wait_for_address(0, address, true)?;
        let namespace = &pair.node(0)?.namespace;
        namespace
            .ip(&format!("link set {INTERFACE} down\nlink set {INTERFACE} name away0\nlink set away0 up"))?;
        pair.wait_for_address(1, address, true)?;
        pair.wait_for_address(0, address, false)?;
        let namespace = &pair.node(0)?.namespace;
        namespace
            .ip(&format!("link set away0 down\nlink set away0 name {INTERFACE}\nlink set {INTERFACE} up"))?;
        pair.wait_for_master(0)?;
        pair.wait_for_address(1, address, false)
    })
}

#[test]
#[needs("ours")]
fn a_carrier_that_flaps_leaves_one_owner() -> Result<()> {
    pair(subject())?.check(|pair| {
        for _ in 0..20 {
            pair.lab.set_cable(0, false)?;
            outage(Duration::from_millis(30));
            pair.lab.set_cable(0, true)?;
            pace(Duration::from_millis(70));
        }
        pair.wait_for_master(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        pair.wait_for_address(1, VIRTUAL_V4.parse()?, false)
    })
}

#[test]
#[needs("ours")]
fn another_mtu_changes_nothing() -> Result<()> {
    pair(subject())?.check(|pair| {
        let epoch = |pair: &mut Pair, node| -> Result<serde_json::Value> {
            Ok(pair.running(node)?.status()?["instances"][0]["epoch"].clone())
        };
        let before = [epoch(pair, 0)?, epoch(pair, 1)?];
        pair.observer.clear();
        for mtu in ["1400", "9000", "1500"] {
            for node in [0, 1] {
                pair.node(node)?.namespace.ip(&format!("link set {INTERFACE} mtu {mtu}"))?;
            }
            watch(Duration::from_millis(300));
        }
        ensure!([epoch(pair, 0)?, epoch(pair, 1)?] == before, "a state has changed");
        pair.observer.ensure_only(0)
    })
}

#[test]
#[needs("subject")]
fn the_source_address_may_appear_late() -> Result<()> {
    late(subject())?.check(|pair| {
        let own = format!("{}/24", pair.node(0)?.v4());
        pair.node(0)?.namespace.ip(&format!("address del {own} dev {INTERFACE}"))?;
        pair.start(0)?;
        watch(Duration::from_millis(1500));
        ensure!(pair.observer.adverts().is_empty(), "the daemon advertises without an address");
        pair.node(0)?.namespace.ip(&format!("address add {own} dev {INTERFACE}"))?;
        pair.wait_for_master(0)
    })
}

/// A pair of which no node is started.
fn late(daemon: Daemon) -> Result<Pair> {
    let mut config = Config::of(Instance::v3(200));
    if daemon == Daemon::Keepalived {
        config.globals.push("dynamic_interfaces".to_owned());
    }
    let role = Role::new(daemon, config);
    Pair::idle([role.clone(), role])
}

/// By multicast, or by unicast with sends to one of two peers refused, or to both, of which the heir is the last to be
/// reached again. Adverts that reach the other one meanwhile move neither of them.
#[waits]
#[test]
#[needs("ours", "nft")]
fn a_master_whose_sends_are_refused_yields_to_one_it_hears_until_they_leave() -> Result<()> {
    type Make = fn(u8, usize) -> Instance;
    const TO_HEIR: &str = "ip daddr 10.77.0.2";
    let unicast = |priority, own: usize| {
        let others = [1, 2, 3].into_iter().filter(|node| *node != own);
        let peers: Vec<String> = others.map(|node| format!("10.77.0.{node}")).collect();
        let source = format!("unicast_src_ip 10.77.0.{own}");
        Instance::v3(priority).line(&source).line(&format!("unicast_peer {{\n{}\n}}", peers.join("\n")))
    };
    let multicast = |priority, _: usize| Instance::v3(priority);
    let cases: [(Make, &str, &str); 3] =
        [(multicast, "", ""), (unicast, TO_HEIR, TO_HEIR), (unicast, "ip daddr 10.77.0.0/24", TO_HEIR)];
    for (instance, refused, still) in cases {
        let role = |priority, own| Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(instance(priority, own)));
        Pair::settled([role(200, 1), role(150, 2), role(100, 3)])?.check(|pair| {
            let refuse = |pair: &Pair, which: &str| {
                let rules = format!(
                    "add table inet refused; \
                     add chain inet refused output {{ type filter hook output priority 0; }}; \
                     flush chain inet refused output; \
                     add rule inet refused output ip protocol 112 {which} drop"
                );
                pair.node(0)?.namespace.run("nft", &[&rules])
            };
            refuse(pair, refused)?;
            pair.wait_for_master(1)?;
            pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)?;
            let instance = |pair: &mut Pair, node| {
                Ok::<_, anyhow::Error>(pair.running(node)?.status()?["instances"][0].take())
            };
            let is_refused = |it: &Value| it["state"] == "FAULT" && it["reason"] == "refused";
            until("the reason in the status", SETTLE, || instance(pair, 0).is_ok_and(|it| is_refused(&it)))?;
            refuse(pair, still)?;
            let epochs = |pair: &mut Pair| {
                let epoch = |node| Ok(instance(pair, node)?["epoch"].as_u64());
                [1, 2].into_iter().map(epoch).collect::<Result<Vec<_>>>()
            };
            let before = epochs(pair)?;
            let errors = |it: &Value| it["counters"]["send_errors"].as_u64();
            for _ in 0..2 {
                let so_far = errors(&instance(pair, 0)?);
                until("another refused trial", SETTLE, || {
                    instance(pair, 0).is_ok_and(|it| errors(&it) > so_far)
                })?;
            }
            ensure!(is_refused(&instance(pair, 0)?), "a refused trial has ended the Fault");
            ensure!(epochs(pair)? == before, "a trial has moved another node");
            pair.node(0)?.namespace.run("nft", &["delete table inet refused"])?;
            let threads = Starvation::of_ordinary_threads()?;
            threads.until("the end of the Fault", MENDED, || {
                instance(pair, 0).is_ok_and(|it| !is_refused(&it))
            })?;
            pair.wait_for_master(0)?;
            ensure!(epochs(pair)?[1] == before[1], "the Fault's end has moved the third node");
            Ok(())
        })?;
    }
    Ok(())
}
