//! The network of tests and benches: a bridge in its own namespace, with nodes and a client.
//!
//! ```text
//!  node 0 ─ lan0 ┐                       10.77.0.1/24   fd77::1/64   02:00:00:00:00:01
//!  node 1 ─ lan0 ┼─ br0 ─ lan0 ─ client  10.77.0.100/24 fd77::64/64  02:00:00:00:00:64
//!  node n ─ lan0 ┘
//! ```

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::poll;
use crate::netns::Namespace;

/// Interface of every node and of the client.
pub const INTERFACE: &str = "lan0";
/// Virtual addresses, which no machine has at the start.
pub const VIRTUAL_V4: &str = "10.77.0.200";
pub const VIRTUAL_V6: &str = "fd77::200";

/// The network; removed when dropped.
#[derive(Debug)]
pub struct Lab {
    pub lan: Namespace,
    pub nodes: Vec<Node>,
    pub client: Namespace,
    /// Number of tap ports, each for a virtual machine in a node's place.
    machines: usize,
}

/// A machine that runs a daemon.
#[derive(Debug)]
pub struct Node {
    pub namespace: Namespace,
    pub index: usize,
}

impl Lab {
    /// A bridge with `nodes` nodes and a client.
    pub fn new(nodes: usize) -> Result<Self> {
        let lan = Namespace::new("lan")?;
        lan.ip("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set br0 up")?;
        for family in ["iptables", "ip6tables", "arptables"] {
            // Present only with br_netfilter.
            let _absent = lan.sysctl(&format!("bridge/bridge-nf-call-{family}"), "0");
        }
        let nodes = (0..nodes)
            .map(|index| {
                let namespace = Namespace::new(&format!("node{index}"))?;
                plug(&lan, &namespace, &port(index), &port(index), index + 1)?;
                Ok(Node { namespace, index })
            })
            .collect::<Result<Vec<_>>>()?;
        let client = Namespace::new("client")?;
        plug(&lan, &client, "client", "client", CLIENT)?;
        nodes.iter().try_for_each(Node::settle)?;
        Ok(Self { lan, nodes, client, machines: 0 })
    }

    /// A bridge with a client, and a tap for each of `machines` virtual machines, in the place of nodes. A tap queues
    /// up to `queue` frames while its machine reads none.
    pub fn of_machines(machines: usize, queue: u32) -> Result<Self> {
        let lab = Self { machines, ..Self::new(0)? };
        for index in 0..machines {
            lab.lan.ip(&format!("tuntap add {} mode tap", port(index)))?;
            lab.lan.ip(&format!("link set {} txqueuelen {queue} master br0 up", port(index)))?;
        }
        Ok(lab)
    }

    /// The tap of a machine, in the form of QEMU's `-netdev`.
    pub fn wire(machine: usize) -> String {
        format!("tap,ifname={},script=no,downscript=no", port(machine))
    }

    /// Hardware address and own IPv4 address of a node or machine, without a prefix length.
    pub fn addresses_of(node: usize) -> (String, String) {
        (format!("02:00:00:00:00:{:02x}", node + 1), format!("10.77.0.{}", node + 1))
    }

    /// Nodes and a client with one physical card of this machine each, all on one wire. Card `cards[0]` belongs to node
    /// 0, the last one to the client. [`card_address`] numbers them.
    pub fn of_cards(cards: &[u8]) -> Result<Self> {
        let (client_card, node_cards) = cards.split_last().context("no card for the client")?;
        let lan = Namespace::new("lan")?;
        let nodes = node_cards.iter().enumerate().map(|(index, card)| {
            let namespace = Namespace::new(&format!("node{index}"))?;
            move_card(*card, &namespace, index + 1)?;
            Ok(Node { namespace, index })
        });
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        let client = Namespace::new("client")?;
        move_card(*client_card, &client, CLIENT)?;
        Ok(Self { lan, nodes, client, machines: 0 })
    }

    /// Isolates the nodes from one another with their links up, or ends that.
    pub fn part(&self, parted: bool) -> Result<()> {
        let word = if parted { "on" } else { "off" };
        self.nodes.iter().try_for_each(|node| {
            self.lan.ip(&format!("link set {} type bridge_slave isolated {word}", port(node.index)))
        })
    }

    /// Pulls the cable of a node, or plugs it in again.
    pub fn set_cable(&self, node: usize, plugged: bool) -> Result<()> {
        let state = if plugged { "up" } else { "down" };
        self.lan.ip(&format!("link set {} {state}", port(node)))
    }

    /// Deletes the interface of a node together with its bridge port.
    pub fn unplug(&self, node: usize) -> Result<()> {
        self.lan.ip(&format!("link delete {}", port(node)))
    }

    /// Makes a deleted interface again, with its bridge port at `index`, the index of the old one.
    pub fn plug_again(&self, node: usize, index: u32) -> Result<()> {
        let host = &self.nodes.get(node).context("no such node")?.namespace;
        plug(&self.lan, host, &format!("{} index {index}", port(node)), &port(node), node + 1)
    }

    /// Interface indexes of the nodes' bridge ports, by node.
    pub fn ports(&self) -> Result<Vec<u32>> {
        self.lan
            .enter(|| (0..self.nodes.len().max(self.machines)).map(|node| index_of(&port(node))).collect())
    }

