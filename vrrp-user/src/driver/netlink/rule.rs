//! Routing policy rules in the kernel.
//!
//! Enters: configured rules. Leaves: all rules of an instance added or removed in one send, with the reason for each
//! failure. Absent: interfaces; a rule refers to them by name, and they need not exist.

use std::io;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::route::RouteProtocol;
use rtnetlink::packet_route::rule::{
    RuleAction as Action, RuleAttribute, RuleFlags, RuleHeader, RuleMessage, RulePortRange, RuleUidRange,
};
use rtnetlink::packet_route::{AddressFamily, IpProtocol, RouteNetlinkMessage};
use vrrp_ebpf::wire::Family;

use super::refusal::NetlinkError;
use super::route::realm;
use super::socket::{Request, RouteSocket};
use crate::config::{Rule, RuleAction};

/// Adds the rules, in this order. An existing one counts as added.
///
/// # Errors
/// Netlink itself failed. Refusals go to `failed` by index: EINVAL for a feature that the kernel does not know, EPERM
/// without CAP_NET_ADMIN.
pub fn add(
    socket: &mut RouteSocket,
    rules: &[Rule],
    mut failed: impl FnMut(usize, NetlinkError),
) -> io::Result<()> {
    add_missing(socket, rules, |index, refusal| {
        if refusal.errno != libc::EEXIST {
            failed(index, refusal);
        }
    })
}

/// As [`add`], but reports EEXIST too: every rule without a refusal was missing.
///
/// # Errors
/// As in [`add`].
pub fn add_missing(
    socket: &mut RouteSocket,
    rules: &[Rule],
    failed: impl FnMut(usize, NetlinkError),
) -> io::Result<()> {
    let requests = rules.iter().map(|rule| Request {
        message: RouteNetlinkMessage::NewRule(message(rule)),
        flags: NLM_F_CREATE | NLM_F_EXCL,
    });
    socket.perform(requests.collect(), failed)
}

/// Removes the rules. A missing one counts as removed. One with another protocol was set by another process and stays.
///
/// In order, the first rule first: fields that a request omits match anything, so otherwise a less specific rule would
/// remove an earlier one with the same preference.
///
/// # Errors
/// As in [`add`].
pub fn remove(
    socket: &mut RouteSocket,
    rules: &[Rule],
    mut failed: impl FnMut(usize, NetlinkError),
) -> io::Result<()> {
    socket.perform(removals(rules), |index, refusal| {
        if refusal.errno != libc::ENOENT {
            failed(index, refusal);
        }
    })
}

/// The requests of [`remove`].
pub fn removals(rules: &[Rule]) -> Vec<Request> {
    let removed = |rule| Request { message: RouteNetlinkMessage::DelRule(message(rule)), flags: 0 };
    rules.iter().map(removed).collect()
}

/// The rule as an rtnetlink message.
fn message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    let (action, table) = action(rule.action);
    message.header = RuleHeader {
        family: match rule.family {
            Family::V4 => AddressFamily::Inet,
            Family::V6 => AddressFamily::Inet6,
        },
        dst_len: rule.to.map_or(0, |(_, prefix)| prefix),
        src_len: rule.from.map_or(0, |(_, prefix)| prefix),
        tos: rule.tos,
        // RT_TABLE_UNSPEC: an attribute holds the number.
        table: u8::try_from(table.unwrap_or(0)).unwrap_or(0),
        action,
        flags: if rule.inverted { RuleFlags::Invert } else { RuleFlags::empty() },
    };
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Priority(rule.preference));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::from(rule.protocol)));
    attributes.extend(rule.from.map(|(address, _)| RuleAttribute::Source(address)));
    attributes.extend(rule.to.map(|(address, _)| RuleAttribute::Destination(address)));
    attributes.extend(rule.input.as_ref().map(|name| RuleAttribute::Iifname(name.to_string())));
    attributes.extend(rule.output.as_ref().map(|name| RuleAttribute::Oifname(name.to_string())));
    if let Some((mark, mask)) = rule.mark {
        attributes.push(RuleAttribute::FwMark(mark));
        attributes.extend(mask.map(RuleAttribute::FwMask));
    }
    attributes.extend(rule.tunnel.map(RuleAttribute::TunId));
    attributes.extend(rule.users.map(|(start, end)| RuleAttribute::UidRange(RuleUidRange { start, end })));
    attributes.extend(rule.ip_protocol.map(|number| RuleAttribute::IpProtocol(IpProtocol::from(number))));
    let ports = |(start, end)| RulePortRange { start, end };
    attributes.extend(rule.source_ports.map(|range| RuleAttribute::SourcePortRange(ports(range))));
    attributes.extend(rule.destination_ports.map(|range| RuleAttribute::DestinationPortRange(ports(range))));
    attributes.extend(table.map(RuleAttribute::Table));
    match rule.action {
        RuleAction::Lookup(lookup) => {
            if lookup.table.is_none() {
                attributes.push(RuleAttribute::L3MDev(true));
            }
            attributes.extend(lookup.realms.map(|both| RuleAttribute::Realm(realm(both))));
            attributes.extend(lookup.suppressed_prefix.map(RuleAttribute::SuppressPrefixLen));
            attributes.extend(lookup.suppressed_group.map(RuleAttribute::SuppressIfGroup));
        }
        RuleAction::Goto(target) => attributes.push(RuleAttribute::Goto(target)),
        _ => {}
    }
    message
}

/// The action and its table.
fn action(action: RuleAction) -> (Action, Option<u32>) {
    match action {
        RuleAction::Lookup(lookup) => (Action::ToTable, lookup.table),
        RuleAction::Goto(_) => (Action::Goto, None),
        RuleAction::Nop => (Action::Nop, None),
        RuleAction::Blackhole => (Action::Blackhole, None),
        RuleAction::Unreachable => (Action::Unreachable, None),
        RuleAction::Prohibit => (Action::Prohibit, None),
    }
}
