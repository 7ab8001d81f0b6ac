//! A [`Status`] as text, at most 100 columns wide if names are short.

use std::fmt::Write;

use super::overview;
use super::problem::{Problem, printing_hooks};
use super::{DisabledScript, Group, Instance, Mail, Peer, Status, UnknownRouter, Webhook, span, track};
use crate::config::{folded, padded, quoted, width, wrapped_at};
use crate::daemon::wall::shown_of;

/// Columns of a line, if names are short.
const WIDTH: usize = 100;

/// Columns for the last cell of a row, if it is a sentence.
const SENTENCE: usize = 20;

/// The whole status; ends with a line feed.
pub fn table(status: &Status) -> String {
    table_at(status, WIDTH)
}

/// The same for a terminal of this width.
pub fn table_at(status: &Status, width: usize) -> String {
    if width < overview::WIDTH {
        folded(width, &text(status, true, width))
    } else {
        text(status, true, WIDTH)
    }
}

/// All of it but instances and peers, for lines of this width.
pub(super) fn surroundings(status: &Status, width: usize) -> String {
    text(status, false, width)
}

fn text(status: &Status, has_instances: bool, width: usize) -> String {
    let mut out = String::new();
    head(&mut out, status);
    if !status.interfaces.is_empty() {
        out.push('\n');
        let mut rows = vec![["INTERFACE", "PATH", "WHY"].map(str::to_owned)];
        rows.extend(status.interfaces.iter().map(|interface| {
            [
                interface.name.clone(),
                interface.receive_path.clone(),
                interface.why.clone().unwrap_or_default(),
            ]
        }));
        columns(width, &mut out, &rows);
    }
    if has_instances && !status.instances.is_empty() {
        out.push('\n');
        instances(&mut out, &status.instances, width);
    }
    let statics: Vec<_> = status.statics.problems().collect();
    if !statics.is_empty() {
        out.push_str("\nSTATIC SETTINGS\n");
        remarks(&mut out, statics);
    }
    if !status.groups.is_empty() {
        out.push('\n');
        groups(&mut out, &status.groups, width);
    }
    let peers: Vec<_> = status
        .instances
        .iter()
        .flat_map(|instance| instance.peers.iter().map(|peer| peer_row(instance, peer)))
        .collect();
    if has_instances && !peers.is_empty() {
        out.push('\n');
        let head = ["PEER", "OF", "PRIO", "INTERVAL", "ADVERTS", "LAST ADVERT", "JITTER", "MAX GAP"];
        columns(width, &mut out, &[vec![head.map(str::to_owned)], peers].concat());
    }
    let clocks: Vec<_> = status
        .instances
        .iter()
        .flat_map(|instance| instance.peers.iter().filter_map(|peer| clock_row(instance, peer)))
        .collect();
    if !clocks.is_empty() {
        out.push('\n');
        columns(width, &mut out, &[vec![["CLOCK", "OF", "SKEW", ""].map(str::to_owned)], clocks].concat());
    }
    let tracks: Vec<_> = status.instances.iter().flat_map(track::rows).collect();
    if has_instances && !tracks.is_empty() {
        out.push('\n');
        let head = ["TRACK", "OF", "KIND", "RESULT", "EFFECT"];
        columns(width, &mut out, &[vec![head.map(str::to_owned)], tracks].concat());
    }
    let latest = track::latest(status);
    if has_instances && !latest.is_empty() {
        out.push('\n');
        let head = ["LAST", "OF", "CHANGE"];
        columns(width, &mut out, &[vec![head.map(str::to_owned)], latest].concat());
    }
    if !status.unknown_routers.is_empty() {
        out.push('\n');
        unknown_routers(&mut out, &status.unknown_routers, width);
    }
    if !status.checks.is_empty() {
        out.push('\n');
        let mut rows =
            vec![["CHECK", "RESULT", "NOTICED BY", "RUNS", "LAST RUN", "LASTED"].map(str::to_owned)];
        rows.extend(status.checks.iter().map(|check| {
            [
                check.name.clone(),
                result(check.up).to_owned(),
                or_dash(check.noticed_by.clone()),
                check.runs.to_string(),
                or_dash(check.ended.clone()),
                or_dash(check.lasted_seconds.map(span)),
            ]
        }));
        columns(width, &mut out, &rows);
        for check in &status.checks {
            remarks(&mut out, check.problems());
        }
    }
    if !status.disabled_scripts.is_empty() {
        out.push('\n');
        out.push_str("DISABLED SCRIPT\n");
        let disabled: Vec<_> = status.disabled_scripts.iter().map(DisabledScript::problem).collect();
        remarks(&mut out, disabled);
    }
    if let Some(mail) = &status.mail {
        out.push('\n');
        self::mail(&mut out, mail);
    }
    if !status.webhooks.is_empty() {
        out.push('\n');
        webhooks(&mut out, &status.webhooks, width);
    }
    out
}

