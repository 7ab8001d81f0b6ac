//! Interfaces without Ethernet: adverts go from one host to the other, and there is no ARP.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Result, ensure};
use vrrp_tests::clock::{until, watch};
use vrrp_tests::daemon::{Daemon, Instance, Mode};
use vrrp_tests::pair::{Pair, SETTLE};
use vrrp_tests::tun::device;
use vrrp_tests::{needs, waits};

use crate::{roles, standing};

const DAEMON: Daemon = Daemon::Vrrpx(Mode::Auto);

/// The longest time for which a takeover is held off while sockets hear what the daemon does not.
const HELD: Duration = Duration::from_secs(10);

#[waits]
#[test]
#[needs("ours")]
fn a_tunnel_has_one_master_and_an_heir() -> Result<()> {
    let instance = |priority, own, peer| {
        Instance::v3(priority).on("tun0").unicast(own, peer).addresses(&["10.99.0.100/32"])
    };
    let (first, second) = ("10.99.0.1", "10.99.0.2");
    let mut pair = Pair::idle(roles(DAEMON, instance(200, first, second), instance(100, second, first)))?;
    let mut ends = Vec::new();
    for (node, address) in [(0, first), (1, second)] {
        let namespace = &pair.node(node)?.namespace;
        ends.push(namespace.enter(|| device("tun0", libc::IFF_TUN))?);
        namespace.ip(&format!("link set tun0 up\naddr add {address}/24 dev tun0"))?;
    }
    for (mut from, mut to) in
        [(ends[0].try_clone()?, ends[1].try_clone()?), (ends[1].try_clone()?, ends[0].try_clone()?)]
    {
        // Ends with the namespace.
        std::thread::spawn(move || {
            let mut packet = [0; 2048];
            while let Ok(length) = from.read(&mut packet) {
                // Refused while the other end is down.
                let _ = to.write(&packet[..length]);
            }
        });
    }
    pair.start(0)?;
    until("the first master", SETTLE, || standing(&mut pair, 0).is_ok_and(|it| it.0 == "MASTER"))?;
    pair.start(1)?;
    watch(HELD + Duration::from_secs(2));
    let states = [standing(&mut pair, 0)?.0, standing(&mut pair, 1)?.0];
    ensure!(states == ["MASTER", "BACKUP"], "{states:?}: {}", pair.running(1)?.log());
    let interface = pair.running(1)?.status()?["interfaces"][0].clone();
    ensure!(interface["receive_path"] == "socket", "{interface:#}");
    ensure!(interface.to_string().contains("no Ethernet header"), "{interface:#}");
    pair.kill(0);
    until("the heir", SETTLE, || standing(&mut pair, 1).is_ok_and(|it| it.0 == "MASTER"))
}
