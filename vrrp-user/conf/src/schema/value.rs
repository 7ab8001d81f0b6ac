//! Values of keywords.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::super::diagnostic::{Report, did_you_mean, nearest};
use super::super::lexer::Word;
use super::super::source::{At, Position};
use super::super::tree::Statement;

/// keepalived's bound: microseconds in 32 bits.
pub(super) const SPAN_MAX: Duration = Duration::from_secs(4294);

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" => Some(true),
        "off" | "false" | "no" => Some(false),
        _ => None,
    }
}

/// Keywords that affect the election, or compatibility with the peers.
const ELECTING: &[&str] = &[
    "advert_int",
    "auth_hmac",
    "auth_pass",
    "auth_type",
    "authentication",
    "fall",
    "global_tracking",
    "interface",
    "interval",
    "native_ipv6",
    "nopreempt",
    "preempt",
    "preempt_delay",
    "priority",
    "rise",
    "script",
    "timeout",
    "track_file",
    "track_interface",
    "track_process",
    "track_script",
    "unicast_peer",
    "unicast_src_ip",
    "version",
    "virtual_ipaddress",
    "virtual_router_id",
    "vrrp_instance",
    "vrrp_script",
    "vrrp_sync_group",
    "vrrp_version",
    "weight",
];

/// Whether a left-out word is one of them, or a misspelling of one.
pub(super) fn elects(word: &str) -> bool {
    nearest(word, ELECTING.iter().copied()).is_some()
}

/// Digits, a point, and at most nine decimals; no sign, no exponent, no floating point.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return None;
    }
    let seconds = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(seconds, nanos))
}

/// Reads one item per line, from all its words. A line in which something is wrong yields none.
pub(super) fn read_lines<T>(
    list: &mut Vec<T>,
    inner: &[Statement],
    report: &mut Report,
    is_item: impl Fn(&Word) -> bool,
    read: impl Fn(Position, &[&Word], &mut Report) -> Option<T>,
) {
    for Statement { keyword, args, .. } in lines(inner, report, &is_item) {
        let words: Vec<&Word> = std::iter::once(keyword).chain(args).collect();
        let faults = report.faults();
        let item = read(keyword.at, &words, report);
        list.extend(item.filter(|_| report.faults() == faults));
    }
}

/// The lines of a list. A block among them is left out; keepalived takes its lines for lines of the list, and its `}`
/// for the end of the list. `is_item` says whether the line with the brace is one, too.
pub(super) fn lines<'a>(
    inner: &'a [Statement],
    report: &mut Report,
    is_item: &dyn Fn(&Word) -> bool,
) -> Vec<&'a Statement> {
    let mut list = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((line, behind)) = rest.split_first() {
        rest = behind;
        let Some(block) = &line.block else {
            list.push(line);
            continue;
        };
        report
            .left_out(line.keyword.at, format!("`{}` takes no block", line.keyword.text))
            .elects(true)
            .help("is a `}` missing before it?");
        if report.is_tolerant() {
            list.extend(Some(line).filter(|line| is_item(&line.keyword)));
            list.extend(lines(block, report, is_item));
            report.moved.push_back(rest.to_vec());
            break;
        }
    }
    list
}

/// `ADDRESS` or `ADDRESS/PREFIX`.
pub(super) fn address(text: &str) -> Option<(IpAddr, Option<u8>)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(text) => Some(text.parse::<u8>().ok().filter(|prefix| *prefix <= most)?),
        None => None,
    };
    Some((address, prefix))
}

const IGNORED_ALONE: &[&str] =
    &["default_interface", "router_id", "smtp_helo_name", "snmp_socket", "vrrp_sync_group"];

pub(super) fn read_only_word<'a>(
    keyword: &str,
    at: Position,
    args: &'a [Word],
    report: &mut Report,
) -> Option<&'a Word> {
    let Some((word, extra)) = args.split_first() else {
        let message = format!("`{keyword}` needs a value");
        // keepalived ends at most keywords without their value, and ignores these.
        match IGNORED_ALONE.contains(&keyword) {
            true => report.left_out(at, message),
            false => report.error(at, message),
        };
        return None;
    };
    if let Some(extra) = extra.first() {
        report.warning(extra.at, format!("`{keyword}` takes one value; `{}` is ignored", extra.text));
    }
    Some(word)
}

/// The value of a word; without one, the word is left out.
fn checked<T>(
    value: Option<T>,
    keyword: &str,
    form: fmt::Arguments<'_>,
    word: &Word,
    report: &mut Report,
) -> Option<At<T>> {
    if value.is_none() {
        let message = format!("`{keyword}` {form}, not `{}`", word.text);
        report.left_out(word.at, message).elects(elects(keyword));
    }
    value.map(|value| At { value, at: word.at })
}

