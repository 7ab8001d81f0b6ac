//! Routing policy rules of an instance, set and removed with its addresses.

use std::net::IpAddr;
use std::sync::Arc;

use vrrp_ebpf::wire::Family;

/// A rule: which packets look up which table. A field that is `None` matches all packets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    pub family: Family,
    /// Rules with lower numbers come first.
    pub preference: u32,
    /// `not`: applies to all packets that do not match.
    pub inverted: bool,
    /// With its prefix.
    pub from: Option<(IpAddr, u8)>,
    pub to: Option<(IpAddr, u8)>,
    /// The interface that a packet arrived on; `lo` for packets of this host.
    pub input: Option<Arc<str>>,
    /// The interface that a local socket is bound to.
    pub output: Option<Arc<str>>,
    /// A firewall mark, and the mask of the bits that count.
    pub mark: Option<(u32, Option<u32>)>,
    pub tos: u8,
    pub tunnel: Option<u64>,
    /// First and last user id.
    pub users: Option<(u32, u32)>,
    pub ip_protocol: Option<u8>,
    pub source_ports: Option<(u16, u16)>,
    pub destination_ports: Option<(u16, u16)>,
    pub action: RuleAction,
    /// rtnetlink protocol: the origin of the rule.
    pub protocol: u8,
    /// Put back if another process removes it.
    pub tracked: bool,
}

impl Rule {
    /// Whether the kernel keeps both as one rule: removing either removes the other.
    pub fn is_one_with(&self, other: &Self) -> bool {
        Self { tracked: other.tracked, ..self.clone() } == *other
    }
}

/// The action on packets that match.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RuleAction {
    Lookup(Lookup),
    /// Continue with the first rule of this preference.
    Goto(u32),
    Nop,
    Blackhole,
    Unreachable,
    Prohibit,
}

/// A look-up in a routing table.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Lookup {
    /// `None`: the table of the packet's VRF (`l3mdev`).
    pub table: Option<u32>,
    /// Source realm in the upper half, destination realm in the lower one; IPv4.
    pub realms: Option<u32>,
    /// Routes with this prefix length, or a shorter one, do not count.
    pub suppressed_prefix: Option<u32>,
    /// Routes over interfaces of this group do not count.
    pub suppressed_group: Option<u32>,
}
