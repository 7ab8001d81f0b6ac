//! Effective values by keyword, with their origins.

use std::borrow::Cow;
use std::time::Duration;

use vrrp_ebpf::wire::{ChecksumForm, Family};

use super::super::outline::{Location, Text, Written};
use super::super::{
    Config, Globals, Group, Instance, MailSettings, NotifyCommand, NotifySettings, ScriptCommand, ScriptUser,
    WebhookSettings,
};
use super::{Finding, FindingSeverity, Origin, Value};
use crate::InstanceSettings;
use vrrp_proto::auth::AntiReplay;
use vrrp_proto::{Auth, Order, Version};

/// A value of one block.
struct ValueRow<T> {
    /// The keyword shown, then its other spellings.
    keywords: &'static [&'static str],
    /// Keywords of `global_defs` that give its default; the first one written counts.
    globals: &'static [&'static str],
    /// `None` if it does not apply.
    show: fn(&T) -> Option<String>,
}

const fn row<T>(
    keywords: &'static [&'static str],
    globals: &'static [&'static str],
    show: fn(&T) -> Option<String>,
) -> ValueRow<T> {
    ValueRow { keywords, globals, show }
}

const GLOBALS: &[ValueRow<Globals>] = &[
    row(&["router_id"], &[], |it| Some(it.router_id.as_deref().unwrap_or("the host's name").to_owned())),
    row(&["script_user"], &[], |it| Some(it.script_user.as_ref().map_or_else(default_user, user))),
    row(&["enable_script_security"], &[], |it| Some(switch(it.script_security))),
    row(&["vrrp_startup_delay"], &[], |it| Some(span(it.startup_delay))),
    row(&["vrrp_delay_after_boot"], &[], |it| Some(span(it.delay_after_boot))),
    row(&["smtp_server"], &[], |it| Some(it.mail.as_ref()?.server.to_string())),
    row(&["smtp_connect_timeout"], &[], |it| Some(span(it.mail.as_ref()?.patience))),
    row(&["notification_email"], &[], |it| Some(receivers(it.mail.as_ref()?))),
    row(&["notification_email_from"], &[], |it| {
        let from = it.mail.as_ref()?.from.as_ref();
        Some(from.map_or_else(|| "user of the daemon at the host's name".to_owned(), ToString::to_string))
    }),
    row(&["smtp_helo_name"], &[], |it| {
        Some(it.mail.as_ref()?.helo.as_deref().unwrap_or("the host's name").to_owned())
    }),
    row(&["no_email_faults"], &[], |it| Some(switch(!it.mail.as_ref()?.faults))),
    row(&["smtp_alert_peer_rejected"], &[], |it| Some(switch(it.mail.as_ref()?.rejections))),
];

