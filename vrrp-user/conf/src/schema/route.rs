//! Lines of `virtual_routes` and `static_routes`, as in keepalived and the `ip` command.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::diagnostic::{Report, did_you_mean};
use super::super::lexer::Word;
use super::super::source::Position;
use super::super::tree::Statement;
use super::names::{KEEPALIVED, MAIN, PROTOCOLS, REALMS, TABLES, TOS, number};
use super::{address, value};
use crate::{Hop, Placement, Route, RouteKind, RouteOption, RoutePreference};

/// Words of keepalived without effect here, with their number of values.
const MISSING: [(&str, usize); 3] = [("expires", 1), ("ttl-propagate", 1), ("track_group", 1)];

/// Words that change the route itself, so that it is not set at all.
const ELSEWHERE: [&str; 2] = ["encap", "vrf"];

/// All words of a line, for suggestions and the documentation.
pub(super) const WORDS: [&str; 25] = [
    "to", "via", "gw", "dev", "oif", "src", "from", "table", "metric", "scope", "tos", "protocol", "nexthop",
    "weight", "onlink", "or", "realms", "features", "congctl", "pref", "add", "append", "prepend",
    "no_track", "encap",
];

/// RTAX_FEATURE_ECN.
const ECN: u32 = 1;

/// Reads routes, one per line.
pub(super) fn read(routes: &mut Vec<Route>, inner: &[Statement], report: &mut Report) {
    let is_item = |word: &Word| word.text == "default" || value::address(&word.text).is_some();
    let read = |at, words: &[&Word], report: &mut Report| line(words, report)?.route(at, report);
    value::read_lines(routes, inner, report, is_item, read);
}

#[derive(Default)]
struct Draft {
    kind: Option<RouteKind>,
    destination: Option<(IpAddr, u8)>,
    is_default: bool,
    from: Option<(IpAddr, u8)>,
    source: Option<IpAddr>,
    hops: Vec<HopDraft>,
    table: Option<u32>,
    metric: Option<u32>,
    tos: u8,
    scope: Option<u8>,
    protocol: Option<u8>,
    options: Vec<(RouteOption, u32)>,
    locked: Vec<RouteOption>,
    congestion_control: Option<Arc<str>>,
    congestion_locked: bool,
    realms: Option<u32>,
    preference: Option<RoutePreference>,
    placement: Placement,
    /// `inet6`.
    is_v6: bool,
    /// It has a word of [`ELSEWHERE`] and is not set.
    is_elsewhere: bool,
    untracked: bool,
}

#[derive(Default)]
struct HopDraft {
    gateway: Option<IpAddr>,
    device: Option<Arc<str>>,
    weight: Option<u16>,
    onlink: bool,
}

