//! A [`Status`] as text for people, at most 100 columns wide where names are short.

use std::fmt::Write;
use std::time::Duration;

use super::{
    Check, Deaf, Differing, Group, Held, Hook, Instance, Lacking, Mail, Peer, Rejected, Status, Stranger,
    Webhook,
};

/// Things that an instance lacks which are shown one by one.
const LACKS: usize = 16;

/// The whole status; ends with a line feed.
pub fn table(status: &Status) -> String {
    let mut out = String::new();
    head(&mut out, status);
    if !status.interfaces.is_empty() {
        out.push('\n');
        let mut rows = vec![["INTERFACE", "RUNG", "WHY"].map(str::to_owned)];
        rows.extend(status.interfaces.iter().map(|interface| {
            [interface.name.clone(), interface.rung.clone(), interface.why.clone().unwrap_or_default()]
        }));
        columns(&mut out, &rows);
    }
    if !status.instances.is_empty() {
        out.push('\n');
        instances(&mut out, &status.instances);
    }
    if !status.groups.is_empty() {
        out.push('\n');
        groups(&mut out, &status.groups);
    }
    let peers: Vec<_> = status
        .instances
        .iter()
        .flat_map(|instance| instance.peers.iter().map(|peer| peer_row(instance, peer)))
        .collect();
    if !peers.is_empty() {
        out.push('\n');
        let head = ["PEER", "OF", "PRIO", "INTERVAL", "ADVERTS", "LAST ADVERT", "JITTER", "MAX GAP"];
        columns(&mut out, &[vec![head.map(str::to_owned)], peers].concat());
    }
    let clocks: Vec<_> = status
        .instances
        .iter()
        .flat_map(|instance| instance.peers.iter().filter_map(|peer| clock_row(instance, peer)))
        .collect();
    if !clocks.is_empty() {
        out.push('\n');
        columns(&mut out, &[vec![["CLOCK", "OF", "SKEW", ""].map(str::to_owned)], clocks].concat());
    }
    if !status.strangers.is_empty() {
        out.push('\n');
        strangers(&mut out, &status.strangers);
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
        columns(&mut out, &rows);
        for check in &status.checks {
            remarks(&mut out, check);
        }
    }
    if let Some(mail) = &status.mail {
        out.push('\n');
        self::mail(&mut out, mail);
    }
    if !status.webhooks.is_empty() {
        out.push('\n');
        webhooks(&mut out, &status.webhooks);
    }
    out
}

fn mail(out: &mut String, mail: &Mail) {
    let Mail { server, waiting, sent, failed, lost, latest_failure } = mail;
    let _ = writeln!(out, "mail to {server}  sent {sent}  waiting {waiting}  failed {failed}  lost {lost}");
    if let Some(failure) = latest_failure {
        let _ = writeln!(out, "  given up at {}: {}", failure.at, failure.why);
    }
}