const INSTANCE: &[ValueRow<Instance>] = &[
    row(&["state"], &[], |it| Some(if it.settings.initial_master { "MASTER" } else { "BACKUP" }.to_owned())),
    row(&["interface"], &[], |it| {
        let name = Some(&it.settings.interface).filter(|name| !name.is_empty());
        Some(name.map_or_else(|| "the one with the source address".to_owned(), ToString::to_string))
    }),
    row(&["virtual_router_id"], &[], |it| Some(it.settings.vrid.to_string())),
    row(&["version"], &["vrrp_version"], |it| Some(version(&it.settings).to_owned())),
    row(&["priority"], &[], |it| Some(it.settings.priority.to_string())),
    row(&["advert_int"], &[], |it| Some(span(it.settings.advert_interval.duration()))),
    row(&["down_timer_adverts"], &["vrrp_down_timer_adverts"], |it| {
        Some(it.settings.down_timer_adverts.to_string())
    }),
    row(&["preempt", "nopreempt"], &[], |it| Some(switch(it.settings.preempt))),
    row(&["preempt_delay"], &[], |it| Some(span(it.settings.preempt_delay))),
    row(&["authentication"], &[], |it| {
        Some(match &it.settings.auth {
            Auth::None => "none".to_owned(),
            Auth::Pass(password) => {
                let bytes = password.iter().filter(|byte| **byte != 0).count();
                format!("PASS, {bytes} of 8 bytes")
            }
            Auth::Ah(password) => {
                let bytes = password.iter().filter(|byte| **byte != 0).count();
                format!("AH, {bytes} of 8 bytes")
            }
            Auth::Hmac(_) => "none (`auth_hmac` is used)".to_owned(),
        })
    }),
    row(&["auth_hmac"], &[], |it| {
        let Auth::Hmac(hmac) = &it.settings.auth else { return Some("none".to_owned()) };
        let ids: Vec<String> = hmac.keys.iter().map(|key| key.id().to_string()).collect();
        let window = match hmac.anti_replay {
            AntiReplay::Time => format!("time within {}", span(hmac.window)),
            AntiReplay::Monotonic => "monotonic".to_owned(),
        };
        Some(format!("{}, keys {}, signs with {}, {window}", hmac.mode.as_str(), ids.join(" "), hmac.active))
    }),
    row(&["unicast_src_ip", "mcast_src_ip"], &[], |it| {
        let standard = match it.settings.family {
            Family::V4 => "first IPv4 of the interface",
            Family::V6 => "its link-local address",
        };
        Some(it.settings.source.map_or_else(|| standard.to_owned(), |source| source.to_string()))
    }),
    row(&["unicast_peer"], &[], |it| {
        let peers = it.settings.unicast.as_ref()?.peers.iter();
        let peers = peers.map(|peer| match (peer.min_ttl, peer.max_ttl) {
            (0, u8::MAX) => peer.address.to_string(),
            (min, max) => format!("{} (TTL {min} to {max})", peer.address),
        });
        Some(peers.collect::<Vec<_>>().join(", "))
    }),
    row(&["check_unicast_src"], &["vrrp_check_unicast_src"], |it| {
        Some(switch(it.settings.unicast.as_ref()?.checks_source))
    }),
    row(&["unicast_ttl"], &[], |it| Some(it.settings.unicast.as_ref()?.ttl.to_string())),
    row(&["mcast_dst_ip"], &["vrrp_mcast_group4"], |it| {
        multicast(it, Family::V4).then(|| it.settings.group().to_string())
    }),
    row(&["mcast_dst_ip"], &["vrrp_mcast_group6"], |it| {
        multicast(it, Family::V6).then(|| it.settings.group().to_string())
    }),
    row(&["v3_checksum_as_v2"], &["v3_checksum_as_v2"], |it| {
        let settings = &it.settings;
        let has_choice = settings.version == Version::V3 && settings.family == Family::V4;
        (has_choice && !settings.answers_checksum).then(|| switch(settings.checksum == ChecksumForm::Plain))
    }),
    row(&["lower_prio_no_advert"], &["vrrp_lower_prio_no_advert"], |it| {
        Some(switch(it.settings.lower_prio_no_advert))
    }),
    row(&["higher_prio_send_advert"], &["vrrp_higher_prio_send_advert"], |it| {
        Some(switch(it.settings.yields_with_advert()))
    }),
    row(&["handover"], &["vrrp_handover"], |it| {
        Some(if it.settings.handover == Order::Strict { "strict" } else { "overlap" }.to_owned())
    }),
    row(&["owner_ignore_adverts"], &["vrrp_owner_ignore_adverts", "vrrp_strict"], |it| {
        it.settings.priority.is_owner().then(|| switch(it.settings.owner_ignores))
    }),
    row(&["accept", "no_accept"], &["vrrp_strict"], |it| Some(switch(it.settings.accept))),
    row(&["dont_track_primary"], &[], |it| Some(switch(it.settings.ignore_own_link))),
    row(&["garp_master_delay"], &["vrrp_garp_master_delay", "vrrp_min_garp"], |it| {
        Some(span(it.settings.announce.delay))
    }),
    row(&["garp_master_repeat"], &["vrrp_garp_master_repeat", "vrrp_min_garp"], |it| {
        Some(it.settings.announce.repeat.to_string())
    }),
    row(&["garp_master_refresh"], &["vrrp_garp_master_refresh"], |it| {
        Some(span(it.settings.announce.refresh))
    }),
    row(&["garp_master_refresh_repeat"], &["vrrp_garp_master_refresh_repeat"], |it| {
        Some(it.settings.announce.refresh_repeat.to_string())
    }),
    row(
        &["garp_lower_prio_delay"],
        &["vrrp_garp_lower_prio_delay", "vrrp_garp_master_delay", "vrrp_min_garp"],
        |it| Some(span(it.settings.announce.lower_prio_delay)),
    ),
    row(
        &["garp_lower_prio_repeat"],
        &["vrrp_garp_lower_prio_repeat", "vrrp_garp_master_repeat", "vrrp_min_garp"],
        |it| Some(it.settings.announce.lower_prio_repeat.to_string()),
    ),
    row(&["garp_interval"], &["vrrp_garp_interval"], |it| Some(span(it.settings.announce_pauses.garp))),
    row(&["gna_interval"], &["vrrp_gna_interval"], |it| Some(span(it.settings.announce_pauses.gna))),
];

