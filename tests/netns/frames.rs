//! Frames that are not addressed to the node, or that no stack would accept, have no effect; those that are addressed
//! to it in less common ways have.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::advert::AdvertRepr;
use vrrp_ebpf::wire::ethernet::Mac;
use vrrp_tests::clock::{pace, until};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::malformed::{Flaw, Forger};
use vrrp_tests::needs;
use vrrp_tests::netns::Namespace;
use vrrp_tests::packet::{Frame, V3_IPV4, addresses};
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::worker::Workers;
use vrrp_user::driver::socket::Listener;

use crate::standing;

const MODES: [Mode; 4] = [Mode::Native, Mode::Tcx, Mode::Generic, Mode::Socket];

/// MAC address of node 0 in the lab.
const NODE_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const NODE: [u8; 4] = [10, 77, 0, 1];
/// MAC address of the client, as the bridge must learn the client's port.
const CLIENT_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x64]);
/// No bridge port leads to it: a switch floods the frame.
const OTHER_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x55]);

/// An advert of the client, with a priority above every instance here.
fn better() -> Result<Frame> {
    let addresses = addresses(Family::V4, 1);
    let repr = AdvertRepr::new(51, 250, V3_IPV4, &addresses)?;
    let frame = Frame::to_group(Family::V4).source_mac(CLIENT_MAC).source([10, 77, 0, 100].into());
    Ok(frame.advert(&repr))
}

/// An instance that accepts multicast, and one that accepts any unicast sender.
fn instances() -> [Instance; 2] {
    [Instance::v3(100), Instance::v3(100).unicast("10.77.0.1", "10.77.0.100")]
}

/// Node 0 alone, as master; in each mode.
fn alone(instance: &Instance, check: impl Fn(&mut Pair) -> Result<()>) -> Result<()> {
    alone_in(&MODES, instance, check)
}

fn alone_in(modes: &[Mode], instance: &Instance, check: impl Fn(&mut Pair) -> Result<()>) -> Result<()> {
    for &mode in modes {
        let role = Role::new(Daemon::Vrrpx(mode), Config::of(instance.clone()));
        let result = Pair::settled([role]).and_then(|pair| pair.check(&check));
        result.with_context(|| format!("{mode:?}, {instance:?}"))?;
    }
    Ok(())
}

fn send(pair: &Pair, frames: &[Frame]) -> Result<()> {
    let forger = Forger::new(&pair.lab.client, 51)?;
    for frame in (0..20).flat_map(|_| frames) {
        forger.send_frame(&frame.build())?;
        pace(Duration::from_millis(5));
    }
    Ok(())
}

/// The node is still master in the same epoch, and neither reports nor counts a frame.
fn is_unmoved(pair: &mut Pair, before: &(String, u64)) -> Result<()> {
    is_still(pair, before)?;
    let status = pair.running(0)?.status()?;
    let counters = &status["instances"][0]["counters"];
    ensure!(counters["rejects"].as_array().is_some_and(Vec::is_empty), "{counters}");
    ensure!(status["unknown_routers"].as_array().is_some_and(Vec::is_empty), "{}", status["unknown_routers"]);
    Ok(())
}

fn is_still(pair: &mut Pair, before: &(String, u64)) -> Result<()> {
    let now = standing(pair, 0)?;
    ensure!(before.0 == "MASTER" && now == *before, "{now:?} was {before:?}");
    Ok(())
}

/// R20.
#[test]
#[needs("ours")]
fn a_router_forwards_adverts_between_two_other_hosts() -> Result<()> {
    for instance in instances() {
        alone(&instance, |pair| {
            let before = standing(pair, 0)?;
            let node = &pair.node(0)?.namespace;
            let beyond = Namespace::new("beyond")?;
            node.ip(&format!("link add far0 type veth peer name far1 netns {}", beyond.name()))?;
            node.ip("address add 10.78.0.1/24 dev far0\nlink set far0 up")?;
            beyond.ip("address add 10.78.0.2/24 dev far1\nlink set far1 up")?;
            node.sysctl("ipv4/ip_forward", "1")?;
            let mut heard = beyond.enter(|| Ok(Listener::open(nix::net::if_::if_nametoindex("far1")?)?))?;
            let frame = better()?.destination([10, 78, 0, 2].into()).destination_mac(NODE_MAC);
            // Among them one with an unknown VRID, and one with TTL 64.
            let frames = [frame.clone(), frame.clone().byte(1, 52), frame.ttl(64)];
            send(pair, &frames)?;
            let mut count = 0;
            until("the adverts beyond the router", SETTLE, || {
                heard.drain(64, |_, _| count += 1).is_ok() && count == 60
            })?;
            is_unmoved(pair, &before)
        })?;
    }
    Ok(())
}