/// `None` if a word is invalid; the rest of the line is then meaningless.
fn line(words: &[&Word], report: &mut Report) -> Option<Draft> {
    let mut draft = Draft::default();
    let mut rest = words.iter().copied();
    while let Some(word) = rest.next() {
        let mut value = |report: &mut Report| {
            let next = rest.next();
            if next.is_none() {
                report.error(word.at, format!("`{}` needs a value", word.text));
            }
            next
        };
        let text = word.text.as_str();
        if let Some((_, kind)) = RouteKind::ALL.iter().find(|(name, _)| *name == text) {
            draft.kind = Some(*kind);
            continue;
        }
        if let Some((_, option)) = RouteOption::ALL.iter().find(|(name, _)| *name == text) {
            let mut number_word = value(report)?;
            if number_word.text == "lock" {
                draft.locked.push(*option);
                number_word = value(report)?;
            }
            let digits = number_word.text.trim_end_matches("ms");
            draft.options.push((*option, number(digits, number_word.at, report)?));
            continue;
        }
        if let Some((_, values)) = MISSING.iter().find(|(name, _)| *name == text) {
            for _ in 0..*values {
                value(report)?;
            }
            report
                .warning(word.at, format!("`{text}` of a route has no effect: the route is set without it"));
            continue;
        }
        if ELSEWHERE.contains(&text) {
            report.warning(word.at, format!("`{text}` of a route is not supported: the route is not set"));
            draft.is_elsewhere = true;
            return Some(draft);
        }
        match text {
            "to" => draft.set_destination(value(report)?, report)?,
            "via" | "gw" => {
                let mut gateway = value(report)?;
                // The address implies the family.
                if matches!(gateway.text.as_str(), "inet" | "inet6") {
                    gateway = value(report)?;
                }
                draft.hop().gateway = Some(plain_address(gateway, report)?);
            }
            // Another gateway of the same weight.
            "or" => {
                let gateway = Some(plain_address(value(report)?, report)?);
                draft.hops.push(HopDraft { gateway, ..HopDraft::default() });
            }
            "dev" | "oif" => draft.hop().device = Some(value(report)?.text.as_str().into()),
            "nexthop" => draft.hops.push(HopDraft::default()),
            "weight" => {
                let word = value(report)?;
                match word.text.parse::<u16>() {
                    Ok(weight) if (1..=256).contains(&weight) => draft.hop().weight = Some(weight),
                    _ => {
                        report.left_out(word.at, format!("`weight` is 1 to 256, not `{}`", word.text));
                        return None;
                    }
                }
            }
            "no_track" => draft.untracked = true,
            "onlink" => draft.hop().onlink = true,
            "src" => draft.source = Some(plain_address(value(report)?, report)?),
            "from" => draft.from = Some(network(value(report)?, report)?),
            "table" => {
                let word = value(report)?;
                draft.table = Some(TABLES.number(word, report)?);
            }
            "metric" | "priority" | "preference" => {
                let word = value(report)?;
                draft.metric = Some(number(&word.text, word.at, report)?);
            }
            "scope" => {
                let word = value(report)?;
                draft.scope = Some(address::scope_number(word, report)?);
            }
            "tos" | "dsfield" => {
                let word = value(report)?;
                draft.tos = TOS.octet(word, report)?;
            }
            "protocol" | "proto" => {
                let word = value(report)?;
                draft.protocol = Some(PROTOCOLS.octet(word, report)?);
            }
            "realms" => draft.realms = Some(realms(value(report)?, report)?),
            "features" => {
                let word = value(report)?;
                if word.text != "ecn" {
                    report.left_out(word.at, format!("`features` is `ecn`, not `{}`", word.text));
                    return None;
                }
                draft.options.push((RouteOption::Features, ECN));
            }
            "congctl" => {
                let mut name = value(report)?;
                if name.text == "lock" {
                    draft.congestion_locked = true;
                    name = value(report)?;
                }
                draft.congestion_control = Some(name.text.as_str().into());
            }
            "pref" => draft.preference = Some(preference(value(report)?, report)?),
            "add" => draft.placement = Placement::Alone,
            "append" => draft.placement = Placement::Append,
            "prepend" => draft.placement = Placement::Prepend,
            "inet" => draft.is_v6 = false,
            "inet6" => draft.is_v6 = true,
            _ if draft.destination.is_none() && !draft.is_default => draft.set_destination(word, report)?,
            _ if report.is_tolerant() && value::address(text).is_some() => {
                let message =
                    format!("`{text}` is the second destination of a route; it counts, as with keepalived");
                report.warning(word.at, message);
                draft.set_destination(word, report)?;
            }
            _ => {
                let known = WORDS.iter().copied().chain(RouteOption::ALL.iter().map(|(name, _)| *name));
                report
                    .left_out(word.at, format!("unknown word `{text}` in a route"))
                    .help_with(|| did_you_mean(text, known));
                return None;
            }
        }
    }
    Some(draft)
}

impl Draft {
    /// The hop that the next words belong to.
    fn hop(&mut self) -> &mut HopDraft {
        if self.hops.is_empty() {
            self.hops.push(HopDraft::default());
        }
        let last = self.hops.len() - 1;
        &mut self.hops[last]
    }

