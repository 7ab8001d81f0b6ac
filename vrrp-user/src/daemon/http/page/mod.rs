//! The page at `/`: status for people, as HTML that needs no script.
//!
//! Enters: the status of this moment, and the events that are kept. Leaves: one document without further files; its
//! script only fetches it again. Every text is escaped, as some of it comes from the wire and from the output of
//! checks.

mod day;
mod details;
mod html;

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

use crate::daemon::events::{Event, KEPT};
use crate::daemon::status::{Address, Check, DaemonContext, Instance, Status, rough};
use html::{Escaped, since, time};

const FRAME: &str = include_str!("page.html");

/// What may be loaded and run: only what the document contains, and the document itself.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

const PATHS: [(&str, &str); 7] = [
    ("/metrics", "metrics for Prometheus"),
    ("/metrics/keepalived", "metrics by the names of the exporter for keepalived"),
    ("/api/v1/status", "status as JSON; that of one instance or sync group with /NAME behind it"),
    ("/api/v1/schema.json", "JSON Schema of the status"),
    ("/api/v1/events", "events as they come (server-sent events)"),
    ("/-/healthy", "200 while the engine responds"),
    ("/-/ready", "200 once every instance has left INIT"),
];

/// Beyond so many instances their states are counted above them.
const FEW: usize = 30;

/// Problems that are shown before the instances; the rest opens with a click.
const PROBLEMS: usize = 20;

pub(super) fn document(context: &DaemonContext) -> String {
    rendered(&context.status(), &context.history.events.after(None, KEPT).events, SystemTime::now())
}

fn rendered(status: &Status, events: &[Arc<Event>], now: SystemTime) -> String {
    let mut main = String::new();
    // Writing to a string cannot fail.
    let _ = body(&mut main, status, events, now);
    let paths = PATHS.map(|(path, what)| format!("<p><a href=\"{path}\">{path}</a>{what}</p>\n"));
    // The contents last, so that nothing in them is taken for a place.
    let title = Escaped(&status.node.router_id).to_string();
    let (before, after) = FRAME.split_once("{main}").unwrap_or((FRAME, ""));
    let before = before.replacen("{title}", &title, 1);
    let after = after.replacen("{paths}", &paths.concat(), 1);
    format!("{before}{main}{after}")
}

fn body(out: &mut String, status: &Status, events: &[Arc<Event>], now: SystemTime) -> fmt::Result {
    let node = &status.node;
    writeln!(out, "<h1>{}</h1>", Escaped(&node.router_id))?;
    let problems = status.problem_lines();
    writeln!(
        out,
        "<p id=\"standing\" class=\"soft\">vrrpx {}, up {}, configuration of {}, {}</p>",
        Escaped(&node.version),
        rough(node.uptime_seconds),
        time(&status.configuration.loaded),
        match problems.len() {
            0 => "no problem".to_owned(),
            1 => "1 problem".to_owned(),
            count => format!("{count} problems"),
        }
    )?;
    let (first, rest) = problems.split_at(problems.len().min(PROBLEMS));
    first.iter().try_for_each(|(about, text)| problem(out, about, text))?;
    if !rest.is_empty() {
        writeln!(out, "<details id=\"problems-rest\"><summary>{} more problems</summary>", rest.len())?;
        rest.iter().try_for_each(|(about, text)| problem(out, about, text))?;
        writeln!(out, "</details>")?;
    }
    if status.instances.len() > FEW {
        counts(out, &status.instances)?;
    }
    table(out, "Instances", &["instance", "state", "since", "why", "addresses", "priority"], |out| {
        status.instances.iter().try_for_each(|it| row(out, it))
    })?;
    day::chart(out, status, events, now)?;
    if !status.groups.is_empty() {
        table(out, "Sync groups", &["group", "state", "since", "members"], |out| {
            status.groups.iter().try_for_each(|it| {
                let state = format!("<span class=\"{0}\">{0}</span>", Escaped(&it.state));
                let members = Escaped(&it.listed_members()).to_string();
                let cells = [Escaped(&it.name).to_string(), state, since(it.since.as_deref()), members];
                cells_of(out, &["", "", "since", "members"], &cells)
            })
        })?;
    }
    if !status.checks.is_empty() {
        table(out, "Checks", &["check", "result", "latest run"], |out| {
            status.checks.iter().try_for_each(|it| check(out, it))
        })?;
    }
    writeln!(out, "<h2>Details</h2>")?;
    status.instances.iter().try_for_each(|it| details::details(out, it))
}