/// R20.
#[test]
#[needs("ours")]
fn frames_for_another_mac_address_move_nothing() -> Result<()> {
    for instance in instances() {
        alone(&instance, |pair| {
            let before = standing(pair, 0)?;
            let frame = better()?.destination_mac(OTHER_MAC);
            let to_node = frame.clone().destination(NODE.into());
            send(pair, &[frame.clone().byte(1, 52), to_node.clone().byte(1, 52), frame, to_node])?;
            is_unmoved(pair, &before)
        })?;
    }
    Ok(())
}

/// R04: adverts that the stack would drop neither depose a master nor count as a sign of life.
#[test]
#[needs("ours")]
fn a_wrong_checksum_of_the_ip_header_is_refused() -> Result<()> {
    alone(&Instance::v3(100), |pair| {
        let before = standing(pair, 0)?;
        let forger = Forger::new(&pair.lab.client, 51)?;
        for _ in 0..20 {
            forger.send(Flaw::HeaderChecksum)?;
            pace(Duration::from_millis(20));
        }
        let rejects = |pair: &mut Pair| -> Result<Vec<Value>> {
            let status = pair.running(0)?.status()?;
            Ok(status["instances"][0]["counters"]["rejects"].as_array().context("no rejects")?.clone())
        };
        let counted = |it: &Value| it["word"] == "ip_checksum" && it["count"] == 20;
        until("the count of all, and no other", SETTLE, || {
            rejects(pair).is_ok_and(|it| it.iter().all(counted) && it.len() == 1)
        })
        .with_context(|| format!("{:?}", rejects(pair)))?;
        is_still(pair, &before)
    })
}

/// P28, IEEE 802.1p: a frame with one or two priority tags belongs to the untagged LAN.
#[test]
#[needs("ours")]
fn a_priority_tagged_master_is_heard() -> Result<()> {
    const PRIORITY_7: u16 = 0xe000;
    let tagged = |tags: &[(u16, u16)]| -> Result<Frame> {
        Ok(tags.iter().fold(better()?, |frame, (kind, control)| frame.tag(*kind, *control)))
    };
    // XDP on veth does not see the outer tag, which the kernel has removed from the frame.
    alone_in(&[Mode::Tcx, Mode::Socket], &Instance::v3(100), |pair| {
        let before = standing(pair, 0)?;
        for vlan in [&[(0x8100, 7)][..], &[(0x8100, PRIORITY_7), (0x8100, 7)]] {
            send(pair, &[tagged(vlan)?])?;
        }
        is_still(pair, &before).context("the node accepts an advert of another VLAN")
    })?;
    alone(&Instance::v3(100), |pair| {
        let once = [(0x8100, PRIORITY_7)];
        let twice = [(0x88a8, PRIORITY_7), (0x8100, PRIORITY_7)];
        for tags in [&once[..], &twice] {
            let (frame, forger) = (tagged(tags)?.build(), Forger::new(&pair.lab.client, 51)?);
            let master = Workers::default().with_pace(Duration::from_millis(50), move || {
                // A full queue makes a pause.
                drop(forger.send_frame(&frame));
            })?;
            let state = |pair: &mut Pair, word| standing(pair, 0).is_ok_and(|(state, _)| state == word);
            until("the node to hear the master", SETTLE, || state(pair, "BACKUP"))?;
            drop(master);
            until("the node to be master again", SETTLE, || state(pair, "MASTER"))?;
        }
        Ok(())
    })
}

/// The kernel delivers to an address of any interface, from the moment it is set.
#[test]
#[needs("ours")]
fn unicast_to_an_address_that_came_later_is_heard() -> Result<()> {
    alone(&Instance::v3(100).unicast("10.77.0.1", "10.77.0.100"), |pair| {
        let before = standing(pair, 0)?;
        let frame = better()?.destination([10, 77, 9, 9].into()).destination_mac(NODE_MAC);
        send(pair, std::slice::from_ref(&frame))?;
        is_unmoved(pair, &before)?;
        pair.node(0)?.namespace.ip("address add 10.77.9.9/32 dev lo")?;
        let forger = Forger::new(&pair.lab.client, 51)?;
        until("node 0 to hear a higher master", SETTLE, || {
            let sent = forger.send_frame(&frame.build()).is_ok();
            sent && standing(pair, 0).is_ok_and(|(state, _)| state == "BACKUP")
        })
    })
}