    fn set_destination(&mut self, word: &Word, report: &mut Report) -> Option<()> {
        if word.text == "default" {
            self.is_default = true;
        } else {
            self.destination = Some(network(word, report)?);
        }
        Some(())
    }

    fn route(self, at: Position, report: &mut Report) -> Option<Route> {
        if self.is_elsewhere {
            return None;
        }
        let kind = self.kind.unwrap_or(RouteKind::Unicast);
        let gateways = self.hops.iter().filter_map(|hop| hop.gateway);
        let family = gateways.chain(self.source).next();
        let destination = match (self.destination, family) {
            (Some(destination), _) => destination,
            (None, family) if self.is_default && (self.is_v6 || family.is_some_and(|it| it.is_ipv6())) => {
                (IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), 0)
            }
            (None, _) if self.is_default => (IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0),
            (None, _) => {
                report
                    .left_out(at, "a route needs a destination")
                    .help("write `192.0.2.0/24 via …` or `default via …`");
                return None;
            }
        };
        let hops: Vec<Hop> = self
            .hops
            .into_iter()
            .map(|hop| Hop {
                gateway: hop.gateway,
                device: hop.device,
                weight: hop.weight.unwrap_or(1),
                onlink: hop.onlink,
            })
            .collect();
        if kind.has_hops() && hops.iter().all(|hop| hop.gateway.is_none() && hop.device.is_none()) {
            report.left_out(at, "a route needs `via` or `dev`");
            return None;
        }
        if !kind.has_hops() && hops.iter().any(|hop| hop.gateway.is_some()) {
            report.left_out(at, "a route of this kind has no next hop, so it takes no `via`");
            return None;
        }
        Some(Route {
            kind,
            destination,
            from: self.from,
            source: self.source,
            hops,
            table: self.table.unwrap_or(if kind == RouteKind::Local { 255 } else { MAIN }),
            metric: self.metric,
            tos: self.tos,
            scope: self.scope,
            protocol: self.protocol.unwrap_or(KEEPALIVED),
            options: self.options,
            locked: self.locked,
            congestion_control: self.congestion_control,
            congestion_locked: self.congestion_locked,
            realms: self.realms,
            preference: self.preference,
            placement: self.placement,
            tracked: !self.untracked,
        })
    }
}

/// An address with a prefix; its host bits are cleared, as the kernel requires.
pub(super) fn network(word: &Word, report: &mut Report) -> Option<(IpAddr, u8)> {
    let Some((address, prefix)) = value::address(&word.text) else {
        report.left_out(word.at, format!("`{}` is not an IP address with a prefix", word.text));
        return None;
    };
    let most: u8 = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(most);
    let masked = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(u32::from(32 - prefix.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(u32::from(128 - prefix.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    };
    Some((masked, prefix))
}

/// `DESTINATION` or `SOURCE/DESTINATION`.
pub(super) fn realms(word: &Word, report: &mut Report) -> Option<u32> {
    let mut realm = |text: &str| {
        let half = Word { text: text.to_owned(), ..word.clone() };
        REALMS.number(&half, report)
    };
    match word.text.split_once('/') {
        Some((source, destination)) => Some(realm(source)? << 16 | realm(destination)?),
        None => realm(&word.text),
    }
}

fn preference(word: &Word, report: &mut Report) -> Option<RoutePreference> {
    match word.text.as_str() {
        "low" => Some(RoutePreference::Low),
        "medium" => Some(RoutePreference::Medium),
        "high" => Some(RoutePreference::High),
        other => {
            report.left_out(word.at, format!("`pref` is low, medium or high, not `{other}`"));
            None
        }
    }
}

fn plain_address(word: &Word, report: &mut Report) -> Option<IpAddr> {
    let address = word.text.parse().ok();
    if address.is_none() {
        report.left_out(word.at, format!("`{}` is not an IP address", word.text));
    }
    address
}