/// Rows of both instances and sync groups.
const NOTIFY: &[ValueRow<NotifySettings>] = &[
    row(&["notify_master"], &[], |it| it.master.as_ref().map(command)),
    row(&["notify_backup"], &[], |it| it.backup.as_ref().map(command)),
    row(&["notify_fault"], &[], |it| it.fault.as_ref().map(command)),
    row(&["notify_stop"], &[], |it| it.stop.as_ref().map(command)),
    row(&["notify"], &[], |it| it.any.as_ref().map(command)),
    row(&["notify_webhook"], &["notify_webhook"], |it| {
        let shown: Vec<String> = it.webhooks.iter().map(webhook).collect();
        (!shown.is_empty()).then(|| shown.join("; "))
    }),
    row(&["smtp_alert"], &["smtp_alert_vrrp", "smtp_alert"], |it| Some(switch(it.mail))),
];

/// Blocks of an instance whose lines are shown one by one elsewhere.
const SHOWN_ELSEWHERE: &[&str] =
    &["virtual_ipaddress", "virtual_ipaddress_excluded", "virtual_routes", "virtual_rules"];

/// Global settings, and every other keyword written in `global_defs`. Defaults of instances are shown with the
/// instances.
pub(super) fn globals(outline: &[Written], config: &Config, findings: &[Finding]) -> Vec<Value> {
    let block: Vec<&Written> = global_lines(outline).collect();
    let mut values = rows(GLOBALS, &config.globals, &block, &[], findings);
    let of_instances = |line: &Written| {
        let mut keywords = INSTANCE.iter().map(|row| row.globals).chain(NOTIFY.iter().map(|row| row.globals));
        keywords.any(|globals| globals.contains(&&*line.keyword.text))
    };
    let further =
        |line: &&&Written| !known(GLOBALS, line) && !of_instances(line) && !is_left_out(line, findings);
    values.extend(block.iter().filter(further).map(|line| as_written(line, findings)));
    values
}

/// Every setting of an instance, and every other keyword written in its block.
pub(super) fn instance(
    instance: &Instance,
    block: &Written,
    outline: &[Written],
    findings: &[Finding],
) -> Vec<Value> {
    let lines: Vec<&Written> = block.inner().iter().collect();
    let globals: Vec<&Written> = global_lines(outline).collect();
    let mut values = rows(INSTANCE, instance, &lines, &globals, findings);
    values.extend(rows(NOTIFY, &instance.notify, &lines, &globals, findings));
    if let Some(priority) = values.iter_mut().find(|value| value.keyword == "priority")
        && instance.settings.priority.is_owner()
        && priority.from == Origin::Default
    {
        priority.from = Origin::Follows("state");
    }
    if let Some(version) = values.iter_mut().find(|value| value.keyword == "version")
        && instance.settings.family == Family::V6
        && !matches!(version.from, Origin::Written(_))
    {
        version.from = Origin::Follows("virtual_ipaddress");
    }
    let extra_announce = |line: &Written| {
        SHOWN_ELSEWHERE.contains(&&*line.keyword.text) || line.keyword.text.starts_with("track_")
    };
    let further = |line: &&&Written| {
        !known(INSTANCE, line)
            && !known(NOTIFY, line)
            && !extra_announce(line)
            && !is_left_out(line, findings)
    };
    values.extend(lines.iter().filter(further).map(|line| as_written(line, findings)));
    values
}