/// Of these, keepalived ignores a wrong word.
const IGNORED_CHOICES: &[&str] = &["param_match", "state"];

pub(super) fn read_choice<T: Copy>(
    known: &[(&str, T)],
    keyword: &Word,
    args: &[Word],
    report: &mut Report,
) -> Option<At<T>> {
    let word = read_only_word(&keyword.text, keyword.at, args, report)?;
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == word.text) {
        return Some(At { value: *value, at: word.at });
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let (last, others) = names.split_last()?;
    let message = format!("`{}` is {} or {last}, not `{}`", keyword.text, others.join(", "), word.text);
    let finding = match IGNORED_CHOICES.contains(&&*keyword.text) {
        true => report.left_out(word.at, message),
        false => report.error(word.at, message),
    };
    finding.help_maybe(did_you_mean(&word.text, names));
    None
}

pub(super) fn read_bool(keyword: &str, at: Position, args: &[Word], report: &mut Report) -> Option<At<bool>> {
    if args.is_empty() {
        return Some(At { value: true, at });
    }
    let word = read_only_word(keyword, at, args, report)?;
    checked(boolean(&word.text), keyword, format_args!("is `on` or `off`"), word, report)
}

pub(super) fn read_integer(
    keyword: &str,
    at: Position,
    args: &[Word],
    low: i64,
    high: i64,
    report: &mut Report,
) -> Option<At<i64>> {
    let word = read_only_word(keyword, at, args, report)?;
    let value = word.text.parse().ok().filter(|value| (low..=high).contains(value));
    checked(value, keyword, format_args!("is a number from {low} to {high}"), word, report)
}

/// A weight; ±254, found in old files, is accepted here and limited later.
pub(super) fn read_weight(at: Position, args: &[Word], report: &mut Report) -> Option<At<i64>> {
    match args {
        [word] if matches!(word.text.as_str(), "254" | "-254") => {
            Some(At { value: word.text.parse().ok()?, at: word.at })
        }
        _ => read_integer("weight", at, args, -253, 253, report),
    }
}

pub(super) fn read_seconds(
    keyword: &str,
    at: Position,
    args: &[Word],
    low: Duration,
    high: Duration,
    report: &mut Report,
) -> Option<At<Duration>> {
    let word = read_only_word(keyword, at, args, report)?;
    let value = seconds(&word.text).filter(|value| (low..=high).contains(value));
    let (low, high) = (low.as_secs_f64(), high.as_secs_f64());
    checked(value, keyword, format_args!("is a number of seconds from {low} to {high}"), word, report)
}

pub(super) fn read_address(
    keyword: &str,
    at: Position,
    args: &[Word],
    report: &mut Report,
) -> Option<At<IpAddr>> {
    let word = read_only_word(keyword, at, args, report)?;
    let (address, rest) = host_address(&word.text);
    if address.is_some() && !rest.is_empty() {
        let message =
            format!("`{keyword}` takes one address; `{rest}` behind it is ignored, as with keepalived");
        report.warning(word.at, message);
    }
    checked(address, keyword, format_args!("needs an IP address"), word, report)
}

/// An address, and the prefix or range behind it, which keepalived reads past where it wants the address of a host.
pub(super) fn host_address(text: &str) -> (Option<IpAddr>, &str) {
    let (address, rest) = text.split_at(text.find(['-', '/']).unwrap_or(text.len()));
    (address.parse().ok(), rest)
}

pub(super) fn read_group(
    keyword: &str,
    at: Position,
    args: &[Word],
    report: &mut Report,
) -> Option<At<IpAddr>> {
    let address = read_address(keyword, at, args, report)?;
    if address.value.is_multicast() {
        return Some(address);
    }
    report
        .left_out(address.at, format!("`{keyword}` needs a multicast address, not {}", address.value))
        .elects(true);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_decimals_and_no_floating_point() {
        assert_eq!(seconds("1"), Some(Duration::from_secs(1)));
        assert_eq!(seconds("0.01"), Some(Duration::from_millis(10)));
        assert_eq!(seconds(".5"), Some(Duration::from_millis(500)));
        assert_eq!(seconds("2."), Some(Duration::from_secs(2)));
        assert_eq!(seconds("0.0000010000000"), Some(Duration::from_micros(1)));
        for text in ["", ".", "-1", "+1", "1e3", "1,5", "0.0000000001", "99999999999999999999"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn prefixes_fit_their_family() {
        assert_eq!(address("10.0.0.1/24"), Some(("10.0.0.1".parse().unwrap(), Some(24))));
        assert_eq!(address("fe80::1"), Some(("fe80::1".parse().unwrap(), None)));
        for text in ["10.0.0.1/33", "fe80::1/129", "10.0.0/24", "10.0.0.1/", "x"] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