    /// Whether a node has `address`.
    pub fn has_address(&self, node: usize, address: &str) -> Result<bool> {
        Ok(self
            .nodes
            .get(node)
            .context("no such node")?
            .addresses()?
            .iter()
            .any(|held| held.address == address))
    }
}

impl Node {
    /// Own IPv4 address.
    pub fn v4(&self) -> String {
        format!("10.77.0.{}", self.index + 1)
    }

    /// Own IPv6 address, not link-local.
    pub fn v6(&self) -> String {
        format!("fd77::{:x}", self.index + 1)
    }

    /// Waits for its link-local address: the link comes up a moment after its other end.
    fn settle(&self) -> Result<()> {
        poll("a link-local address", UP, || {
            let addresses = self.addresses()?;
            let is_it = |held: &Held| held.interface == INTERFACE && held.address.starts_with("fe80:");
            Ok(addresses.iter().any(is_it).then_some(()))
        })
    }

    /// Addresses on its interfaces now.
    pub fn addresses(&self) -> Result<Vec<Held>> {
        let text = self.namespace.run("ip", &["-json", "address", "show"])?;
        let links: serde_json::Value = serde_json::from_str(&text).context("output of ip -json")?;
        let mut held = Vec::new();
        for link in links.as_array().into_iter().flatten() {
            for entry in link["addr_info"].as_array().into_iter().flatten() {
                let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
                held.push(Held {
                    interface: link["ifname"].as_str().unwrap_or_default().to_owned(),
                    address: word("local"),
                    prefix: entry["prefixlen"].as_u64().unwrap_or_default(),
                    scope: word("scope"),
                    label: word("label"),
                });
            }
        }
        Ok(held)
    }
}

/// An address on an interface, as `ip` prints it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Held {
    pub interface: String,
    pub address: String,
    pub prefix: u64,
    pub scope: String,
    pub label: String,
}

/// Index of the node that uses a hardware address of the lab.
pub fn node_of(mac: [u8; 6]) -> Option<usize> {
    match mac {
        [2, 0, 0, 0, 0, host] if usize::from(host) != CLIENT => usize::from(host).checked_sub(1),
        _ => None,
    }
}

/// Address of the client, in the family of `like`.
pub fn client_address(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::from(CLIENT_V4),
        IpAddr::V6(_) => IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, 0x64]),
    }
}

/// Index of an interface of the namespace this thread is in.
pub(crate) fn index_of(interface: &str) -> Result<u32> {
    let index = nix::net::if_::if_nametoindex(interface).with_context(|| interface.to_owned())?;
    Ok(index)
}

const CLIENT: usize = 100;
pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x64];
pub(crate) const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

fn port(node: usize) -> String {
    format!("port{node}")
}

/// Hardware address that a machine's card must have for [`Lab::of_cards`]: that of the node which uses it, because
/// QEMU's vmxnet3 receives nothing under another one.
pub fn card_address(card: u8) -> String {
    format!("02:00:00:00:00:{:02x}", card + 1)
}

/// Time for a link to come up.
const UP: Duration = Duration::from_secs(10);

/// Time for a card to return from a deleted namespace.
const RETURNED: Duration = Duration::from_secs(20);

/// Moves a card to a host, and gives it the lab's name and addresses.
fn move_card(card: u8, host: &Namespace, number: usize) -> Result<()> {
    let own = card_address(card);
    let text = |link: &serde_json::Value, key: &str| link[key].as_str().map(str::to_owned);
    let (name, current) = poll(&format!("a card with the address {own}"), RETURNED, || {
        let output = Command::new("ip").args(["-json", "link", "show"]).output().context("cannot run ip")?;
        let links: serde_json::Value =
            serde_json::from_slice(&output.stdout).context("output of ip -json")?;
        // By the permanent address, as an earlier lab may have changed the one in use.
        let is_it = |link: &&serde_json::Value| {
            text(link, "permaddr").or_else(|| text(link, "address")).as_ref() == Some(&own)
        };
        let found = links.as_array().into_iter().flatten().find(is_it);
        Ok(found.and_then(|link| text(link, "ifname").zip(text(link, "address"))))
    })?;
    let status = Command::new("ip").args(["link", "set", &name, "netns", host.name()]).status()?;
    ensure!(status.success(), "{name} cannot be moved to {}", host.name());
    host.ip(&format!("link set {name} down"))?;
    if name != INTERFACE {
        host.ip(&format!("link set {name} name {INTERFACE}"))?;
    }
    let address = format!("02:00:00:00:00:{number:02x}");
    if address != current {
        host.ip(&format!("link set {INTERFACE} address {address}"))?;
    }
    host.ip(&set_up(number))
}

/// `ip` lines that configure a host's interface.
fn set_up(number: usize) -> String {
    format!(
        "link set {INTERFACE} up\n\
         address add 10.77.0.{number}/24 dev {INTERFACE}\n\
         address add fd77::{number:x}/64 dev {INTERFACE} nodad"
    )
}

/// `new` is the port's name with the parameters to make it.
fn plug(lan: &Namespace, host: &Namespace, new: &str, port: &str, number: usize) -> Result<()> {
    lan.ip(&format!(
        "link add {new} type veth peer name {INTERFACE} address 02:00:00:00:00:{number:02x} netns {}\n\
         link set {port} master br0 up",
        host.name()
    ))?;
    host.ip(&set_up(number))
}