/// The members of a sync group, its notifications, and every other keyword written in its block.
pub(super) fn group(
    group: &Group,
    config: &Config,
    block: &Written,
    outline: &[Written],
    findings: &[Finding],
) -> Vec<Value> {
    let lines: Vec<&Written> = block.inner().iter().collect();
    let globals: Vec<&Written> = global_lines(outline).collect();
    let members = group.settings.members.iter().filter_map(|id| config.instance(*id));
    let members: Vec<String> = members.map(|member| crate::words::quoted(&member.settings.name)).collect();
    let line = lines.iter().find(|line| line.is("group"));
    let mut values: Vec<Value> = Vec::new();
    values.extend(line.map(|line| Value {
        keyword: "group".to_owned(),
        value: members.join(" "),
        from: Origin::Written(line.keyword.place.clone()),
        noted: is_noted(line, findings),
    }));
    values.extend(rows(NOTIFY, &group.notify, &lines, &globals, findings));
    let extra_announce = |line: &Written| line.is("group") || line.keyword.text.starts_with("track_");
    let further =
        |line: &&&Written| !known(NOTIFY, line) && !extra_announce(line) && !is_left_out(line, findings);
    values.extend(lines.iter().filter(further).map(|line| as_written(line, findings)));
    values
}

fn rows<T>(
    rows: &[ValueRow<T>],
    it: &T,
    lines: &[&Written],
    globals: &[&Written],
    findings: &[Finding],
) -> Vec<Value> {
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        let (Some(value), Some(keyword)) = ((row.show)(it), row.keywords.first()) else { continue };
        let counts = |line: &&Written| !is_left_out(line, findings);
        let effective: Vec<&Written> = lines.iter().copied().filter(counts).collect();
        let own = last(&effective, row.keywords);
        let global =
            row.globals.iter().find_map(|keyword| last(globals, &[keyword])).filter(|line| !is_off(line));
        let from = match (own, global) {
            (Some(line), _) => Origin::Written(line.place().clone()),
            (None, Some(line)) => Origin::Globals(line.place().clone()),
            (None, None) => Origin::Default,
        };
        let noted = last(lines, row.keywords).is_some_and(|line| is_noted(line, findings));
        values.push(Value { keyword: (*keyword).to_owned(), value, from, noted });
    }
    values
}

/// The line of a keyword; if it is written twice, the last one counts.
fn last<'a>(lines: &[&'a Written], keywords: &[&str]) -> Option<&'a Written> {
    lines.iter().rev().find(|line| keywords.contains(&&*line.keyword.text)).copied()
}

fn known<T>(rows: &[ValueRow<T>], line: &Written) -> bool {
    rows.iter().any(|row| row.keywords.contains(&&*line.keyword.text))
}

fn global_lines(outline: &[Written]) -> impl Iterator<Item = &Written> {
    outline.iter().filter(|block| block.is("global_defs")).flat_map(Written::inner)
}

/// A keyword without a row. Its block is not shown, as it may hold secrets.
fn as_written(line: &Written, findings: &[Finding]) -> Value {
    let mut value = words(&line.args);
    if line.block.is_some() {
        value.push_str(if value.is_empty() { "{ … }" } else { " { … }" });
    }
    Value {
        keyword: line.keyword.text.to_string(),
        value,
        from: Origin::Written(line.place().clone()),
        noted: is_noted(line, findings),
    }
}

/// The words of a line, with quotes around those with blanks.
pub(super) fn words<'a>(words: impl IntoIterator<Item = &'a Text>) -> String {
    words.into_iter().map(|word| quoted_word(&word.text)).collect::<Vec<_>>().join(" ")
}

