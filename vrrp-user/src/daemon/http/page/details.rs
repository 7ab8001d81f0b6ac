//! Details of each instance: its counters, peers, hooks and latest transitions.

use std::fmt::{self, Write};

use super::html::{Escaped, time};
use crate::daemon::status::{Address, Gaps, Instance, Peer, rough};

/// Transitions of an instance that are shown, the latest first.
const TRANSITIONS: usize = 8;

pub(super) fn details(out: &mut String, instance: &Instance) -> fmt::Result {
    let name = Escaped(&instance.name);
    let Instance { interface, vrid, family, version, .. } = instance;
    writeln!(
        out,
        "<details id=\"instance-{name}\"><summary><b>{name}</b> VRID {vrid} on {}{}</summary>",
        Escaped(interface),
        match instance.peers.iter().map(|peer| peer.near_misses).sum() {
            0 => String::new(),
            count => format!(", <span class=\"near\">{}</span>", near_misses(count)),
        }
    )?;
    let interval = rough(instance.advert_interval_seconds);
    writeln!(out, "<p>{family}, version {version}, an advert each {interval}</p>")?;
    let counters = &instance.counters;
    writeln!(
        out,
        "<p class=\"soft\">{} adverts sent, {} received, {} announcements</p>",
        counters.adverts_sent, counters.adverts_received, counters.announcements_sent
    )?;
    if !instance.addresses.is_empty() {
        writeln!(out, "<h3>Addresses</h3>")?;
    }
    instance.addresses.iter().try_for_each(|it| address(out, it))?;
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
        if let Some(output) = &hook.output {
            writeln!(out, "<p class=\"soft printed\">It printed: {}</p>", Escaped(output))?;
        }
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

fn address(out: &mut String, address: &Address) -> fmt::Result {
    let answered = match address.answered {
        Some(true) => "a request would be answered",
        Some(false) => "not answered",
        None => "not known whether a request would be answered",
    };
    let why = address.answered_why.as_deref().map(|why| format!(" ({})", Escaped(why))).unwrap_or_default();
    let latest = address.announced_seconds.map(|ago| format!(", the latest {} ago", rough(ago)));
    writeln!(
        out,
        "<p>{}: {answered}{why}; announced {} times{}</p>",
        Escaped(&address.address),
        address.announcements,
        latest.unwrap_or_default()
    )
}

fn near_misses(count: u64) -> String {
    match count {
        0 => "no near miss".to_owned(),
        1 => "1 near miss".to_owned(),
        count => format!("{count} near misses"),
    }
}

fn peer(out: &mut String, peer: &Peer) -> fmt::Result {
    writeln!(out, "<h3>Peer {}</h3>", Escaped(&peer.address))?;
    let mean = peer.gap_mean_seconds.map(|mean| format!("mean gap {}, ", rough(mean))).unwrap_or_default();
    writeln!(
        out,
        "<p>version {}, priority {}, last advert {} ago; {} adverts, {mean}longest gap {}, jitter {}</p>",
        peer.version,
        peer.priority,
        rough(peer.last_advert_seconds),
        peer.adverts,
        rough(peer.gap_max_seconds),
        rough(peer.jitter_seconds)
    )?;
    let class = if peer.near_misses > 0 { "near" } else { "soft" };
    writeln!(out, "<p class=\"{class}\">{}</p>", near_misses(peer.near_misses))?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
            gap_mean_seconds: None,
            near_misses: 0,
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
}
