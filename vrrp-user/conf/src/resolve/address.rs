//! Addresses of an instance.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use vrrp_ebpf::wire::Family;

use super::super::diagnostic::Report;
use super::super::schema::{AddressDraft, Broadcast, InstanceDraft};
use super::super::source::At;
use super::instance::interface_name;
use crate::{Addresses, VirtualAddress};

/// Most addresses in an advert of 1500 bytes: 8 bytes of VRRP and an IP header are deducted, and the count field allows
/// 255. keepalived deducts the Ethernet header too, and both must advertise the same list.
const fn most(family: Family) -> usize {
    match family {
        Family::V4 => 255,
        Family::V6 => (1500 - 14 - 40 - 8) / 16,
    }
}

/// Addresses of an instance that are written a second time, each with the first one: neither set nor advertised again,
/// as with keepalived. An excluded address may be on several interfaces.
pub(crate) fn repeated(instance: &InstanceDraft) -> Vec<(&AddressDraft, &AddressDraft)> {
    let advertised = instance.addresses.iter().map(|draft| (draft, true));
    let mut written: Vec<_> =
        advertised.chain(instance.excluded.iter().map(|draft| (draft, false))).collect();
    written.sort_by_key(|(draft, _)| draft.address.at);
    let device = |draft: &AddressDraft| {
        draft.device.as_ref().or(instance.interface.as_ref()).map(|name| name.value.clone())
    };
    let mut first: HashMap<IpAddr, Vec<(&AddressDraft, bool)>> = HashMap::new();
    let mut repeated = Vec::new();
    for (draft, is_advertised) in written {
        let earlier = first.entry(draft.address.value).or_default();
        let same = earlier
            .iter()
            .find(|(other, was)| is_advertised && *was || device(other) == device(draft))
            .map(|(other, _)| *other);
        match same {
            Some(other) => repeated.push((draft, other)),
            None => earlier.push((draft, is_advertised)),
        }
    }
    repeated
}

pub(super) fn resolve(instance: &InstanceDraft, family: Family, report: &mut Report) -> Addresses {
    let repeated = repeated(instance);
    let is_new = |draft: &&AddressDraft| repeated.iter().all(|(again, _)| !std::ptr::eq(*again, *draft));
    let mut addresses = Addresses::default();
    for draft in instance.addresses.iter().filter(is_new) {
        if draft.address.value.is_ipv6() != (family == Family::V6) {
            report
                .left_out(
                    draft.address.at,
                    format!(
                        "{} is not of the family of the instance, {}, which its first keyword with an address decides",
                        draft.address.value,
                        if family == Family::V6 { "IPv6" } else { "IPv4" }
                    ),
                )
                .help("move it to `virtual_ipaddress_excluded`, or to an instance of its own");
            continue;
        }
        if addresses.advertised.len() == most(family) {
            report.warning_once(
                "too many addresses",
                draft.address.at,
                format!("an advert holds {} addresses; this one is set but not advertised", most(family)),
            );
            addresses.excluded.push(address(draft, report));
        } else {
            addresses.advertised.push(address(draft, report));
        }
    }
    addresses.excluded.extend(instance.excluded.iter().filter(is_new).map(|draft| address(draft, report)));
    addresses
}

/// A static address, with its interface.
pub(super) fn on_device(
    draft: &AddressDraft,
    default: &Arc<str>,
    report: &mut Report,
) -> (Arc<str>, VirtualAddress) {
    let address = address(draft, report);
    (address.device.clone().unwrap_or_else(|| Arc::clone(default)), address)
}

