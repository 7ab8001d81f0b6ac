//! Addresses, routes and rules of an instance, each with its line.

use super::super::Instance;
use super::super::outline::Written;
use super::value::{is_left_out, is_noted, words};
use super::{Finding, Origin, Value};
use crate::VirtualAddress;

/// Addresses with the options that take effect; the keyword says whether adverts hold them.
pub(super) fn addresses(
    instance: &Instance,
    block: &Written,
    outline: &[Written],
    findings: &[Finding],
) -> Vec<Value> {
    let addresses = &instance.settings.addresses;
    let advertised = addresses.advertised.iter().map(|address| ("advertised", address));
    let excluded = addresses.excluded.iter().map(|address| ("not advertised", address));
    let value = |(keyword, address): (&str, &VirtualAddress)| {
        let is_it = |line: &Written| written_address(line) == Some(address.address);
        // Where a brace is wrong, the line may be outside the block.
        let line = block.inner().iter().chain(outline).find_map(|inner| inner.find(&is_it));
        let mut value = format!("{}/{}", address.address, address.prefix);
        if line.is_some_and(|line| !line.keyword.text.contains('/')) && address.peer.is_none() {
            value.push_str(" (no prefix written)");
        }
        options(address, &mut value);
        Value {
            keyword: keyword.to_owned(),
            value,
            from: line.map_or(Origin::Default, |line| Origin::Written(line.keyword.place.clone())),
            noted: line.is_some_and(|line| is_noted(line, findings)),
        }
    };
    advertised.chain(excluded).map(value).collect()
}

/// Appends what differs from an address without options.
fn options(address: &VirtualAddress, shown: &mut String) {
    let plain = VirtualAddress::new(address.address, address.prefix);
    let mut option = |name: &str, value: Option<String>| {
        shown.push_str(&format!(" {name}"));
        shown.extend(value.map(|value| format!(" {value}")));
    };
    if let Some(peer) = address.peer {
        option("peer", Some(peer.to_string()));
    }
    if let Some(device) = &address.device {
        option("dev", Some(device.to_string()));
    }
    if let Some(label) = &address.label {
        option("label", Some(label.to_string()));
    }
    if address.scope != plain.scope {
        option("scope", Some(address.scope.to_string()));
    }
    if let Some(broadcast) = address.broadcast {
        option("broadcast", Some(broadcast.to_string()));
    }
    if address.preferred != plain.preferred {
        let seconds = address.preferred.map_or_else(|| "forever".to_owned(), |seconds| seconds.to_string());
        option("preferred_lft", Some(seconds));
    }
    let flags = [
        (address.dad, "-nodad"),
        (address.no_prefix_route, "noprefixroute"),
        (address.home, "home"),
        (address.temporary, "mngtmpaddr"),
        (address.autojoin, "autojoin"),
        (!address.tracked, "no_track"),
    ];
    flags.into_iter().filter(|(on, _)| *on).for_each(|(_, name)| option(name, None));
}

/// Routes and rules as written, without the lines that are left out; rules with their preference.
pub(super) fn paths(instance: &Instance, block: &Written, findings: &[Finding]) -> Vec<Value> {
    let lines = |keyword: &'static str| -> Vec<&Written> {
        let mut lines = Vec::new();
        let lists = block.inner().iter().filter(|inner| inner.is(keyword));
        lists.flat_map(Written::inner).for_each(|line| line.with_inner(&mut lines));
        lines.retain(|line| !is_left_out(line, findings));
        lines
    };
    let value = |keyword: &str, line: &Written, more: String| Value {
        keyword: keyword.to_owned(),
        value: words(std::iter::once(&line.keyword).chain(&line.args)) + &more,
        from: Origin::Written(line.keyword.place.clone()),
        noted: is_noted(line, findings),
    };
    // Such a line is a warning, and sets no route.
    let is_set = |line: &&Written| !line.args.iter().any(|word| matches!(&*word.text, "encap" | "vrf"));
    let routes =
        lines("virtual_routes").into_iter().filter(is_set).map(|line| value("route", line, String::new()));
    let rules = lines("virtual_rules").into_iter().zip(instance.settings.rules.iter()).map(|(line, rule)| {
        let names_it = |word: &str| ["preference", "priority", "order"].contains(&word);
        let mut words = std::iter::once(&line.keyword).chain(&line.args);
        let written = words.any(|word| names_it(&word.text));
        let more = if written { String::new() } else { format!(" (preference {})", rule.preference) };
        value("rule", line, more)
    });
    routes.chain(rules).collect()
}

fn written_address(line: &Written) -> Option<std::net::IpAddr> {
    line.keyword.text.split('/').next()?.parse().ok()
}
