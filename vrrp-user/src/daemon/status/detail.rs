//! All that is known of one instance or sync group: `vrrpx status NAME` below its overview.

use std::fmt::Write;

use super::table::surroundings;
use super::{Address, Hook, Instance, Peer, Status, rough, span};
use crate::config::{folded, padded, width, wrapped_at};
use crate::daemon::wall::shown_of;

/// Longest head of a line that its text stands beside, on a terminal that is three times as wide or more: a time.
const HEAD_MAX: usize = 26;

/// Transitions that are shown.
const LAST: usize = 5;

/// For a terminal of this width; ends with a line feed.
pub fn detailed(status: &Status, columns: usize) -> String {
    let mut out = String::new();
    for instance in &status.instances {
        self::instance(&mut out, instance, columns);
    }
    for group in status.groups.iter().filter(|group| !group.hooks.is_empty()) {
        hooks(&mut out, &format!("HOOK of {}", group.name), &group.hooks, columns);
    }
    folded(columns, &(out + &surroundings(status, columns)))
}

fn instance(out: &mut String, instance: &Instance, columns: usize) {
    let Instance { name, interface, vrid, version, family, .. } = instance;
    let interval = span(instance.advert_interval_seconds);
    let mut text = format!("VRID {vrid}, v{version} {family} on {interface}, an advert each {interval}");
    if let Some(since) = &instance.since {
        let since = shown_of(since);
        let _ = write!(
            text,
            "; {} since {since} ({}), epoch {}",
            instance.state, instance.reason, instance.epoch
        );
    }
    if let Some(lease) = instance.lease_seconds {
        let _ = write!(text, "; lease for {}", span(lease));
    }
    wrapped_at(columns, out, &format!("{name}  "), &text, 2);
    if !instance.addresses.is_empty() {
        let lines = instance.addresses.iter().map(|it| (it.address.as_str(), address(it)));
        section(out, "ADDRESS", lines.collect(), columns);
    }
    if !instance.peers.is_empty() {
        let lines = instance.peers.iter().map(|it| (it.address.as_str(), peer(instance, it)));
        section(out, "PEER", lines.collect(), columns);
    }
    if !instance.tracks.is_empty() {
        let lines = instance.tracks.iter().map(|it| (it.name.as_str(), it.text()));
        section(out, "TRACK", lines.collect(), columns);
    }
    hooks(out, "HOOK", &instance.hooks, columns);
    if !instance.history.is_empty() {
        let latest: Vec<_> = instance.history.iter().rev().take(LAST).collect();
        let times: Vec<String> = latest.iter().map(|it| shown_of(&it.at)).collect();
        let lines = times.iter().zip(&latest).map(|(time, it)| (time.as_str(), it.text()));
        section(out, "LAST", lines.collect(), columns);
    }
    out.push('\n');
}

fn hooks(out: &mut String, title: &str, hooks: &[Hook], columns: usize) {
    if !hooks.is_empty() {
        section(out, title, hooks.iter().map(|it| (it.keyword.as_str(), hook(it))).collect(), columns);
    }
}

/// A title, and below it each text beside its head.
fn section(out: &mut String, title: &str, lines: Vec<(&str, String)>, columns: usize) {
    let longest = lines.iter().map(|(head, _)| width(head)).max().unwrap_or_default();
    let longest = longest.min(HEAD_MAX).min(columns / 3);
    let _ = writeln!(out, "{title}");
    for (head, text) in lines {
        wrapped_at(columns, out, &format!("  {}  ", padded(head, longest)), &text, longest + 4);
    }
}

fn address(address: &Address) -> String {
    let set = match (&address.interface, address.set) {
        (Some(interface), _) => format!("set on {interface}"),
        (None, Some(_)) => "not set here".to_owned(),
        (None, None) => "not known whether it is set".to_owned(),
    };
    let announced = match (address.announcements, address.announced_seconds) {
        (1, Some(ago)) => format!("announced once, {} ago", rough(ago)),
        (count, Some(ago)) => format!("announced {count} times, the latest {} ago", rough(ago)),
        (_, None) => "not announced since this daemon started".to_owned(),
    };
    let why = address.answered_why.as_deref().unwrap_or_default();
    let answered = match address.answered {
        // Computed, not probed.
        Some(true) => "a request would be answered".to_owned(),
        // It goes without saying.
        Some(false) if address.set == Some(false) => "not answered".to_owned(),
        Some(false) => format!("not answered: {why}"),
        None => format!("not known whether a request would be answered: {why}"),
    };
    format!("{set}; {announced}; {answered}")
}

fn peer(instance: &Instance, peer: &Peer) -> String {
    let mut text = format!(
        "priority {}, last advert {} ago, {} adverts",
        peer.priority,
        rough(peer.last_advert_seconds),
        peer.adverts
    );
    let Some(mean) = peer.gap_mean_seconds else { return text + "; no gap was measured" };
    let longest = peer.gap_max_seconds;
    let _ = write!(text, "; gaps: mean {}, longest {}", span(mean), span(longest));
    if let Some(allowed) = instance.allowed_seconds() {
        let _ = write!(text, " of {} allowed", span(allowed));
    }
    let _ = write!(text, ", jitter {}; near misses: {}", span(peer.jitter_seconds), peer.near_misses);
    text
}

fn hook(hook: &Hook) -> String {
    let Hook { state, ended, .. } = hook;
    let (started, lasted) = (shown_of(&hook.started), span(hook.lasted_seconds));
    let mut text = format!("for {state} at {started}: {ended} after {lasted}");
    if let Some(output) = &hook.output {
        let _ = write!(text, "; it printed: {}", output.lines().collect::<Vec<_>>().join("; "));
    }
    text
}