fn quoted_word(word: &str) -> Cow<'_, str> {
    match word.is_empty() || word.contains(char::is_whitespace) {
        true if word.contains('"') => format!("'{word}'").into(),
        true => format!("\"{word}\"").into(),
        false => word.into(),
    }
}

pub(super) fn is_noted(line: &Written, findings: &[Finding]) -> bool {
    findings.iter().filter_map(|finding| finding.place.as_ref()).any(|place| line.holds(place))
}

/// Whether the words of a line are left out; a line is not if another value counts in place of a wrong one.
pub(super) fn is_left_out(line: &Written, findings: &[Finding]) -> bool {
    let is_of =
        |place: &Location| std::iter::once(&line.keyword).chain(&line.args).any(|word| word.place == *place);
    findings.iter().any(|it| {
        it.severity == FindingSeverity::LeftOut
            && it.place.as_ref().is_some_and(is_of)
            && !it.help.as_ref().is_some_and(|help| help.contains("counts instead"))
    })
}

fn is_off(line: &Written) -> bool {
    line.first().is_some_and(|word| ["off", "no", "false"].iter().any(|off| word.eq_ignore_ascii_case(off)))
        && ["vrrp_min_garp", "vrrp_strict"].iter().any(|keyword| line.is(keyword))
}

fn multicast(instance: &Instance, family: Family) -> bool {
    instance.settings.unicast.is_none() && instance.settings.family == family
}

fn version(settings: &InstanceSettings) -> &'static str {
    match settings.version {
        Version::V2 => "2",
        Version::V3 => "3",
    }
}

fn switch(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

fn default_user() -> String {
    "keepalived_script if it exists".to_owned()
}

fn user(user: &ScriptUser) -> String {
    match &user.group {
        Some(group) => format!("{} {group}", user.name),
        None => user.name.to_string(),
    }
}

fn receivers(mail: &MailSettings) -> String {
    mail.to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn command(hook: &NotifyCommand) -> String {
    let line = command_line(&hook.command);
    hook.user.as_ref().map_or_else(|| line.clone(), |by| format!("{line} (as {})", user(by)))
}

/// A webhook without the parts that may be secret.
fn webhook(it: &WebhookSettings) -> String {
    let mut shown = format!("{} ({}, {} retries, {}", it.url, it.template, it.retries, span(it.patience));
    if !it.headers.is_empty() {
        shown.push_str(&format!(", headers: {}", it.headers.len()));
    }
    shown.push_str(if it.rejections { ", refused peers too" } else { "" });
    shown.push_str(if it.verify_tls { ")" } else { ", any certificate)" });
    shown
}

pub(super) fn command_line(command: &ScriptCommand) -> String {
    match command {
        ScriptCommand::Direct(words) => {
            words.iter().map(|word| quoted_word(word)).collect::<Vec<_>>().join(" ")
        }
        ScriptCommand::Shell(line) => format!("/bin/sh -c '{line}'"),
    }
}

/// Exact to the microsecond, without trailing zeros.
pub(super) fn span(span: Duration) -> String {
    let trimmed = |whole: u64, part: u32, digits: usize| {
        let fraction = format!("{part:0digits$}");
        match fraction.trim_end_matches('0') {
            "" => whole.to_string(),
            fraction => format!("{whole}.{fraction}"),
        }
    };
    if span < Duration::from_secs(1) && !span.is_zero() {
        format!("{} ms", trimmed(u64::from(span.subsec_millis()), span.subsec_micros() % 1000, 3))
    } else {
        format!("{} s", trimmed(span.as_secs(), span.subsec_micros(), 6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_exact_and_short() {
        for (nanos, shown) in [
            (0, "0 s"),
            (1_000_000_000, "1 s"),
            (609_375_000, "609.375 ms"),
            (3_609_375_000, "3.609375 s"),
            (10_000_000, "10 ms"),
            (6_093_750, "6.093 ms"),
        ] {
            assert_eq!(span(Duration::from_nanos(nanos)), shown);
        }
    }
}
