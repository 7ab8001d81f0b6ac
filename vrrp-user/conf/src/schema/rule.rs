//! Lines of `virtual_rules` and `static_rules`, as in keepalived and the `ip` command.

use std::net::IpAddr;
use std::sync::Arc;

use vrrp_ebpf::wire::Family;

use super::super::diagnostic::{Report, did_you_mean};
use super::super::lexer::Word;
use super::super::source::{At, Position};
use super::super::tree::Statement;
use super::names::{self, GROUPS, IP_PROTOCOLS, KEEPALIVED, PROTOCOLS, TABLES, TOS};
use super::{route, value};
use crate::{Lookup, Rule, RuleAction};

/// A rule and its position.
#[derive(Clone, Debug)]
pub(crate) struct RuleDraft {
    pub(crate) at: Position,
    /// Its preference is unset if none is written.
    pub(crate) rule: Rule,
    pub(crate) has_preference: bool,
}

/// All words of a line, for suggestions.
const WORDS: [&str; 31] = [
    "from",
    "to",
    "not",
    "iif",
    "dev",
    "oif",
    "fwmark",
    "tos",
    "dsfield",
    "preference",
    "priority",
    "order",
    "table",
    "lookup",
    "realms",
    "goto",
    "nop",
    "suppress_prefixlength",
    "sup_pl",
    "suppress_ifgroup",
    "sup_group",
    "uidrange",
    "l3mdev",
    "protocol",
    "ipproto",
    "sport",
    "dport",
    "type",
    "tunnel-id",
    "no_track",
    "track_group",
];

/// Reads rules, one per line.
pub(super) fn read(rules: &mut Vec<RuleDraft>, inner: &[Statement], report: &mut Report) {
    let is_item = |word: &Word| WORDS.contains(&&*word.text);
    let read = |at, words: &[&Word], report: &mut Report| line(words, report)?.rule(at, report);
    value::read_lines(rules, inner, report, is_item, read);
}

#[derive(Default)]
struct Draft {
    family: Option<Family>,
    preference: Option<u32>,
    inverted: bool,
    from: Option<(IpAddr, u8)>,
    to: Option<(IpAddr, u8)>,
    input: Option<Arc<str>>,
    output: Option<Arc<str>>,
    mark: Option<(u32, Option<u32>)>,
    tos: u8,
    tunnel: Option<u64>,
    users: Option<(u32, u32)>,
    ip_protocol: Option<u8>,
    source_ports: Option<(u16, u16)>,
    destination_ports: Option<(u16, u16)>,
    protocol: Option<u8>,
    untracked: bool,
    /// The action, with its position.
    action: Option<At<RuleAction>>,
    /// Options of the table lookup.
    lookup: Lookup,
    /// The first word that needs a table.
    for_table: Option<Position>,
}

/// `None` if a word is invalid; the rest of the line is then meaningless.
fn line(words: &[&Word], report: &mut Report) -> Option<Draft> {
    let mut draft = Draft::default();
    let mut rest = words.iter().copied();
    while let Some(word) = rest.next() {
        let at = word.at;
        let mut value = |report: &mut Report| {
            let next = rest.next();
            if next.is_none() {
                report.error(at, format!("`{}` needs a value", word.text));
            }
            next
        };
        match word.text.as_str() {
            "inet" => draft.set_family(Family::V4, at, report)?,
            "inet6" => draft.set_family(Family::V6, at, report)?,
            "not" => draft.inverted = true,
            "from" => draft.from = draft.network(value(report)?, report)?,
            "to" => draft.to = draft.network(value(report)?, report)?,
            "dev" | "iif" => draft.input = Some(value(report)?.text.as_str().into()),
            "oif" => draft.output = Some(value(report)?.text.as_str().into()),
            "fwmark" => draft.mark = Some(mark(value(report)?, report)?),
            "tos" | "dsfield" => draft.tos = TOS.octet(value(report)?, report)?,
            "preference" | "priority" | "order" => {
                draft.preference = Some(number(value(report)?, report)?);
            }
            "tunnel-id" => draft.tunnel = Some(parsed("a number", value(report)?, report)?),
            "uidrange" => {
                let word = value(report)?;
                draft.users = Some(range("users, as `1000-1999`", word, false, report)?);
            }
            "ipproto" => draft.ip_protocol = Some(IP_PROTOCOLS.octet(value(report)?, report)?),
            "sport" => draft.source_ports = Some(ports(value(report)?, report)?),
            "dport" => draft.destination_ports = Some(ports(value(report)?, report)?),
            "protocol" => draft.protocol = Some(PROTOCOLS.octet(value(report)?, report)?),
            "table" | "lookup" => {
                let word = value(report)?;
                let table = TABLES.number(word, report)?;
                if table == 0 {
                    report.left_out(word.at, "table 0 cannot be looked up");
                    return None;
                }
                let lookup = Lookup { table: Some(table), ..Lookup::default() };
                draft.set_action(RuleAction::Lookup(lookup), at, report)?;
            }
            "l3mdev" => draft.set_action(RuleAction::Lookup(Lookup::default()), at, report)?,
            "goto" => {
                let target = number(value(report)?, report)?;
                draft.set_action(RuleAction::Goto(target), at, report)?;
            }
            "nop" => draft.set_action(RuleAction::Nop, at, report)?,
            "blackhole" => draft.set_action(RuleAction::Blackhole, at, report)?,
            "unreachable" => draft.set_action(RuleAction::Unreachable, at, report)?,
            "prohibit" => draft.set_action(RuleAction::Prohibit, at, report)?,
            // One of the actions above follows.
            "type" => {}
            "realms" => {
                draft.lookup.realms = Some(route::realms(value(report)?, report)?);
                draft.for_table.get_or_insert(at);
                draft.set_family(Family::V4, at, report)?;
            }
            "suppress_prefixlength" | "sup_pl" => {
                draft.lookup.suppressed_prefix = Some(number(value(report)?, report)?);
                draft.for_table.get_or_insert(at);
            }
            "suppress_ifgroup" | "sup_group" => {
                draft.lookup.suppressed_group = Some(GROUPS.number(value(report)?, report)?);
                draft.for_table.get_or_insert(at);
            }
            "no_track" => draft.untracked = true,
            "track_group" => {
                value(report)?;
                report.warning(at, "`track_group` of a rule has no effect: no instance follows the rule");
            }
            text => {
                report
                    .left_out(at, format!("unknown word `{text}` in a rule"))
                    .help_with(|| did_you_mean(text, WORDS));
                return None;
            }
        }
    }
    Some(draft)
}

