//! Bonds in mode active-backup, with two cables to the same bridge.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::watch;
use vrrp_tests::daemon::{Instance, Mode, Running};
use vrrp_tests::lab::{INTERFACE, Lab};

use crate::{INTERVAL, dies_fenced, entry, rx_path, start, state, wait_for};

/// On each node a bond of the old cable and another one takes the place of the lab's interface.
fn lab() -> Result<Lab> {
    let lab = Lab::new(2)?;
    for node in &lab.nodes {
        let number = node.index + 1;
        lab.lan.ip(&format!(
            "link add spare{number} type veth peer name cable1 netns {}\nlink set spare{number} master br0 up",
            node.namespace.name()
        ))?;
        node.namespace.ip(&format!(
            "link set {INTERFACE} down\nlink set {INTERFACE} name cable0\n\
             link add {INTERFACE} address 02:00:00:00:00:{number:02x} type bond mode active-backup miimon 50\n\
             link set cable0 down\nlink set cable0 master {INTERFACE}\n\
             link set cable1 master {INTERFACE}\nlink set {INTERFACE} up\n\
             address add 10.77.0.{number}/24 dev {INTERFACE}"
        ))?;
    }
    Ok(lab)
}

fn pair(lab: &Lab, mode: Mode, lines: &[&str]) -> Result<(Running, Running)> {
    let instance = |priority| {
        let instance = Instance::v3(priority).interval(INTERVAL);
        lines.iter().fold(instance, |instance, line| instance.line(line))
    };
    let first = start(lab, 0, mode, vec![instance(200)])?;
    let second = start(lab, 1, mode, vec![instance(100)])?;
    wait_for(&first, "VI_1", "MASTER")?;
    wait_for(&second, "VI_1", "BACKUP")?;
    Ok((first, second))
}

fn epoch(running: &Running) -> Result<u64> {
    entry(&running.status()?, "instances", "VI_1")?["epoch"].as_u64().context("no epoch")
}

fn active(lab: &Lab) -> Result<String> {
    let node = &lab.nodes.first().context("no node")?.namespace;
    let shown = node.run("ip", &["-d", "link", "show", INTERFACE])?;
    let mut words = shown.split_whitespace().skip_while(|word| *word != "active_slave");
    Ok(words.nth(1).unwrap_or_default().to_owned())
}

#[test]
fn a_failed_slave_causes_no_takeover_and_a_killed_master_answers_no_more() -> Result<()> {
    let lab = lab()?;
    let (first, second) = pair(&lab, Mode::Auto, &[])?;
    let rx_path = rx_path(&first, INTERFACE)?;
    ensure!(rx_path.starts_with("tc"), "receive path {rx_path}");
    let before = (epoch(&first)?, epoch(&second)?);
    let slave = active(&lab)?;
    lab.nodes[0].namespace.ip(&format!("link set {slave} down"))?;
    watch(Duration::from_secs(3));
    ensure!((epoch(&first)?, epoch(&second)?) == before, "{}\n{}", first.log(), second.log());
    ensure!(active(&lab)? != slave, "the bond stays on {slave}");
    dies_fenced(&lab, first, &second, "VI_1")
}

#[test]
fn native_xdp_of_a_bond_falls_back_to_tcx_or_tc_with_a_reason() -> Result<()> {
    let lab = lab()?;
    let (first, second) = pair(&lab, Mode::Native, &[])?;
    let status = first.status()?;
    let entry = entry(&status, "interfaces", INTERFACE)?;
    ensure!(entry["receive_path"].as_str().is_some_and(|rx_path| rx_path.starts_with("tc")), "{entry}");
    ensure!(entry["why"].as_str().is_some_and(|why| why.contains("runs in its slaves")), "{entry}");
    dies_fenced(&lab, first, &second, "VI_1")
}

#[test]
fn virtual_mac_addresses_work_on_a_bond() -> Result<()> {
    let lab = lab()?;
    let (first, second) = pair(&lab, Mode::Auto, &["use_vmac"])?;
    drop(first);
    wait_for(&second, "VI_1", "MASTER")?;
    ensure!(state(&second, "VI_1")? == "MASTER", "{}", second.log());
    Ok(())
}
