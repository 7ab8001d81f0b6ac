//! Emulated network cards: vmxnet3, which strips VLAN tags from frames, and virtio_net, which leaves them in.

use std::fs::DirEntry;

use anyhow::{Result, ensure};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Instance, Mode, vrrpx};
use vrrp_tests::lab::{INTERFACE, Lab};

use crate::vlans::{elect_on_each_lan, notice_a_death_beside_a_vlan, with_vlans};
use crate::{INTERVAL, SETTLE, dies_fenced, entry, rx_path, start, wait_for};

/// Cards of two nodes and the client; the first one is vmxnet3, the others are virtio_net.
const VMXNET3: [u8; 3] = [0, 1, 2];
const VIRTIO: [u8; 3] = [1, 2, 3];

/// A lab of these cards, after the daemons of the lab before have ended with their guards.
fn lab(cards: &[u8]) -> Result<Lab> {
    let daemon = std::fs::canonicalize(vrrpx())?;
    let is_daemon =
        |process: DirEntry| std::fs::read_link(process.path().join("exe")).is_ok_and(|it| it == daemon);
    until("the end of earlier daemons", SETTLE, || {
        !std::fs::read_dir("/proc").into_iter().flatten().flatten().any(is_daemon)
    })?;
    // The fence of a killed daemon would follow its card into the next lab, under another name.
    let _none = std::fs::remove_dir_all("/sys/fs/bpf/vrrpx");
    Lab::of_cards(cards)
}

#[test]
fn each_lan_elects_its_own_master_on_a_card_that_strips_tags() -> Result<()> {
    let lab = with_vlans(lab(&VMXNET3)?)?;
    let (first, second) = elect_on_each_lan(&lab, Mode::Auto)?;
    let status = first.status()?;
    let entry = entry(&status, "interfaces", INTERFACE)?;
    ensure!(entry["receive_path"].as_str().is_some_and(|rx_path| rx_path.starts_with("tc")), "{entry}");
    ensure!(entry["why"].as_str().is_some_and(|why| why.contains("rx-vlan-offload")), "{entry}");
    let rx_path = rx_path(&second, INTERFACE)?;
    ensure!(rx_path == "native", "virtio_net: receive path {rx_path}: {}", second.log());
    Ok(())
}

#[test]
fn a_death_is_noticed_beside_a_living_master_of_a_vlan_on_cards() -> Result<()> {
    for cards in [VMXNET3, VIRTIO] {
        notice_a_death_beside_a_vlan(&with_vlans(lab(&cards)?)?)?;
    }
    Ok(())
}

#[test]
fn a_killed_master_on_a_card_answers_no_more() -> Result<()> {
    for cards in [VMXNET3, VIRTIO] {
        let lab = lab(&cards)?;
        let instance = |priority| vec![Instance::v3(priority).interval(INTERVAL)];
        let (master, heir) =
            (start(&lab, 0, Mode::Auto, instance(200))?, start(&lab, 1, Mode::Auto, instance(100))?);
        wait_for(&master, "VI_1", "MASTER")?;
        wait_for(&heir, "VI_1", "BACKUP")?;
        dies_fenced(&lab, master, &heir, "VI_1")?;
    }
    Ok(())
}
