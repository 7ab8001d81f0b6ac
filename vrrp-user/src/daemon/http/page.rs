//! The page at `/`: status for people, as HTML that needs no script.
//!
//! Enters: a [`Status`]. Leaves: one document without further files; its script only fetches it again. Every text of
//! the status is escaped, as some of it comes from the wire and from the output of checks.

use std::fmt::{self, Display, Write};

use crate::daemon::status::{Address, Check, Gaps, Instance, Peer, Status, rough};

const FRAME: &str = include_str!("page.html");

/// What may be loaded and run: only what the document contains, and the document itself.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

const PATHS: [(&str, &str); 6] = [
    ("/metrics", "metrics for Prometheus"),
    ("/metrics/keepalived", "metrics by the names of the exporter for keepalived"),
    ("/api/v1/status", "status as JSON"),
    ("/api/v1/events", "events as they come (server-sent events)"),
    ("/-/healthy", "200 while the engine responds"),
    ("/-/ready", "200 once every instance has left INIT"),
];

/// Transitions of an instance that are shown, the latest first.
const TRANSITIONS: usize = 8;

pub(super) fn document(status: &Status) -> String {
    let mut main = String::new();
    // Writing to a string cannot fail.
    let _ = body(&mut main, status);
    let paths = PATHS.map(|(path, what)| format!("<p><a href=\"{path}\">{path}</a>{what}</p>\n"));
    // The contents last, so that nothing in them is taken for a place.
    let title = Escaped(&status.node.router_id).to_string();
    let (before, after) = FRAME.split_once("{main}").unwrap_or((FRAME, ""));
    let before = before.replacen("{title}", &title, 1);
    let after = after.replacen("{paths}", &paths.concat(), 1);
    format!("{before}{main}{after}")
}

