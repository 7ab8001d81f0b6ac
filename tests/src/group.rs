//! Two daemons with a sync group each: a member on the LAN of the lab, and one on a second LAN between the same nodes.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::clock::{until, watch};
use crate::daemon::{Config, Daemon, Instance};
use crate::lab::{Lab, VIRTUAL_V4};
use crate::pair::{Pair, Role, SETTLE};
use crate::process::Directory;

/// The nodes' interface on the second LAN.
pub const SECOND: &str = "lan1";
const VIRTUAL_SECOND: &str = "10.78.0.200";

/// File to which the group's hook on node 0 writes its arguments.
const REPORTED: &str = "reported";

/// Priorities 200 and 100, adverts each 100 ms; the group of node 0 has a hook.
fn roles(daemons: [Daemon; 2], directory: &Path) -> [Role; 2] {
    let reported = directory.join(REPORTED);
    let hook = format!("    notify \"/bin/sh {}\"\n", directory.join("hook.sh").display());
    let script = format!("echo \"$*\" >> {}\n", reported.display());
    // If it cannot be written, the hook's output is missing later.
    let _unwritten = std::fs::write(directory.join("hook.sh"), script);
    let role = |daemon, priority, hook: &str| {
        let second = Instance::v3(priority).vrid(52).on(SECOND);
        let instances = vec![Instance::v3(priority), second.addresses(&[&format!("{VIRTUAL_SECOND}/24")])];
        let blocks =
            format!("vrrp_sync_group both {{\n    group {{\n        VI_1\n        VI_52\n    }}\n{hook}}}\n");
        Role::new(daemon, Config { globals: vec!["script_user root".to_owned()], blocks, instances })
    };
    [role(daemons[0], 200, &hook), role(daemons[1], 100, "")]
}

/// A failed link of one member moves both, and its return moves both back. A member that loses its master's adverts
/// moves neither, until the other member loses them too.
pub fn lifecycle(daemons: [Daemon; 2]) -> Result<()> {
    let directory = Directory::new()?;
    let pair = Pair::idle(roles(daemons, directory.path()))?;
    second_lan(&pair.lab)?;
    pair.check(|pair| {
        pair.start(0)?;
        pair.start(1)?;
        serves(pair, 0).context("at first")?;

        pair.lab.lan.ip("link set second0 down")?;
        serves(pair, 1).context("the second link of the master has failed")?;
        pair.lab.lan.ip("link set second0 up")?;
        serves(pair, 0).context("the second link is back")?;

        // No frame of the second LAN reaches node 1, whose link stays up.
        pair.lab.lan.ip("link set second1 nomaster")?;
        pair.observer.clear();
        watch(10 * Instance::v3(100).master_down_interval());
        let adverts = pair.observer.adverts();
        ensure!(adverts.iter().all(|advert| advert.1 == 0), "node 1 has sent adverts");
        ensure!(!adverts.is_empty(), "node 0 is silent");
        ensure!(!pair.lab.has_address(1, VIRTUAL_SECOND)?, "one member of node 1 has taken over alone");
        let reported = || std::fs::read_to_string(directory.path().join(REPORTED)).unwrap_or_default();
        let expected =
            ["BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER"].map(|state| format!("GROUP both {state} 0"));
        until("the group's hook to have all changes", SETTLE, || reported().lines().eq(&expected))
            .with_context(reported)?;
        pair.die(0)?;
        serves(pair, 1).context("the master has died")
    })
}

/// Waits until a node has both addresses and the other one, if it is alive, has none.
fn serves(pair: &Pair, node: usize) -> Result<()> {
    for address in [VIRTUAL_V4, VIRTUAL_SECOND] {
        let address: IpAddr = address.parse()?;
        pair.wait_for_address(node, address, true)?;
        if pair.is_running(1 - node) {
            pair.wait_for_address(1 - node, address, false)?;
        }
    }
    Ok(())
}

/// Another LAN of the same nodes, whose addresses are those of the lab in 10.78.0.0/24.
pub fn second_lan(lab: &Lab) -> Result<()> {
    lab.lan.ip("link add br1 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set br1 up")?;
    for node in &lab.nodes {
        let (index, host) = (node.index, &node.namespace);
        lab.lan.ip(&format!(
            "link add second{index} type veth peer name {SECOND} netns {}\nlink set second{index} master br1 up",
            host.name()
        ))?;
        host.ip(&format!("link set {SECOND} up\naddress add 10.78.0.{}/24 dev {SECOND}", index + 1))?;
    }
    Ok(())
}