fn problem(out: &mut String, about: &str, text: &str) -> fmt::Result {
    writeln!(out, "<p class=\"problem\"><b>{}</b> {}</p>", Escaped(about), Escaped(text))
}

fn counts(out: &mut String, instances: &[Instance]) -> fmt::Result {
    let count = |state: &str| {
        let count = instances.iter().filter(|instance| instance.state == state).count();
        (count > 0).then(|| format!("{count} <span class=\"{state}\">{state}</span>"))
    };
    let by_state: Vec<_> = ["MASTER", "BACKUP", "FAULT", "INIT"].into_iter().filter_map(count).collect();
    writeln!(out, "<p>{} instances: {}</p>", instances.len(), by_state.join(", "))
}

fn table(
    out: &mut String,
    title: &str,
    heads: &[&str],
    rows: impl FnOnce(&mut String) -> fmt::Result,
) -> fmt::Result {
    writeln!(out, "<h2>{title}</h2>\n<table>\n<thead><tr>")?;
    heads.iter().try_for_each(|head| writeln!(out, "<th>{head}</th>"))?;
    writeln!(out, "</tr></thead>\n<tbody>")?;
    rows(out)?;
    writeln!(out, "</tbody>\n</table>")
}

/// A row; a narrow screen shows each cell's name before it. The cells are HTML.
fn cells_of(out: &mut String, names: &[&str], cells: &[String]) -> fmt::Result {
    out.write_str("<tr>")?;
    for (name, cell) in names.iter().zip(cells) {
        let name = if name.is_empty() { String::new() } else { format!(" data-name=\"{name}\"") };
        write!(out, "<td{name}>{cell}</td>")?;
    }
    out.write_str("</tr>\n")
}

fn row(out: &mut String, instance: &Instance) -> fmt::Result {
    let state = format!("<span class=\"{0}\">{0}</span>", Escaped(&instance.state));
    let addresses: Vec<String> = instance.addresses.iter().map(address).collect();
    let priority = instance.priority;
    let priority = if priority.effective == priority.configured {
        priority.effective.to_string()
    } else {
        format!("{} (configured {})", priority.effective, priority.configured)
    };
    let mut why = Escaped(&instance.why).to_string();
    for order in &instance.steering {
        let _ = write!(why, "<br><span class=\"soft\">{}</span>", Escaped(&order.to_string()));
    }
    let cells = [
        format!("<b>{}</b>", Escaped(&instance.name)),
        state,
        since(instance.since.as_deref()),
        why,
        addresses.join("<br>"),
        priority,
    ];
    cells_of(out, &["", "", "since", "", "", "priority"], &cells)
}

fn address(address: &Address) -> String {
    let text = Escaped(&address.address).to_string();
    match (&address.set, &address.interface) {
        (Some(true), Some(interface)) => format!("{text} on {}", Escaped(interface)),
        (Some(true), None) => text,
        _ => format!("<span class=\"soft\">{text} not here</span>"),
    }
}

fn check(out: &mut String, check: &Check) -> fmt::Result {
    let result = match check.up {
        Some(true) => "up",
        Some(false) => "<span class=\"down\">down</span>",
        None => "<span class=\"soft\">no result yet</span>",
    };
    let mut latest = check.ended.as_deref().map(|ended| Escaped(ended).to_string()).unwrap_or_default();
    if let Some(seconds) = check.lasted_seconds {
        latest = format!("{latest} after {}", rough(seconds));
    }
    if let Some(printed) = check.output.as_deref().filter(|printed| !printed.is_empty()) {
        latest = format!("{latest}<br><span class=\"soft\">{}</span>", Escaped(printed));
    }
    cells_of(out, &["", "", ""], &[Escaped(&check.name).to_string(), result.to_owned(), latest])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_has_its_places() {
        for place in ["{title}", "{main}", "{paths}"] {
            assert_eq!(FRAME.matches(place).count(), 1, "{place}");
        }
        let of_others = ["http://", "https://", "src=", "@import", "url("];
        assert!(of_others.iter().all(|it| !FRAME.contains(it)), "it loads nothing");
    }
}