fn webhooks(out: &mut String, webhooks: &[Webhook]) {
    let head = ["WEBHOOK", "SENT", "WAITING", "FAILED", "SUPERSEDED", "LOST", "LAST STATUS"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(webhooks.iter().map(|it| {
        let counts = [it.sent, it.waiting, it.failed, it.superseded, it.lost].map(|count| count.to_string());
        let [sent, waiting, failed, superseded, lost] = counts;
        let status = or_dash(it.latest_status.map(|status| status.to_string()));
        [it.webhook.clone(), sent, waiting, failed, superseded, lost, status]
    }));
    columns(out, &rows);
    for Webhook { webhook, latest_failure, .. } in webhooks {
        if let Some(failure) = latest_failure {
            let _ = writeln!(out, "  {webhook}: not taken at {}: {}", failure.at, failure.why);
        }
    }
}

fn head(out: &mut String, status: &Status) {
    let (node, engine) = (&status.node, &status.engine);
    let uptime = span(node.uptime_seconds);
    let _ = writeln!(out, "{}  vrrpx {}  pid {}  up {uptime}", node.router_id, node.version, node.pid);
    let late = &engine.lateness;
    let bound = |bound: Option<u64>| bound.map_or("-".to_owned(), |bound| format!("<{bound}µs"));
    let _ = writeln!(
        out,
        "realtime {}  memory locked {}  timer late p50 {} p99 {} max {}µs  away {}",
        known(node.realtime),
        known(node.memory_locked),
        bound(late.p50_microseconds),
        bound(late.p99_microseconds),
        late.max_microseconds,
        engine.away,
    );
    if let Some(note) = &node.realtime_note {
        let _ = writeln!(out, "  {note}");
    }
    if let Some(note) = &status.fence.note {
        let _ =
            writeln!(out, "  addresses of a killed daemon are answered for until they are removed: {note}");
    }
    if status.fence.guard.is_none() {
        let _ = writeln!(out, "  no guard: addresses of a killed daemon stay");
    }
    let configuration = &status.configuration;
    if let Some(since) = &configuration.stale_since {
        let loaded = &configuration.loaded;
        let _ = writeln!(out, "CONFIGURATION STALE: refused at {since}; that of {loaded} is in use");
        for finding in &configuration.findings {
            let _ = writeln!(out, "  {finding}");
        }
    }
}

fn instances(out: &mut String, instances: &[Instance]) {
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
    columns(out, &rows);
    for instance in instances {
        notes(out, instance);
    }
}

/// What is not as it should be.
fn notes(out: &mut String, instance: &Instance) {
    for track in instance.tracks.iter().filter(|track| track.up == Some(track.reverse)) {
        let effect = match track.weight {
            0 => "keeps it in FAULT".to_owned(),
            weight => format!("weight {weight}"),
        };
        let way = if track.reverse { "up (reverse)" } else { "down" };
        let _ = writeln!(out, "  {}: {} {} is {way}: {effect}", instance.name, track.kind, track.name);
    }
    for missing in instance.vmacs.iter().filter_map(|vmac| vmac.missing.as_ref()) {
        let _ = writeln!(out, "  {}: {missing}", instance.name);
    }
    for Differing { peer, detail, .. } in &instance.differences {
        let _ = writeln!(out, "  {}: {peer} differs: {detail}", instance.name);
    }
    for Rejected { peer, detail, .. } in &instance.rejected {
        let _ = writeln!(out, "  {}: {peer} is not heard: {detail}", instance.name);
    }
    if let Some(Deaf { detail, .. }) = &instance.deaf {
        let _ = writeln!(out, "  {}: {detail}", instance.name);
    }
    if let Some(culprit) = &instance.removed_by {
        let _ = writeln!(out, "  {}: {culprit} has removed an address, route or rule of it", instance.name);
    }
    for Lacking { object, error } in instance.lacks.iter().take(LACKS) {
        let _ = writeln!(out, "  {}: lacks {object}: {error}; tried each second", instance.name);
    }
    if instance.lacks.len() > LACKS {
        let _ = writeln!(out, "  {}: lacks {} more", instance.name, instance.lacks.len() - LACKS);
    }
    if instance.paths_left_alone {
        let until = "left alone until the next takeover or reload";
        let _ =
            writeln!(out, "  {}: another process keeps removing its routes or rules: {until}", instance.name);
    }
    if instance.state == "MASTER" && instance.lease_seconds.is_none() {
        let fate = if instance.fenced { "nobody is answered" } else { "it answers all the same" };
        let _ = writeln!(out, "  {}: no lease, for its adverts do not leave: {fate}", instance.name);
    }
    failed_hooks(out, &instance.name, &instance.hooks);
    if let Some(why) = &instance.send_error {
        let _ = writeln!(out, "  {}: adverts cannot be sent: {why}", instance.name);
    }
}

/// What holds a check, and what one that is down printed last.
fn remarks(out: &mut String, check: &Check) {
    if let Some(Held { reason, seconds }) = &check.held {
        let left = span(*seconds);
        let _ = match reason.as_str() {
            "flapping" => writeln!(out, "  {}: held down, as it flaps; {left} of quiet to go", check.name),
            _ => writeln!(out, "  {}: held down by {reason}; {left} to go", check.name),
        };
    }
    if let Some(why) = &check.skipped {
        let _ = writeln!(out, "  {}: cannot look at it ({why}); its last result counts", check.name);
    }
    let last = check.output.as_deref().and_then(|output| output.lines().last());
    if let (Some(false), Some(last)) = (check.up, last) {
        let _ = writeln!(out, "  {}: printed: {last}", check.name);
    }
}

fn strangers(out: &mut String, strangers: &[Stranger]) {
    let mut rows =
        vec![["STRANGER", "INTERFACE", "VRID", "KIND", "ADVERTS", "LAST ADVERT"].map(str::to_owned)];
    rows.extend(strangers.iter().map(|stranger| {
        [
            stranger.source.clone(),
            match stranger.vlan {
                0 => stranger.interface.clone(),
                vlan => format!("{} vlan {vlan}", stranger.interface),
            },
            stranger.vrid.to_string(),
            stranger.kind.clone(),
            stranger.adverts.to_string(),
            span(stranger.last_advert_seconds),
        ]
    }));
    columns(out, &rows);
}

fn failed_hooks(out: &mut String, name: &str, hooks: &[Hook]) {
    for hook in hooks.iter().filter(|hook| !hook.success) {
        let _ = writeln!(out, "  {name}: {} for {} ended with: {}", hook.keyword, hook.state, hook.ended);
    }
}

fn groups(out: &mut String, groups: &[Group]) {
    let mut rows = vec![["GROUP", "STATE", "SINCE", "LAST CHANGE", "MEMBERS"].map(str::to_owned)];
    rows.extend(groups.iter().map(|group| {
        [
            group.name.clone(),
            group.state.clone(),
            or_dash(group.since_seconds.map(span)),
            group.reason.clone(),
            group.members.join(" "),
        ]
    }));
    columns(out, &rows);
    for group in groups {
        failed_hooks(out, &group.name, &group.hooks);
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

/// The clock of a peer whose adverts are signed, against ours.
fn clock_row(instance: &Instance, peer: &Peer) -> Option<[String; 4]> {
    let skew = peer.clock_skew_seconds?;
    let word = if skew < 0.0 { "behind" } else { "ahead" };
    let alarm = if peer.clock_skew_alarm { "more than half of time_window" } else { "" };
    let skew = format!("{} {word}", span(skew.abs()));
    Some([peer.address.clone(), instance.name.clone(), skew, alarm.to_owned()])
}

/// Left-justified columns, two blanks apart, none after the last.
fn columns<const N: usize>(out: &mut String, rows: &[[String; N]]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn known(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}

fn result(up: Option<bool>) -> &'static str {
    match up {
        Some(true) => "up",
        Some(false) => "down",
        None => "pending",
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// A span in the two units that matter most: `3d 4h`, `2m 5s`, `1.500s`, `12.345ms`, `20µs`.
fn span(seconds: f64) -> String {
    let span = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let whole = span.as_secs();
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match whole {
        86_400.. => format!("{days}d {hours}h"),
        3600.. => format!("{hours}h {minutes}m"),
        60.. => format!("{minutes}m {}s", whole % 60),
        1.. => format!("{whole}.{:03}s", span.subsec_millis()),
        0 if span.as_micros() >= 1000 => {
            format!("{}.{:03}ms", span.as_millis(), span.as_micros() % 1000)
        }
        0 => format!("{}µs", span.as_micros()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let spans = [0.0, 0.000_02, 0.012_345, 1.5, 125.0, 3720.0, 273_600.0].map(span);
        assert_eq!(spans, ["0µs", "20µs", "12.345ms", "1.500s", "2m 5s", "1h 2m", "3d 4h"]);
        assert_eq!(span(-1.0), "0µs");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut out = String::new();
        columns(&mut out, &[["A", "B"].map(str::to_owned), ["µµµ", ""].map(str::to_owned)]);
        assert_eq!(out, "A    B\nµµµ\n");
    }
}