fn address(draft: &AddressDraft, report: &mut Report) -> VirtualAddress {
    let value = draft.address.value;
    let host = if value.is_ipv4() { 32 } else { 128 };
    let peer = peer(draft, report);
    let prefix = peer.map_or(draft.prefix, |(_, prefix)| prefix).unwrap_or(host);
    let standard = VirtualAddress::new(value, prefix);
    for_ipv6_only(draft, report);
    VirtualAddress {
        device: draft.device.as_ref().map(|name| interface_name(name, report)),
        label: label(draft, report),
        scope: scope(draft, report),
        broadcast: broadcast(value, prefix, draft.broadcast.filter(|_| peer.is_none()), report),
        dad: draft.dad,
        no_prefix_route: draft.no_prefix_route,
        peer: peer.map(|(address, _)| address),
        preferred: match draft.preferred {
            Some(written) if value.is_ipv6() => written.value,
            _ => standard.preferred,
        },
        home: draft.home.is_some(),
        temporary: draft.temporary.is_some(),
        autojoin: draft.autojoin,
        tracked: !draft.untracked,
        ..standard
    }
}

/// The other end and its prefix.
fn peer(draft: &AddressDraft, report: &mut Report) -> Option<(IpAddr, Option<u8>)> {
    let At { value, at } = draft.peer?;
    if value.0.is_ipv6() != draft.address.value.is_ipv6() {
        report.left_out(at, "the peer is not of the same family as the address");
        return None;
    }
    if draft.prefix.is_some() {
        report
            .warning(draft.address.at, "with a `peer` the prefix is the peer's, as with keepalived")
            .help("write the prefix after the peer");
    }
    if let Some(broadcast) = draft.broadcast {
        report.warning(broadcast.at, "a point-to-point link has no broadcast address; none is set");
    }
    Some(value)
}

fn for_ipv6_only(draft: &AddressDraft, report: &mut Report) {
    if draft.address.value.is_ipv6() {
        return;
    }
    let words = [
        ("preferred_lft", draft.preferred.map(|it| it.at)),
        ("home", draft.home),
        ("mngtmpaddr", draft.temporary),
    ];
    for (word, at) in words.into_iter().filter_map(|(word, at)| Some((word, at?))) {
        report.warning(at, format!("`{word}` has no effect for IPv4"));
    }
}

fn label(draft: &AddressDraft, report: &mut Report) -> Option<Arc<str>> {
    let label = draft.label.as_ref()?;
    if draft.address.value.is_ipv6() {
        report.warning(label.at, "IPv6 addresses have no label; it is ignored");
        return None;
    }
    Some(label.value.clone())
}

fn scope(draft: &AddressDraft, report: &mut Report) -> u8 {
    match draft.scope {
        Some(scope) if draft.address.value.is_ipv6() => {
            report.warning(scope.at, "the kernel chooses the scope of an IPv6 address; `scope` is ignored");
            0
        }
        scope => scope.map_or(0, |scope| scope.value),
    }
}

fn broadcast(
    address: IpAddr,
    prefix: u8,
    written: Option<At<Broadcast>>,
    report: &mut Report,
) -> Option<IpAddr> {
    let written = written?;
    let IpAddr::V4(address) = address else {
        report.error(written.at, "IPv6 has no broadcast address");
        return None;
    };
    if let Broadcast::Address(broadcast) = written.value {
        return Some(broadcast.into());
    }
    if prefix > 30 {
        report.warning(written.at, format!("a network of /{prefix} has no broadcast address; none is set"));
        return None;
    }
    let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    let broadcast = match written.value {
        Broadcast::Zeros => address.to_bits() & !host_bits,
        _ => address.to_bits() | host_bits,
    };
    Some(Ipv4Addr::from_bits(broadcast).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_is_made_of_the_prefix() {
        let made = |address: &str, prefix, value| {
            let mut report = Report::default();
            let at = Default::default();
            broadcast(address.parse().unwrap(), prefix, Some(At { value, at }), &mut report)
        };
        assert_eq!(made("10.1.2.3", 24, Broadcast::Ones), Some("10.1.2.255".parse().unwrap()));
        assert_eq!(made("10.1.2.3", 20, Broadcast::Zeros), Some("10.1.0.0".parse().unwrap()));
        assert_eq!(made("10.1.2.3", 0, Broadcast::Ones), Some("255.255.255.255".parse().unwrap()));
        assert_eq!(made("10.1.2.3", 31, Broadcast::Ones), None);
        assert_eq!(made("fe80::1", 64, Broadcast::Ones), None);
    }
}
