//! The forms of an instance that every daemon must support, and the life cycle it must complete in each.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::{nanos, until, watch};
use crate::daemon::{Config, Daemon, Instance};
use crate::pair::{Pair, Role, SETTLE};
use crate::starvation::Starvation;

/// Version, transport and options of an instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flavour {
    /// Version 2 with a password.
    V2,
    /// Version 2 without a password.
    V2Open,
    /// Version 2 behind an IPsec authentication header (AH).
    Ah,
    AhUnicast,
    V3,
    /// Version 3 over IPv6.
    V6,
    /// Version 3 to a multicast group other than 224.0.0.18.
    Group,
    Unicast,
    UnicastV6,
    /// Version 3 with the virtual MAC address.
    Vmac,
    VmacV6,
    /// Version 3 with the virtual MAC address, adverts from the interface itself.
    VmacBase,
}

impl Flavour {
    /// The master's instance for node 0, the heir's for node 1.
    pub fn instance(self, node: usize) -> Instance {
        let (priority, own, peer) = if node == 0 { (200, 1, 2) } else { (100, 2, 1) };
        match self {
            Self::V2 => Instance::v2(priority).pass("secret"),
            Self::Ah => Instance::v2(priority).ah("secret"),
            Self::AhUnicast => {
                let instance = Instance::v2(priority).ah("secret");
                instance.unicast(&format!("10.77.0.{own}"), &format!("10.77.0.{peer}"))
            }
            Self::V2Open => Instance::v2(priority),
            Self::V3 => Instance::v3(priority),
            Self::V6 => Instance::v6(priority),
            Self::Group => Instance::v3(priority),
            Self::Vmac => Instance::v3(priority).line("use_vmac"),
            Self::VmacV6 => Instance::v6(priority).line("use_vmac"),
            Self::VmacBase => Instance::v3(priority).line("use_vmac").line("vmac_xmit_base"),
            Self::Unicast => {
                Instance::v3(priority).unicast(&format!("10.77.0.{own}"), &format!("10.77.0.{peer}"))
            }
            Self::UnicastV6 => {
                Instance::v6(priority).unicast(&format!("fd77::{own}"), &format!("fd77::{peer}"))
            }
        }
    }

    /// Roles of both nodes, for these daemons.
    pub fn roles(self, master: Daemon, heir: Daemon) -> [Role; 2] {
        let globals = match self {
            Self::Group => vec!["vrrp_mcast_group4 224.0.0.99".to_owned()],
            _ => Vec::new(),
        };
        let config = |node| Config { globals: globals.clone(), ..Config::of(self.instance(node)) };
        [Role::new(master, config(0)), Role::new(heir, config(1))]
    }
}

/// Election, death of the master's host, its return, and its clean stop.
pub fn lifecycle(pair: &mut Pair) -> Result<()> {
    let role = pair.roles.get(1).context("no heir")?;
    let is_ours = matches!(role.daemon, Daemon::Vrrpx(_));
    let heir = role.config.instances.first().context("no instance")?.clone();
    let address = *heir.virtual_addresses().last().context("no virtual address")?;
    let patience = heir.master_down_interval();

    serves(pair, 0, address).context("at first")?;
    // The first node to start may be master until it hears the other; from here on the heir is silent.
    pair.observer.clear();
    watch(2 * patience);
    let early = pair.observer.adverts().iter().filter(|advert| advert.1 == 1).count();
    ensure!(early == 0, "the heir has sent {early} adverts while the master lived");

    // The kernel's ordinary threads deliver the last advert on a busy machine, and the heir counts from then.
    let (threads, death) = (Starvation::of_ordinary_threads()?, pair.mark());
    pair.die(0)?;
    let heard = pair.observer.wait_for_advert(1, death, patience + SETTLE)?;
    let last = pair.observer.adverts().iter().filter(|advert| advert.1 == 0).map(|advert| advert.0).max();
    let silence = Duration::from_nanos(heard - last.context("no advert of the master")?);
    let slack = if is_ours { threads.slack(&heir) } else { Duration::from_secs(1) };
    ensure!(silence < patience + slack, "the heir was too late: {silence:?}, {slack:?} beyond {patience:?}");
    // The dead host may keep the address, but is unreachable.
    pair.wait_for_address(1, address, true).context("after the death")?;
    announced(pair, 1, address)?;

    pair.observer.clear();
    pair.revive(0)?;
    pair.wait_for_master(0).context("the return")?;
    serves(pair, 0, address).context("after the return")?;

    pair.observer.clear();
    let machine = Starvation::of_machine()?;
    pair.stop(0)?;
    let heard = pair.observer.wait_for_advert(1, 0, patience + SETTLE)?;
    let farewell =
        pair.observer.adverts().into_iter().find(|(_, node, advert)| *node == 0 && advert.priority == 0);
    let (left, ..) = farewell.context("the master left without an advert of priority 0")?;
    let limit = patience - heir.advert_interval() + machine.longest();
    ensure!(heard.saturating_sub(left) < nanos(limit), "the heir did not take over in time after priority 0");
    serves(pair, 1, address).context("after the stop")
}

/// Waits until `node` alone holds the address and has announced it.
pub fn serves(pair: &Pair, node: usize, address: IpAddr) -> Result<()> {
    pair.wait_for_address(node, address, true)?;
    pair.wait_for_address(1 - node, address, false)?;
    announced(pair, node, address)
}

fn announced(pair: &Pair, node: usize, address: IpAddr) -> Result<()> {
    let what = format!("an announcement of {address} by node {node}");
    until(&what, SETTLE, || pair.observer.announcers(address).contains(&node))
}
