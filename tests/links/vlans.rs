//! VLAN interfaces beside their parent: the tag decides which instance an advert belongs to.

use anyhow::{Result, ensure};
use vrrp_tests::cases;
use vrrp_tests::clock::watch;
use vrrp_tests::daemon::{Instance, Mode, Running};
use vrrp_tests::lab::{INTERFACE, Lab};

use crate::{AWHILE, INTERVAL, dies_fenced, entry, rx_path, start, state, wait_for};

const VLAN: &str = "lan0.10";
const OTHER: &str = "lan0.20";

fn lab() -> Result<Lab> {
    with_vlans(Lab::new(2)?)
}

/// Hosts with these VLANs, with addresses 10.N.0.x in VLAN N.
pub(crate) fn with_vlans(lab: Lab) -> Result<Lab> {
    let hosts = lab.nodes.iter().map(|node| &node.namespace).chain([&lab.client]);
    for (index, host) in hosts.enumerate() {
        for id in [10, 20] {
            host.ip(&format!(
                "link add link {INTERFACE} name {INTERFACE}.{id} type vlan id {id}\n\
                 link set {INTERFACE}.{id} up\n\
                 address add 10.{id}.0.{}/24 dev {INTERFACE}.{id}",
                index + 1
            ))?;
        }
    }
    Ok(lab)
}

fn plain(priority: u8) -> Instance {
    Instance::v3(priority).named("plain").interval(INTERVAL)
}

fn tagged(interface: &'static str, name: &str, priority: u8) -> Instance {
    let address = format!("10.{}.0.200/24", interface.rsplit('.').next().unwrap_or_default());
    plain(priority).named(name).on(interface).addresses(&[&address])
}

/// The same VRID on each LAN, as is common. The node of higher priority differs from LAN to LAN.
fn each_lan_elects_its_own(mode: Mode) -> Result<()> {
    let lab = lab()?;
    let (first, _second) = elect_on_each_lan(&lab, mode)?;
    for interface in [INTERFACE, VLAN, OTHER] {
        let rx_path = rx_path(&first, interface)?;
        ensure!(
            rx_path == mode.as_str() || mode == Mode::Auto && rx_path.starts_with("tc"),
            "{interface}: receive path {rx_path}"
        );
    }
    Ok(())
}

pub(crate) fn elect_on_each_lan(lab: &Lab, mode: Mode) -> Result<(Running, Running)> {
    let instances = |a: u8, b: u8| vec![tagged(VLAN, "v10", b), tagged(OTHER, "v20", a), plain(a)];
    let (first, second) =
        (start(lab, 0, mode, instances(150, 100))?, start(lab, 1, mode, instances(100, 150))?);
    for (name, master) in [("plain", 0), ("v10", 1), ("v20", 0)] {
        let (master, backup) = if master == 0 { (&first, &second) } else { (&second, &first) };
        wait_for(master, name, "MASTER")?;
        wait_for(backup, name, "BACKUP")?;
    }
    watch(AWHILE);
    for (name, running) in [("plain", &first), ("v10", &second), ("v20", &first)] {
        ensure!(state(running, name)? == "MASTER", "{name}: {}", running.log());
    }
    Ok((first, second))
}

cases! {
    fn each_lan_elects_its_own_master = each_lan_elects_its_own(Mode::Auto);
    fn tc_filters_separate_the_lans = each_lan_elects_its_own(Mode::Tc);
    fn sockets_separate_the_lans = each_lan_elects_its_own(Mode::Socket);
}

/// Another pair's master on the VLAN is no sign of life on the untagged LAN.
#[test]
fn a_death_is_noticed_beside_a_living_master_of_a_vlan() -> Result<()> {
    notice_a_death_beside_a_vlan(&lab()?)
}

pub(crate) fn notice_a_death_beside_a_vlan(lab: &Lab) -> Result<()> {
    let backup = start(lab, 0, Mode::Auto, vec![plain(100)])?;
    let mut master = start(lab, 1, Mode::Auto, vec![plain(150), tagged(VLAN, "v10", 150)])?;
    wait_for(&master, "v10", "MASTER")?;
    wait_for(&master, "plain", "MASTER")?;
    wait_for(&backup, "plain", "BACKUP")?;
    let reported = master.reload(&format!("{}", tagged(VLAN, "v10", 150)))?;
    ensure!(reported.status.success(), "{}", String::from_utf8_lossy(&reported.stderr));
    wait_for(&backup, "plain", "MASTER")?;
    wait_for(&master, "v10", "MASTER")
}

/// If XDP is configured where it does not see tags, the status says so.
#[test]
fn explicit_xdp_reports_the_tags_it_does_not_see() -> Result<()> {
    let lab = lab()?;
    let running = start(&lab, 0, Mode::Generic, vec![tagged(VLAN, "v10", 100), plain(100)])?;
    wait_for(&running, "plain", "MASTER")?;
    let status = running.status()?;
    for interface in [INTERFACE, VLAN] {
        let entry = entry(&status, "interfaces", interface)?;
        ensure!(entry["receive_path"] == "generic", "{entry}: {}", running.log());
        ensure!(entry["why"].as_str().is_some_and(|why| why.contains("tags of VLANs")), "{entry}");
    }
    Ok(())
}

#[test]
fn a_killed_master_of_a_vlan_answers_no_more() -> Result<()> {
    // The lab's probes are untagged: here the VLAN interface has the lab's name and addresses.
    let lab = Lab::new(2)?;
    let hosts = lab.nodes.iter().map(|node| &node.namespace).chain([&lab.client]);
    for (host, number) in hosts.zip([1, 2, 100]) {
        host.ip(&format!(
            "link set {INTERFACE} down\nlink set {INTERFACE} name under0\nlink set under0 up\n\
             link add link under0 name {INTERFACE} type vlan id 10\nlink set {INTERFACE} up\n\
             address add 10.77.0.{number}/24 dev {INTERFACE}"
        ))?;
    }
    for use_vmac in [false, true] {
        let instance = |priority| {
            let instance = plain(priority);
            if use_vmac { instance.line("use_vmac") } else { instance }
        };
        let (first, second) = (
            start(&lab, 0, Mode::Auto, vec![instance(200)])?,
            start(&lab, 1, Mode::Auto, vec![instance(100)])?,
        );
        wait_for(&first, "plain", "MASTER")?;
        wait_for(&second, "plain", "BACKUP")?;
        if use_vmac {
            // With the virtual MAC address, the answering node cannot be identified.
            drop(first);
            wait_for(&second, "plain", "MASTER")?;
        } else {
            dies_fenced(&lab, first, &second, "plain")?;
        }
    }
    Ok(())
}
