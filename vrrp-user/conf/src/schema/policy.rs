//! Keywords for strict mode, accepted senders and packets to the addresses, of `vrrp_instance` and `global_defs`.

use std::sync::Arc;

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::source::At;
use super::draft::{GlobalsDraft, InstanceDraft};
use super::table::{Kind, Row};
use super::value;
use vrrp_proto::Order;

const ORDERS: &str = "overlap or strict";

pub(super) const INSTANCE: &[Row<InstanceDraft>] = &[
    Row::works(
        "accept",
        Kind::Flag(|it, at| it.policy.accept = Some(At { value: true, at: at.at })),
        "on; off with `strict_mode`",
        "a master accepts packets to the addresses although it does not own them",
    ),
    Row::works(
        "no_accept",
        Kind::Flag(|it, at| it.policy.accept = Some(At { value: false, at: at.at })),
        "off",
        "nftables drops packets to and from the addresses, except neighbour discovery; not with priority 255",
    ),
    Row::works(
        "strict_mode",
        Kind::Bool(|it, on| it.policy.strict = Some(on)),
        "`vrrp_strict`",
        "keep to the RFC; see [strict mode](#strict-mode)",
    ),
    Row::works(
        "check_unicast_src",
        Kind::Bool(|it, on| it.policy.check_source = Some(on)),
        "`vrrp_check_unicast_src`; on if a peer has TTL limits",
        "with unicast, accept adverts of the configured peers only",
    ),
    Row::works(
        "owner_ignore_adverts",
        Kind::Bool(|it, on| it.policy.owner_ignores = Some(on)),
        "`vrrp_owner_ignore_adverts`",
        "with priority 255, ignore other masters",
    ),
    Row::works(
        "handover",
        Kind::Own(ORDERS, |it, keyword, args, report| {
            if let Some(order) = order(keyword, args, report) {
                it.policy.handover = Some(order);
            }
        }),
        "`vrrp_handover`",
        "a master that leaves serves its addresses until the new master has taken over, or removes them first; see \
         [handover](#handover)",
    ),
];

pub(super) const GLOBALS: &[Row<GlobalsDraft>] = &[
    Row::works(
        "vrrp_strict",
        Kind::Bool(|globals: &mut GlobalsDraft, on| globals.policies.strict = Some(on)),
        "off",
        "default `strict_mode`",
    )
    .instead(1),
    Row::works(
        "vrrp_check_unicast_src",
        Kind::Bool(|globals: &mut GlobalsDraft, on| globals.policies.check_source = on.value),
        "off",
        "default `check_unicast_src`",
    )
    .instead(1),
    Row::works(
        "vrrp_owner_ignore_adverts",
        Kind::Bool(|globals, on| globals.policies.owner_ignores = Some(on.value)),
        "off; on with `strict_mode`",
        "default `owner_ignore_adverts`",
    ),
    Row::works(
        "vrrp_handover",
        Kind::Own(ORDERS, |globals, keyword, args, report| {
            if let Some(order) = order(keyword, args, report) {
                globals.policies.handover = order;
            }
        }),
        "overlap",
        "default `handover`",
    ),
    Row::works(
        "log_unknown_vrids",
        Kind::Flag(|globals, _| globals.policies.log_unknown_vrids = true),
        "off",
        "log adverts of virtual routers that are not configured, once each; status and metrics always show them",
    ),
    Row::works(
        "nftables",
        Kind::Own("[TABLE]", |globals, keyword, args, report| {
            let Some(first) = args.first() else { return };
            let table = Arc::from(first.text.as_str());
            if !is_identifier(&first.text) {
                report.error(first.at, format!("`{table}` cannot be an nftables table")).help(
                    "write a letter, `_` or `.`, then letters, digits, `_`, `.`, `-` or `/`; at most 255 characters",
                );
            } else if value::read_only_word(&keyword.text, keyword.at, args, report).is_some() {
                globals.policies.firewall.table = table;
            }
        }),
        "vrrpx",
        "table for the rules of `no_accept`; it is created and removed as a whole",
    ),
    Row::works(
        "nftables_priority",
        Kind::Integer(i32::MIN as i64, i32::MAX as i64, |globals, n| {
            globals.policies.firewall.priority = i32::try_from(n.value).unwrap_or_default();
        }),
        "-1",
        "priority of its chains",
    ),
    Row::works(
        "nftables_counters",
        Kind::Flag(|globals, _| globals.policies.firewall.counters = true),
        "off",
        "adds counters to its rules",
    ),
    Row::moot("nftables_ifindex", "match interfaces by index", "they are matched by name"),
];

fn order(keyword: &Word, args: &[Word], report: &mut Report) -> Option<Order> {
    let known = [("overlap", Order::Overlap), ("strict", Order::Strict)];
    value::read_choice(&known, keyword, args, report).map(|order| order.value)
}

/// A name that nft's scanner accepts without quotes, within the kernel's NFT_NAME_MAXLEN.
fn is_identifier(text: &str) -> bool {
    let begins = |first: char| first.is_ascii_alphabetic() || "_.".contains(first);
    text.len() <= 255
        && text.starts_with(begins)
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.-/".contains(letter))
}
