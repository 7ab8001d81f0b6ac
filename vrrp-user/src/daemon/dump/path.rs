//! Routes and rules, as keepalived writes them into its files.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::config::{Hop, Placement, Route, RouteKind, RouteOption, RoutePreference, Rule, RuleAction};

/// RT_TABLE_MAIN, which is left out.
const MAIN: u32 = 254;
/// RTPROT_KEEPALIVED, which is left out if nothing is tracked.
const KEEPALIVED: u8 = 18;

/// In this order; other options of a route are written as their keywords.
const METRICS: [RouteOption; 15] = [
    RouteOption::Rtt,
    RouteOption::RttVar,
    RouteOption::RtoMin,
    RouteOption::Features,
    RouteOption::Mtu,
    RouteOption::Window,
    RouteOption::SsThresh,
    RouteOption::Cwnd,
    RouteOption::AdvMss,
    RouteOption::Reordering,
    RouteOption::HopLimit,
    RouteOption::InitCwnd,
    RouteOption::InitRwnd,
    RouteOption::QuickAck,
    RouteOption::FastOpenNoCookie,
];

/// A line under construction.
struct Line(String);

impl Line {
    /// ` word`, and a space before it.
    fn add(&mut self, word: impl std::fmt::Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, " {word}");
    }

    fn add_some(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.add(format_args!("{name} {value}"));
        }
    }

    fn end(mut self, is_tracked: bool) -> String {
        if !is_tracked {
            self.add("no_track");
        }
        self.0
    }
}

pub fn route(route: &Route) -> String {
    let mut line = Line(first(route));
    line.add_some("from", route.from.map(prefixed));
    line.add_some("src", route.source);
    line.add_some("tos", (route.tos > 0).then_some(route.tos));
    let single = if let [hop] = &route.hops[..] { Some(hop) } else { None };
    if let Some(hop) = single {
        towards(&mut line, hop);
    }
    line.add_some("table", (route.table != MAIN).then_some(route.table));
    line.add_some("proto", (route.tracked || route.protocol != KEEPALIVED).then_some(route.protocol));
    line.add_some("scope", route.scope);
    line.add_some("metric", route.metric);
    if single.is_some_and(|hop| hop.onlink) {
        line.add("onlink");
    }
    if let Some(realms) = route.realms {
        line.add(realms_of(realms, "realm"));
    }
    if let Some(algorithm) = &route.congestion_control {
        line.add(format_args!("congctl {}{algorithm}", if route.congestion_locked { "lock " } else { "" }));
    }
    for option in METRICS {
        if let Some((_, value)) = route.options.iter().find(|(known, _)| *known == option) {
            metric(&mut line, option, *value, route.locked.contains(&option));
        }
    }
    line.add_some("pref", route.preference.map(preference));
    for hop in route.hops.iter().filter(|_| single.is_none()) {
        line.add("nexthop");
        towards(&mut line, hop);
        line.add_some("weight", (hop.weight > 1).then_some(hop.weight));
        if hop.onlink {
            line.add("onlink");
        }
    }
    // keepalived tracks only routes with an interface of their own, and we track all; its word stays.
    line.end(route.tracked && single.is_some_and(|hop| hop.device.is_some()))
}

fn first(route: &Route) -> String {
    let destination = prefixed(route.destination);
    let word = match route.placement {
        Placement::Prepend => "prepend",
        Placement::Append => "append",
        Placement::Alone => "add",
    };
    let kind = RouteKind::ALL.into_iter().find(|(_, kind)| *kind == route.kind);
    match kind {
        Some((name, kind)) if kind != RouteKind::Unicast => format!("add {name} {destination}"),
        _ => format!("{word} {destination}"),
    }
}

fn towards(line: &mut Line, hop: &Hop) {
    if let Some(gateway) = hop.gateway {
        line.add(format_args!("via {} {gateway}", if gateway.is_ipv4() { "inet" } else { "inet6" }));
    }
    line.add_some("dev", hop.device.as_ref());
}

fn metric(line: &mut Line, option: RouteOption, value: u32, is_locked: bool) {
    let lock = if is_locked { "lock " } else { "" };
    let name = RouteOption::ALL.into_iter().find(|(_, known)| *known == option).map(|(name, _)| name);
    match (name, option) {
        (Some(name), RouteOption::Rtt | RouteOption::RttVar | RouteOption::RtoMin) => {
            line.add(format_args!("{name} {lock}{value}ms"));
        }
        (Some(name), _) => line.add(format_args!("{name} {lock}{value}")),
        (None, _) => line.add("features ecn"),
    }
}

const fn preference(preference: RoutePreference) -> &'static str {
    match preference {
        RoutePreference::Low => "low",
        RoutePreference::Medium => "medium",
        RoutePreference::High => "high",
    }
}

pub fn rule(rule: &Rule) -> String {
    let from = rule.from.map_or_else(|| "all".to_owned(), short);
    let mut line = Line(format!("{}from {from}", if rule.inverted { "not " } else { "" }));
    line.add_some("to", rule.to.map(short));
    line.add(format_args!("priority {}", rule.preference));
    line.add(format_args!("tos {:#x}", rule.tos));
    if let Some((mark, mask)) = rule.mark {
        let mask = mask.map(|mask| format!("/{mask:#x}")).unwrap_or_default();
        line.add(format_args!("fwmark {mark:#x}{mask}"));
    }
    line.add_some("iif", rule.input.as_ref());
    line.add_some("oif", rule.output.as_ref());
    if let RuleAction::Lookup(lookup) = &rule.action {
        line.add_some("suppress_prefixlen", lookup.suppressed_prefix);
        line.add_some("suppress_ifgroup", lookup.suppressed_group);
    }
    line.add_some("tunnel-id", rule.tunnel);
    line.add_some("uidrange", rule.users.map(range));
    line.add_some("protocol", (rule.tracked || rule.protocol != KEEPALIVED).then_some(rule.protocol));
    line.add_some("ipproto", rule.ip_protocol);
    line.add_some("sport", rule.source_ports.map(range));
    line.add_some("dport", rule.destination_ports.map(range));
    match &rule.action {
        RuleAction::Lookup(lookup) => {
            if let Some(realms) = lookup.realms {
                line.add(realms_of(realms, "realms"));
            }
            line.add(lookup.table.map_or_else(|| "l3mdev".to_owned(), |table| format!("lookup {table}")));
        }
        RuleAction::Goto(preference) => line.add(format_args!("goto {preference}")),
        RuleAction::Nop => line.add("nop"),
        RuleAction::Blackhole => line.add("type blackhole"),
        RuleAction::Unreachable => line.add("type unreachable"),
        RuleAction::Prohibit => line.add("type prohibit"),
    }
    line.end(rule.tracked)
}

fn prefixed((address, length): (IpAddr, u8)) -> String {
    format!("{address}/{length}")
}

/// Without the prefix length of a single address.
fn short((address, length): (IpAddr, u8)) -> String {
    let whole = if address.is_ipv4() { 32 } else { 128 };
    if length == whole { address.to_string() } else { prefixed((address, length)) }
}

fn range<T: std::fmt::Display>((first, last): (T, T)) -> String {
    format!("{first}-{last}")
}

/// Source realm in the upper half, destination realm in the lower one.
fn realms_of(realms: u32, single: &str) -> String {
    match realms >> 16 {
        0 => format!("{single} {}", realms & 0xffff),
        source => format!("realms {source}/{}", realms & 0xffff),
    }
}