fn mail(out: &mut String, mail: &Mail) {
    let Mail { server, waiting, sent, failed, lost, latest_failure, .. } = mail;
    let _ = writeln!(out, "mail to {server}  sent {sent}  waiting {waiting}  failed {failed}  lost {lost}");
    if let Some(failure) = latest_failure {
        let _ = writeln!(out, "  given up at {}: {}", shown_of(&failure.at), failure.why);
    }
}

fn webhooks(out: &mut String, webhooks: &[Webhook], width: usize) {
    let head = ["WEBHOOK", "SENT", "WAITING", "FAILED", "SUPERSEDED", "LOST", "LAST STATUS"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(webhooks.iter().map(|it| {
        let counts = [it.sent, it.waiting, it.failed, it.superseded, it.lost].map(|count| count.to_string());
        let [sent, waiting, failed, superseded, lost] = counts;
        let status = or_dash(it.latest_status.map(|status| status.to_string()));
        [it.webhook.clone(), sent, waiting, failed, superseded, lost, status]
    }));
    columns(width, out, &rows);
    for Webhook { webhook, latest_failure, .. } in webhooks {
        if let Some(failure) = latest_failure {
            let _ = writeln!(out, "  {webhook}: not taken at {}: {}", shown_of(&failure.at), failure.why);
        }
    }
}

fn head(out: &mut String, status: &Status) {
    let (node, engine) = (&status.node, &status.engine);
    let uptime = span(node.uptime_seconds);
    let _ = writeln!(out, "{}  vrrpx {}  pid {}  up {uptime}", node.router_id, node.version, node.pid);
    let [realtime, locked] = [node.realtime, node.memory_locked].map(known);
    let _ = writeln!(out, "realtime {realtime}  memory locked {locked}");
    if let Some(note) = &node.realtime_note {
        let _ = writeln!(out, "  {note}");
    }
    let late = &engine.lateness;
    let bound = |bound: Option<u64>| bound.map_or("-".to_owned(), |bound| format!("<{bound}µs"));
    let _ = writeln!(
        out,
        "timer late p50 {} p99 {} max {}µs  suspensions {}",
        bound(late.p50_microseconds),
        bound(late.p99_microseconds),
        late.max_microseconds,
        engine.suspensions,
    );
    if let Some(note) = &status.fence.note {
        let _ =
            writeln!(out, "  a killed daemon's addresses are answered for until they are removed: {note}");
    }
    if status.fence.guard.is_none() {
        let _ = writeln!(out, "  no guard: a killed daemon's addresses stay set");
    }
    let configuration = &status.configuration;
    if let Some(since) = &configuration.stale_since {
        let [since, loaded] = [since, &configuration.loaded].map(|time| shown_of(time));
        let cause = match configuration.stale_cause.as_deref() {
            Some("not_kept") => "reload undone",
            Some("refused_at_start") => "refused at the start,",
            _ => "refused at",
        };
        let _ = writeln!(out, "CONFIGURATION STALE: {cause} {since}; that of {loaded} is in use");
        for finding in &configuration.findings {
            let _ = writeln!(out, "  {finding}");
        }
    }
}

fn instances(out: &mut String, instances: &[Instance], width: usize) {
    let head =
        ["INSTANCE", "INTERFACE", "VRID", "PROTOCOL", "STATE", "PRIO", "SINCE", "LAST CHANGE", "MASTER"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(instances.iter().map(|instance| {
        let priority = instance.priority;
        [
            instance.name.clone(),
            instance.interface.clone(),
            instance.vrid.to_string(),
            format!("v{} {}", instance.version, instance.family),
            instance.state.clone(),
            if priority.effective == priority.configured {
                priority.configured.to_string()
            } else {
                format!("{} ({})", priority.effective, priority.configured)
            },
            or_dash(instance.since_seconds.map(span)),
            instance.reason.clone(),
            match instance.state.as_str() {
                "MASTER" => "this node".to_owned(),
                _ => or_dash(instance.master.clone()),
            },
        ]
    }));
    columns(width, out, &rows);
    for instance in instances {
        remarks(out, instance.problems());
        remarks(out, printing_hooks(&instance.name, &instance.hooks));
    }
}

/// Indented lines, one for each problem.
fn remarks<'a>(out: &mut String, problems: impl IntoIterator<Item = Problem<'a>>) {
    for Problem { about, text } in problems {
        let _ = writeln!(out, "  {about}: {text}");
    }
}

fn unknown_routers(out: &mut String, unknown_routers: &[UnknownRouter], width: usize) {
    let mut rows =
        vec![["UNKNOWN ROUTER", "INTERFACE", "VRID", "KIND", "ADVERTS", "LAST ADVERT"].map(str::to_owned)];
    rows.extend(unknown_routers.iter().map(|unknown_router| {
        [
            unknown_router.source.clone(),
            match unknown_router.vlan {
                0 => unknown_router.interface.clone(),
                vlan => format!("{} vlan {vlan}", unknown_router.interface),
            },
            unknown_router.vrid.to_string(),
            unknown_router.kind.clone(),
            unknown_router.adverts.to_string(),
            span(unknown_router.last_advert_seconds),
        ]
    }));
    columns(width, out, &rows);
}

fn groups(out: &mut String, groups: &[Group], width: usize) {
    let mut rows = vec![["GROUP", "STATE", "SINCE", "LAST CHANGE", "MEMBERS"].map(str::to_owned)];
    rows.extend(groups.iter().map(|group| {
        [
            group.name.clone(),
            group.state.clone(),
            or_dash(group.since_seconds.map(span)),
            group.reason.clone(),
            group.listed_members(),
        ]
    }));
    columns(width, out, &rows);
    for group in groups {
        remarks(out, group.problems());
        remarks(out, printing_hooks(&group.name, &group.hooks));
    }
}

impl Group {
    /// Names of its members in one line.
    pub(in crate::daemon) fn listed_members(&self) -> String {
        self.members.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(" ")
    }
}

fn peer_row(instance: &Instance, peer: &Peer) -> [String; 8] {
    [
        peer.address.clone(),
        instance.name.clone(),
        peer.priority.to_string(),
        or_dash(peer.advert_interval_seconds.map(span)),
        peer.adverts.to_string(),
        span(peer.last_advert_seconds),
        span(peer.jitter_seconds),
        span(peer.gap_max_seconds),
    ]
}

/// Clock of a peer whose adverts are signed, relative to ours.
fn clock_row(instance: &Instance, peer: &Peer) -> Option<[String; 4]> {
    let skew = peer.clock_skew_seconds?;
    let word = if skew < 0.0 { "behind" } else { "ahead" };
    let alarm = if peer.clock_skew_alarm { "more than half of time_window" } else { "" };
    let skew = format!("{} {word}", span(skew.abs()));
    Some([peer.address.clone(), instance.name.clone(), skew, alarm.to_owned()])
}

/// Left-justified columns, two blanks apart, none after the last. The first row is the head. Where the screen is too
/// narrow for them, each row becomes lines of one cell each, behind its head.
pub(in crate::daemon) fn columns<const N: usize>(screen: usize, out: &mut String, rows: &[[String; N]]) {
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(widest).collect();
    let Some((last, others)) = widths.split_last() else { return };
    let indent = others.iter().map(|width| width + 2).sum::<usize>();
    if screen < overview::WIDTH && indent + last.min(&SENTENCE) > screen {
        return stacked(screen, out, rows);
    }
    for row in rows {
        let Some((last, cells)) = row.split_last() else { continue };
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(line, "{}  ", padded(cell, *width));
        }
        // A sentence goes on below its own column.
        let columns = if indent <= screen / 2 { screen } else { usize::MAX };
        wrapped_at(columns, out, &line, last, indent);
    }
}

/// The rows below the head as lines of one cell each.
pub(in crate::daemon) fn stacked<const N: usize>(screen: usize, out: &mut String, rows: &[[String; N]]) {
    let Some((head, rows)) = rows.split_first() else { return };
    for row in rows {
        for (place, (name, cell)) in
            head.iter().zip(row).enumerate().filter(|(_, (_, cell))| !cell.is_empty())
        {
            let before = if place == 0 { "" } else { "  " };
            wrapped_at(screen, out, &format!("{before}{name}  "), cell, 4);
        }
    }
}

fn known(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}

pub(super) fn result(up: Option<bool>) -> &'static str {
    match up {
        Some(true) => "up",
        Some(false) => "down",
        None => "pending",
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut out = String::new();
        columns(WIDTH, &mut out, &[["A", "B"].map(str::to_owned), ["µµµ", ""].map(str::to_owned)]);
        assert_eq!(out, "A    B\nµµµ\n");
    }
}