impl Draft {
    fn set_family(&mut self, family: Family, at: Position, report: &mut Report) -> Option<()> {
        if *self.family.get_or_insert(family) != family {
            report.left_out(at, "a rule is for IPv4 or for IPv6, but its words name both");
            return None;
        }
        Some(())
    }

    fn set_action(&mut self, action: RuleAction, at: Position, report: &mut Report) -> Option<()> {
        if self.action.is_some() {
            report.left_out(at, "a rule has one action only").help(
                "write one of `table`, `l3mdev`, `goto`, `nop`, `blackhole`, `unreachable` and `prohibit`",
            );
            return None;
        }
        self.action = Some(At { value: action, at });
        Some(())
    }

    /// Parses a network; the inner `None`: all addresses.
    #[expect(clippy::option_option, reason = "an invalid network differs from all addresses")]
    fn network(&mut self, word: &Word, report: &mut Report) -> Option<Option<(IpAddr, u8)>> {
        if matches!(word.text.as_str(), "all" | "any" | "default") {
            return Some(None);
        }
        let network = route::network(word, report)?;
        self.set_family(if network.0.is_ipv4() { Family::V4 } else { Family::V6 }, word.at, report)?;
        // The kernel accepts no address with prefix length 0.
        Some(Some(network).filter(|(_, prefix)| *prefix > 0))
    }

    fn rule(self, at: Position, report: &mut Report) -> Option<RuleDraft> {
        let Some(At { value: mut action, at: action_at }) = self.action else {
            report.left_out(at, "a rule needs an action, such as `table`");
            return None;
        };
        match (&mut action, self.for_table) {
            (RuleAction::Lookup(lookup), _) => *lookup = Lookup { table: lookup.table, ..self.lookup },
            (_, Some(at)) => {
                report.left_out(at, "this word needs `table` or `l3mdev` in the rule");
                return None;
            }
            (RuleAction::Goto(target), None) if self.preference.is_none_or(|own| own >= *target) => {
                report
                    .left_out(action_at, format!("`goto {target}` must lead to a later rule"))
                    .help("write a `preference` lower than its target");
                return None;
            }
            _ => {}
        }
        let rule = Rule {
            family: self.family.unwrap_or(Family::V4),
            preference: self.preference.unwrap_or(0),
            inverted: self.inverted,
            from: self.from,
            to: self.to,
            input: self.input,
            output: self.output,
            mark: self.mark,
            tos: self.tos,
            tunnel: self.tunnel,
            users: self.users,
            ip_protocol: self.ip_protocol,
            source_ports: self.source_ports,
            destination_ports: self.destination_ports,
            action,
            protocol: self.protocol.unwrap_or(KEEPALIVED),
            tracked: !self.untracked,
        };
        Some(RuleDraft { at, rule, has_preference: self.preference.is_some() })
    }
}

fn number(word: &Word, report: &mut Report) -> Option<u32> {
    names::number(&word.text, word.at, report)
}

fn parsed<T: std::str::FromStr>(what: &str, word: &Word, report: &mut Report) -> Option<T> {
    let found = word.text.parse().ok();
    if found.is_none() {
        report.left_out(word.at, format!("`{}` is not {what}", word.text));
    }
    found
}

/// `MARK` or `MARK/MASK`.
fn mark(word: &Word, report: &mut Report) -> Option<(u32, Option<u32>)> {
    match word.text.split_once('/') {
        Some((mark, mask)) => {
            let mark = names::number(mark, word.at, report)?;
            Some((mark, Some(names::number(mask, word.at, report)?)))
        }
        None => Some((number(word, report)?, None)),
    }
}

fn ports(word: &Word, report: &mut Report) -> Option<(u16, u16)> {
    let (first, last) = range("a port, or ports as `5000-5999`", word, true, report)?;
    match (u16::try_from(first), u16::try_from(last)) {
        // The kernel too refuses port 0.
        (Ok(first @ 1..), Ok(last)) => Some((first, last)),
        _ => {
            report.left_out(word.at, format!("a port is 1 to 65535, not `{}`", word.text));
            None
        }
    }
}

/// `FIRST-LAST`, or with `one` a single number.
fn range(what: &str, word: &Word, one: bool, report: &mut Report) -> Option<(u32, u32)> {
    let (first, last) = match word.text.split_once('-') {
        Some((first, last)) => (first.parse().ok(), last.parse().ok()),
        None if one => (word.text.parse().ok(), word.text.parse().ok()),
        None => (None, None),
    };
    let found = first.zip(last).filter(|(first, last)| first <= last);
    if found.is_none() {
        report.left_out(word.at, format!("`{}` is not {what}", word.text));
    }
    found
}
