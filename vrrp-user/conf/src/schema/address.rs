//! Lines of `virtual_ipaddress` and `virtual_ipaddress_excluded`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::super::diagnostic::{Finding, Report};
use super::super::lexer::Word;
use super::super::source::{At, Position};
use super::super::tree::Statement;
use super::table::{self, Kind, Row};
use super::value;

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
    /// An option that keepalived drops the whole address for is wrong.
    is_void: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Broadcast {
    /// `+`: all host bits set.
    Ones,
    /// `-`: all host bits clear.
    Zeros,
    Address(Ipv4Addr),
}

/// Bytes of an interface name or a label, without the closing zero (IFNAMSIZ).
pub(crate) const NAME_MAX: usize = 15;

/// Options after an address.
pub(super) const OPTIONS: &[Row<AddressDraft>] = &[
    Row::works("dev", Kind::Own("name", device), "the instance's `interface`", "interface of the address"),
    Row::works("label", Kind::Own("name", label), "", "IPv4 alias name such as `eth0:1`, at most 15 bytes"),
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
    for statement in value::lines(inner, report, &|word| value::address(&word.text).is_some()) {
        let word = &statement.keyword;
        let Some((value, prefix)) = read_prefix(word, report) else { continue };
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
            is_void: false,
        };
        table::read_options(OPTIONS, "after an address", &statement.args, &mut address, report);
        if !address.is_void {
            addresses.push(address);
        }
    }
}

/// An address with its prefix. Of a prefix that is none, keepalived reads the leading digits; without a number in
/// range, the address has the prefix of a host.
fn read_prefix(word: &Word, report: &mut Report) -> Option<(IpAddr, Option<u8>)> {
    if let Some(read) = value::address(&word.text) {
        return Some(read);
    }
    let finding = report.left_out(word.at, format!("`{}` is not an IP address with a prefix", word.text));
    let (address, prefix) = word.text.split_once('/').unwrap_or((&word.text, ""));
    let Ok(address) = address.parse::<IpAddr>() else {
        finding.help("write an address such as `192.0.2.1/24` or `2001:db8::1/64`, one per line");
        return None;
    };
    let host = if address.is_ipv4() { 32 } else { 128 };
    let digits = prefix.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(prefix.len());
    let leading =
        prefix.get(..digits).and_then(|digits| digits.parse::<u8>().ok()).filter(|prefix| *prefix <= host);
    let mask = prefix.parse::<Ipv4Addr>().map_or(0, |mask| mask.to_bits().leading_ones());
    let prefix = leading.unwrap_or(host);
    let is_set = finding.is_left_out();
    match (mask, is_set) {
        (0, true) => finding.help(format!("it is set as {address}/{prefix}")),
        (0, false) => finding.help(format!("write `{address}/{prefix}`, or the prefix of the subnet")),
        (meant, true) => finding.help(format!("it is set as {address}/{prefix}; write `{address}/{meant}`")),
        (meant, false) => finding.help(format!("write `{address}/{meant}`")),
    }
    report.is_tolerant().then_some((address, Some(prefix)))
}

/// Help with a fault for which keepalived drops the address.
fn not_set(finding: &mut Finding) {
    if finding.is_left_out() {
        finding.help("the address is not set, as with keepalived");
    }
}

/// The word after an option whose absence, as with keepalived, drops the address.
fn needed<'a>(
    address: &mut AddressDraft,
    keyword: &Word,
    args: &'a [Word],
    report: &mut Report,
) -> Option<&'a Word> {
    let word = args.first();
    if word.is_none() {
        not_set(report.left_out(keyword.at, format!("`{}` needs a value", keyword.text)));
        address.is_void = true;
    }
    word
}

fn device(address: &mut AddressDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = needed(address, keyword, args, report) else { return };
    address.device = Some(word.placed());
}

fn label(address: &mut AddressDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = needed(address, keyword, args, report) else { return };
    let length = word.text.len();
    if address.address.value.is_ipv4() && !(1..=NAME_MAX).contains(&length) {
        not_set(report.left_out(word.at, format!("a label has 1 to {NAME_MAX} bytes, not {length}")));
        address.is_void = true;
        return;
    }
    address.label = Some(word.placed());
}

fn scope(address: &mut AddressDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = needed(address, keyword, args, report) else { return };
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
            .left_out(word.at, format!("`{}` is not a scope", word.text))
            .help("write site, link, host, nowhere, global, or a number from 0 to 255");
    }
    number
}

fn broadcast(address: &mut AddressDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = needed(address, keyword, args, report) else { return };
    if address.address.value.is_ipv6() {
        not_set(report.left_out(word.at, "IPv6 has no broadcast address"));
        address.is_void = true;
        return;
    }
    let value = match word.text.as_str() {
        "+" => Broadcast::Ones,
        "-" => Broadcast::Zeros,
        text => match text.parse() {
            Ok(value) => Broadcast::Address(value),
            Err(_) => {
                let message = format!("`{text}` is not an IPv4 broadcast address");
                report
                    .left_out(word.at, message)
                    .help("write an address, + or -; without, the address is not set");
                address.is_void = true;
                return;
            }
        },
    };
    address.broadcast = Some(At { value, at: word.at });
}

fn peer(address: &mut AddressDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = needed(address, keyword, args, report) else { return };
    let Some(value) = value::address(&word.text) else {
        report.left_out(word.at, format!("`{}` is not an IP address with a prefix", word.text));
        return;
    };
    address.peer = Some(At { value, at: word.at });
}

fn preferred(address: &mut AddressDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = needed(address, keyword, args, report) else { return };
    let value = match word.text.as_str() {
        "forever" => None,
        text => match text.parse() {
            Ok(seconds) => Some(seconds),
            Err(_) => {
                report.left_out(
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
