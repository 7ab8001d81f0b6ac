//! Keywords for virtual MAC addresses, of `vrrp_instance` and `global_defs`.

use std::time::Duration;

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::source::At;
use super::draft::{GlobalsDraft, InstanceDraft, VmacDraft};
use super::table::{Kind, Row};
use super::value;
use crate::ExtraAnnounce;

pub(super) const INSTANCE: &[Row<InstanceDraft>] = &[
    Row::works(
        "use_vmac",
        Kind::Own("[[name] INTERFACE] [MAC] [netlink_notify_msg] [group NUMBER]", use_vmac),
        "off; PREFIX.VRID, 00:00:5e:00:01:VRID (IPv4), 00:00:5e:00:02:VRID (IPv6)",
        "the virtual MAC address: a macvlan on `interface` carries the addresses and sends the adverts",
    ),
    Row::works(
        "vmac_xmit_base",
        Kind::Flag(|it, at| it.vmacs.transmit_base = Some(at.at)),
        "off; on with unicast",
        "send adverts from `interface` itself, with its MAC address",
    ),
    Row::works(
        "use_vmac_addr",
        Kind::Flag(|it, _| it.vmacs.further = true),
        "off",
        "a macvlan with the virtual MAC address on every other interface with addresses of the instance",
    ),
    Row::works(
        "garp_extra_if",
        Kind::Own(EXTRA, |it: &mut InstanceDraft, keyword, args, report| {
            it.announce.extra_announce = read_extra(keyword, args, report).or(it.announce.extra_announce);
        }),
        "global",
        "announce periodically on interfaces other than that of the adverts: on those with a virtual MAC address, or \
         on all; 0: never",
    )
    .alias(&["vmac_garp_intvl"]),
];

pub(super) const GLOBALS: &[Row<GlobalsDraft>] = &[
    Row::works(
        "vmac_prefix",
        Kind::Text(|globals, text| globals.vmac_prefixes.own = Some(text)),
        "vrrp",
        "interfaces of `use_vmac` are named PREFIX.VRID; if that is taken, PREFIX6.VRID (IPv6), PREFIX1.VRID, …",
    ),
    Row::works(
        "vmac_addr_prefix",
        Kind::Text(|globals, text| globals.vmac_prefixes.further = Some(text)),
        "`vmac_prefix`",
        "the same for `use_vmac_addr` and `use_vmac` after an address",
    ),
    Row::works(
        "disable_local_igmp",
        Kind::Flag(|globals, _| globals.silent_igmp = true),
        "off",
        "no IGMP reports for 224.0.0.0/24 while the daemon runs: sysctl igmp_link_local_mcast_reports",
    ),
    Row::works(
        "vrrp_garp_extra_if",
        Kind::Own(EXTRA, |globals: &mut GlobalsDraft, keyword, args, report| {
            globals.announce.extra_announce =
                read_extra(keyword, args, report).or(globals.announce.extra_announce);
        }),
        "0",
        "default `garp_extra_if`",
    )
    .alias(&["vrrp_vmac_garp_intvl"]),
];

const EXTRA: &str = "[all] seconds, 0 to 86400";
const DAY: Duration = Duration::from_secs(86_400);

fn read_extra(keyword: &Word, args: &[Word], report: &mut Report) -> Option<ExtraAnnounce> {
    let (all, rest) = match args.split_first() {
        Some((first, rest)) if first.text == "all" => (true, rest),
        _ => (false, args),
    };
    let period = value::read_seconds(&keyword.text, keyword.at, rest, Duration::ZERO, DAY, report)?;
    Some(ExtraAnnounce { period: period.value, all })
}

fn use_vmac(it: &mut InstanceDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let mut vmac = VmacDraft { at: keyword.at, ..VmacDraft::default() };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "netlink_notify_msg" => vmac.notify = true,
            "group" => match words.next() {
                Some(group) => vmac.group = read_group(group, report),
                None => drop(report.left_out(word.at, "`group` needs a number")),
            },
            "name" => match words.next() {
                Some(name) => set_name(&mut vmac, name, report),
                None => drop(report.left_out(word.at, "`name` needs an interface name")),
            },
            text if text.contains(':') => match mac(text) {
                Some(value) => vmac.mac = Some(At { value, at: word.at }),
                None => {
                    report
                        .left_out(word.at, format!("`{text}` is not a MAC address"))
                        .help("write six octets, or five, to which the VRID is added: `02:00:00:00:01`");
                }
            },
            _ => set_name(&mut vmac, word, report),
        }
    }
    it.vmacs.own = Some(vmac);
}

fn set_name(vmac: &mut VmacDraft, word: &Word, report: &mut Report) {
    if let Some(name) = &vmac.name {
        report.warning(
            word.at,
            format!("`{}` is ignored: the interface is named `{}` already", word.text, name.value),
        );
        return;
    }
    if let Some(on) = value::boolean(&word.text) {
        let help =
            if on { "write `use_vmac` alone" } else { "remove the line for an instance without macvlan" };
        report
            .warning(
                word.at,
                format!("`{}` is taken for the name of the macvlan, as with keepalived", word.text),
            )
            .help(help);
    }
    vmac.name = Some(word.placed());
}

fn read_group(word: &Word, report: &mut Report) -> u32 {
    if word.text == "default" {
        return 0;
    }
    let args = std::slice::from_ref(word);
    let number = value::read_integer("group", word.at, args, 0, u32::MAX.into(), report);
    number.and_then(|number| u32::try_from(number.value).ok()).unwrap_or(0)
}

/// Five or six octets in hexadecimal.
fn mac(text: &str) -> Option<Vec<u8>> {
    let octet = |part: &str| match part.len() {
        1 | 2 => u8::from_str_radix(part, 16).ok(),
        _ => None,
    };
    let octets: Option<Vec<u8>> = text.split(':').map(octet).collect();
    octets.filter(|octets| matches!(octets.len(), 5 | 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_has_five_or_six_octets() {
        assert_eq!(mac("02:0:a:ff:01"), Some(vec![2, 0, 10, 255, 1]));
        assert_eq!(mac("02:00:00:00:00:01").unwrap().len(), 6);
        for text in
            ["", ":", "02:00:00:00", "02:00:00:00:00:01:02", "02:00:00:00:0g", "fe80::1", "02:100:0:0:0"]
        {
            assert_eq!(mac(text), None, "{text}");
        }
    }
}
