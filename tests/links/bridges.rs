//! A host whose address is on a bridge, as on hosts of virtual machines and containers.

use anyhow::{Result, ensure};
use vrrp_tests::daemon::{Instance, Mode};
use vrrp_tests::lab::{INTERFACE, Lab};

use crate::{INTERVAL, dies_fenced, rx_path, start, wait_for};

/// Each node's cable is a port of a bridge, which has the node's addresses.
fn lab() -> Result<Lab> {
    let lab = Lab::new(2)?;
    for node in &lab.nodes {
        let number = node.index + 1;
        node.namespace.ip(&format!(
            "link set {INTERFACE} down\nlink set {INTERFACE} name cable\nlink set cable address 02:00:00:00:02:{number:02x}\n\
             link add {INTERFACE} address 02:00:00:00:00:{number:02x} type bridge stp_state 0 forward_delay 0\n\
             link set cable master {INTERFACE} up\nlink set {INTERFACE} up\n\
             address add 10.77.0.{number}/24 dev {INTERFACE}"
        ))?;
    }
    Ok(lab)
}

#[test]
fn a_killed_master_on_a_bridge_answers_no_more() -> Result<()> {
    for lines in [&[][..], &["use_vmac"]] {
        let lab = lab()?;
        let instance = |priority| {
            let plain = Instance::v3(priority).interval(INTERVAL);
            vec![lines.iter().fold(plain, |instance, line| instance.line(line))]
        };
        let (master, heir) =
            (start(&lab, 0, Mode::Auto, instance(200))?, start(&lab, 1, Mode::Auto, instance(100))?);
        wait_for(&master, "VI_1", "MASTER")?;
        wait_for(&heir, "VI_1", "BACKUP")?;
        let rx_path = rx_path(&master, INTERFACE)?;
        ensure!(rx_path.starts_with("tc"), "receive path {rx_path}");
        if lines.is_empty() {
            dies_fenced(&lab, master, &heir, "VI_1")?;
        } else {
            // On a bridge the MAC address does not identify the answering node.
            drop(master);
            wait_for(&heir, "VI_1", "MASTER")?;
        }
    }
    Ok(())
}