fn body(out: &mut String, status: &Status) -> fmt::Result {
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
    for (about, text) in &problems {
        writeln!(out, "<p class=\"problem\"><b>{}</b> {}</p>", Escaped(about), Escaped(text))?;
    }
    table(out, "Instances", &["instance", "state", "since", "why", "addresses", "priority"], |out| {
        status.instances.iter().try_for_each(|it| row(out, it))
    })?;
    if !status.groups.is_empty() {
        table(out, "Sync groups", &["group", "state", "since", "members"], |out| {
            status.groups.iter().try_for_each(|it| {
                let state = format!("<span class=\"{0}\">{0}</span>", Escaped(&it.state));
                let members = Escaped(&it.members.join(" ")).to_string();
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
    status.instances.iter().try_for_each(|it| details(out, it))
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

fn details(out: &mut String, instance: &Instance) -> fmt::Result {
    let name = Escaped(&instance.name);
    let Instance { interface, vrid, family, version, .. } = instance;
    writeln!(
        out,
        "<details id=\"instance-{name}\"><summary><b>{name}</b> VRID {vrid} on {}</summary>",
        Escaped(interface)
    )?;
    let interval = rough(instance.advert_interval_seconds);
    writeln!(out, "<p>{family}, version {version}, an advert each {interval}</p>")?;
    let counters = &instance.counters;
    writeln!(
        out,
        "<p class=\"soft\">{} adverts sent, {} received, {} announcements</p>",
        counters.adverts_sent, counters.adverts_received, counters.announcements_sent
    )?;
    instance.peers.iter().try_for_each(|it| peer(out, it))?;
    if !instance.hooks.is_empty() {
        writeln!(out, "<h3>Hooks</h3>")?;
    }
    for hook in &instance.hooks {
        let class = if hook.success { "" } else { " class=\"down\"" };
        writeln!(
            out,
            "<p>{} for {}: <span{class}>{}</span> after {}, {}</p>",
            Escaped(&hook.keyword),
            Escaped(&hook.state),
            Escaped(&hook.ended),
            rough(hook.lasted_seconds),
            time(&hook.started)
        )?;
    }
    if !instance.history.is_empty() {
        writeln!(out, "<h3>Last transitions</h3>")?;
    }
    for it in instance.history.iter().rev().take(TRANSITIONS) {
        let peer = it.peer.as_deref().map(|peer| format!(", {}", Escaped(peer))).unwrap_or_default();
        let (from, to, reason) = (Escaped(&it.from), Escaped(&it.to), Escaped(&it.reason));
        writeln!(out, "<p>{}: {from} to <span class=\"{to}\">{to}</span>, {reason}{peer}</p>", time(&it.at))?;
    }
    writeln!(out, "</details>")
}

fn peer(out: &mut String, peer: &Peer) -> fmt::Result {
    writeln!(out, "<h3>Peer {}</h3>", Escaped(&peer.address))?;
    writeln!(
        out,
        "<p>version {}, priority {}, last advert {} ago; {} adverts, longest gap {}, jitter {}</p>",
        peer.version,
        peer.priority,
        rough(peer.last_advert_seconds),
        peer.adverts,
        rough(peer.gap_max_seconds),
        rough(peer.jitter_seconds)
    )?;
    plot(out, peer)
}

/// The histogram of a peer's gaps. Each bucket is twice as long as the one before; heights are logarithms, so that a
/// single long gap among millions is seen.
fn plot(out: &mut String, peer: &Peer) -> fmt::Result {
    const STEP: usize = 44;
    const HEIGHT: f64 = 60.0;
    if peer.gaps.is_empty() {
        return Ok(());
    }
    let gaps = spread(peer);
    let most = gaps.iter().map(|it| f64::from(it.count)).fold(1.0, f64::max);
    let width = STEP * gaps.len();
    writeln!(
        out,
        "<svg viewBox=\"0 0 {width} 90\" style=\"max-width:{width}px\" role=\"img\" aria-label=\"gaps between its \
         adverts\">"
    )?;
    for (index, it) in gaps.iter().enumerate() {
        let (left, count) = (STEP * index + 2, it.count);
        let base = if count > 0 { 0.08 } else { 0.02 };
        let height = HEIGHT * (base + 0.92 * (1.0 + f64::from(count)).ln() / (1.0 + most).ln());
        let bound = it.below_seconds.map_or_else(|| "more".to_owned(), below);
        let label = if count > 0 { short(count) } else { String::new() };
        let (top, above) = (74.0 - height, (71.0 - height).max(9.0));
        writeln!(
            out,
            "<rect x=\"{left}\" y=\"{top:.1}\" width=\"36\" height=\"{height:.1}\"><title>{count} gaps {bound}\
             </title></rect><text x=\"{left}\" y=\"86\">{bound}</text>\
             <text x=\"{left}\" y=\"{above:.1}\">{label}</text>"
        )?;
    }
    writeln!(out, "</svg>")
}

/// The buckets of a peer's gaps without holes, and on to the one of four intervals, after which its mastership ends.
fn spread(peer: &Peer) -> Vec<Gaps> {
    let last = peer.advert_interval_seconds.map_or(0.0, |interval| interval * 4.0);
    let mut all: Vec<Gaps> = Vec::new();
    let next = |all: &[Gaps]| all.last().and_then(|it| it.below_seconds).map(|below| below * 2.0);
    for it in &peer.gaps {
        while let (Some(below), Some(bound)) = (next(&all), it.below_seconds)
            && below < bound * 0.75
        {
            all.push(Gaps { below_seconds: Some(below), count: 0 });
        }
        all.push(*it);
    }
    while let Some(below) = next(&all)
        && below / 2.0 < last
    {
        all.push(Gaps { below_seconds: Some(below), count: 0 });
    }
    all
}

/// The bound of a bucket. Spans of less than a millisecond are bursts.
fn below(seconds: f64) -> String {
    if seconds < 0.001 { format!("&lt;{:.0}µs", seconds * 1e6) } else { format!("&lt;{}", rough(seconds)) }
}

/// A count that fits above a bar.
fn short(count: u32) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..10_000_000 => format!("{}k", count / 1000),
        _ => format!("{}M", count / 1_000_000),
    }
}

fn since(time: Option<&str>) -> String {
    time.map(self::time).unwrap_or_default()
}

/// An RFC 3339 time to the second.
fn time(time: &str) -> String {
    let text = time.get(..19).unwrap_or(time).replace('T', " ");
    format!("{} UTC", Escaped(&text))
}

/// Text within HTML, also within quoted attributes.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        let text = Escaped("<script>'x' & \"y\"</script>").to_string();
        assert_eq!(text, "&lt;script&gt;&#39;x&#39; &amp; &quot;y&quot;&lt;/script&gt;");
    }

    #[test]
    fn a_plot_has_no_holes_and_ends_at_four_intervals() {
        let peer = |interval, gaps: &[(f64, u32)]| Peer {
            address: "192.0.2.11".to_owned(),
            priority: 100,
            version: 3,
            advert_interval_seconds: Some(interval),
            checksum: "pseudo".to_owned(),
            adverts: 9,
            last_advert_seconds: 0.0,
            jitter_seconds: 0.0,
            gap_max_seconds: 0.0,
            clock_skew_seconds: None,
            clock_skew_alarm: false,
            gaps: gaps.iter().map(|&(below, count)| Gaps { below_seconds: Some(below), count }).collect(),
        };
        let bounds = |interval, gaps: &[(f64, u32)]| -> Vec<(f64, u32)> {
            let all = spread(&peer(interval, gaps));
            all.iter().map(|it| (it.below_seconds.unwrap(), it.count)).collect()
        };
        assert_eq!(bounds(0.1, &[(0.134, 7)]), [(0.134, 7), (0.268, 0), (0.536, 0)]);
        let with_hole = bounds(0.1, &[(0.134, 7), (1.072, 1)]);
        assert_eq!(with_hole, [(0.134, 7), (0.268, 0), (0.536, 0), (1.072, 1)]);
    }

    #[test]
    fn the_frame_has_its_places() {
        for place in ["{title}", "{main}", "{paths}"] {
            assert_eq!(FRAME.matches(place).count(), 1, "{place}");
        }
        let of_others = ["http://", "https://", "src=", "@import", "url("];
        assert!(of_others.iter().all(|it| !FRAME.contains(it)), "it loads nothing");
    }
}
