//! Lines of `virtual_ipaddress` and `virtual_ipaddress_excluded`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::source::{At, Position};
use super::super::tree::Statement;
use super::value;
use super::{Kind, Row};

#[derive(Debug)]
pub(crate) struct AddressDraft {
    pub(crate) address: At<IpAddr>,
    pub(crate) prefix: Option<u8>,
    pub(crate) device: Option<At<Arc<str>>>,
    pub(crate) label: Option<At<Arc<str>>>,
    pub(crate) scope: Option<At<u8>>,
    pub(crate) broadcast: Option<At<Broadcast>>,
    pub(crate) dad: bool,
    pub(crate) no_prefix_route: bool,
    pub(crate) vmac: bool,
    /// With its prefix.
    pub(crate) peer: Option<At<(IpAddr, Option<u8>)>>,
    /// Seconds; the inner `None`: forever.
    pub(crate) preferred: Option<At<Option<u32>>>,
    pub(crate) home: Option<Position>,
    pub(crate) temporary: Option<Position>,
    pub(crate) autojoin: bool,
    pub(crate) untracked: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Broadcast {
    /// `+`: all host bits set.
    Ones,
    /// `-`: all host bits clear.
    Zeros,
    Address(Ipv4Addr),
}

/// Options after an address.
pub(super) const OPTIONS: &[Row<AddressDraft>] = &[
    Row::works(
        "dev",
        Kind::Text(|address, name| address.device = Some(name)),
        "the instance's `interface`",
        "interface of the address",
    ),
    Row::works(
        "label",
        Kind::Text(|address, name| address.label = Some(name)),
        "",
        "IPv4 alias name such as `eth0:1`, at most 15 bytes",
    ),
    Row::works(
        "scope",
        Kind::Own("site, link, host, nowhere, global or 0–255", scope),
        "global",
        "rtnetlink scope; IPv4 only",
    ),
    Row::works("broadcast", Kind::Own("ADDRESS, + or -", broadcast), "none", "broadcast address; IPv4 only")
        .alias(&["brd"]),
    Row::works(
        "-nodad",
        Kind::Flag(|address, _| address.dad = true),
        "",
        "IPv6: let the kernel probe for duplicates, which delays a takeover",
    ),
    Row::works(
        "noprefixroute",
        Kind::Flag(|address, _| address.no_prefix_route = true),
        "",
        "the kernel adds no prefix route",
    ),
    Row::works(
        "peer",
        Kind::Own("ADDRESS[/PREFIX]", peer),
        "",
        "the other end of a point-to-point link; its prefix counts",
    ),
    Row::works(
        "preferred_lft",
        Kind::Own("seconds or forever", preferred),
        "0 for a /128, else forever",
        "time for which the kernel prefers the address as a source; IPv6 only",
    ),
    Row::works(
        "home",
        Kind::Flag(|address, at| address.home = Some(at.at)),
        "",
        "marks a Mobile IPv6 home address; IPv6 only",
    ),
    Row::works(
        "mngtmpaddr",
        Kind::Flag(|address, at| address.temporary = Some(at.at)),
        "",
        "the kernel derives temporary addresses from this one; IPv6 with /64 only",
    ),
    Row::works(
        "autojoin",
        Kind::Flag(|address, _| address.autojoin = true),
        "",
        "joins a multicast address on its interface",
    ),
    Row::works(
        "no_track",
        Kind::Flag(|address, _| address.untracked = true),
        "",
        "the address is not restored if another program removes it",
    ),
    Row::missing("track_group", "of static addresses", "no instance follows the address"),
    Row::works(
        "use_vmac",
        Kind::Flag(|address, _| address.vmac = true),
        "",
        "a macvlan with the virtual MAC address carries it, on the interface it would otherwise be on",
    ),
];

/// Reads addresses, one per line.
pub(super) fn read(addresses: &mut Vec<AddressDraft>, inner: &[Statement], report: &mut Report) {
    let mut rest = inner;
    while let Some((statement, behind)) = rest.split_first() {
        rest = behind;
        let word = &statement.keyword;
        if let Some(block) = &statement.block {
            report
                .left_out(word.at, format!("`{}` takes no block", word.text))
                .elects(true)
                .help("is a `}` missing before it?");
            // keepalived takes the lines for addresses, and their `}` for the end of the list.
            if report.is_tolerant() {
                read(addresses, block, report);
                report.moved.push_back(rest.to_vec());
                return;
            }
            continue;
        }
        let Some((value, prefix)) = value::address(&word.text) else {
            report
                .left_out(word.at, format!("`{}` is not an IP address with a prefix", word.text))
                .help("write an address such as `192.0.2.1/24` or `2001:db8::1/64`, one per line");
            continue;
        };
        let mut address = AddressDraft {
            address: At { value, at: word.at },
            prefix,
            device: None,
            label: None,
            scope: None,
            broadcast: None,
            dad: false,
            no_prefix_route: false,
            vmac: false,
            peer: None,
            preferred: None,
            home: None,
            temporary: None,
            autojoin: false,
            untracked: false,
        };
        super::read_options(OPTIONS, "after an address", &statement.args, &mut address, report);
        addresses.push(address);
    }
}

fn scope(address: &mut AddressDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word(&keyword.text, keyword.at, args, report) else { return };
    address.scope = scope_number(word, report).map(|value| At { value, at: word.at });
}

pub(super) fn scope_number(word: &Word, report: &mut Report) -> Option<u8> {
    let number = match word.text.as_str() {
        "global" => Some(0),
        "site" => Some(200),
        "link" => Some(253),
        "host" => Some(254),
        "nowhere" => Some(255),
        number => number.parse().ok(),
    };
    if number.is_none() {
        report
            .error(word.at, format!("`{}` is not a scope", word.text))
            .help("write site, link, host, nowhere, global, or a number from 0 to 255");
    }
    number
}

fn broadcast(address: &mut AddressDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word(&keyword.text, keyword.at, args, report) else { return };
    let value = match word.text.as_str() {
        "+" => Broadcast::Ones,
        "-" => Broadcast::Zeros,
        text => match text.parse() {
            Ok(value) => Broadcast::Address(value),
            Err(_) => {
                report
                    .error(word.at, format!("`{text}` is not an IPv4 broadcast address"))
                    .help("write an address, + or -");
                return;
            }
        },
    };
    address.broadcast = Some(At { value, at: word.at });
}

fn peer(address: &mut AddressDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word(&keyword.text, keyword.at, args, report) else { return };
    let Some(value) = value::address(&word.text) else {
        report.error(word.at, format!("`{}` is not an IP address with a prefix", word.text));
        return;
    };
    address.peer = Some(At { value, at: word.at });
}

fn preferred(address: &mut AddressDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word(&keyword.text, keyword.at, args, report) else { return };
    let value = match word.text.as_str() {
        "forever" => None,
        text => match text.parse() {
            Ok(seconds) => Some(seconds),
            Err(_) => {
                report.error(
                    word.at,
                    format!("`preferred_lft` is a number of seconds or `forever`, not `{text}`"),
                );
                return;
            }
        },
    };
    // The kernel's value for forever.
    address.preferred = Some(At { value: value.filter(|seconds| *seconds < u32::MAX), at: word.at });
}
