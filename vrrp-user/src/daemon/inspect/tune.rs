//! The advert interval that the measured gaps allow.
//!
//! Enters: the status of a running daemon. Leaves: for each peer of an instance what its adverts were like as master,
//! and the shortest interval that would have caused no takeover. The daemon keeps the longest gap, and of the others
//! how many lay between two powers of two: numbers that follow from those are bounds, and say so.

use std::fmt::Write;
use std::time::Duration;

use thiserror::Error;

use crate::config::wrapped_at;
use crate::daemon::status::{Gaps, Instance, Peer, WIDTH, span};
use crate::protocol::{Interval, Priority, Version, master_down_interval};

/// Fewer gaps than this say nothing about rare ones.
pub const GAPS_MIN: u64 = 10_000;

/// Pauses that come may be longer than those that came by this much, in halves.
const RESERVE: u32 = 3;

/// Columns of the first word of a line.
const LABEL: usize = 12;

#[derive(Debug, Eq, Error, PartialEq)]
pub enum TuneError {
    #[error(
        "{instance}: no peer was heard as master, so there is nothing to go by; ask a backup, or wait for a failover"
    )]
    NoPeer { instance: String },
    #[error(
        "{instance}: only {gaps} gaps between adverts of {peer} were measured, and {GAPS_MIN} are needed ({wait} at its interval)"
    )]
    TooFew { instance: String, peer: String, gaps: u64, wait: String },
}

/// What the gaps of the peer with the most of them say.
///
/// # Errors
/// Too few were measured.
pub fn tune(instance: &Instance, lateness: &str) -> Result<String, TuneError> {
    let name = &instance.name;
    let count = |peer: &Peer| peer.gaps.iter().map(|it| u64::from(it.count)).sum::<u64>();
    let peer = instance.peers.iter().max_by_key(|peer| count(peer)).filter(|peer| count(peer) > 0);
    let Some(peer) = peer else { return Err(TuneError::NoPeer { instance: name.clone() }) };
    let gaps = count(peer);
    let interval = peer.advert_interval_seconds.unwrap_or(instance.advert_interval_seconds);
    if gaps < GAPS_MIN {
        let missing = u32::try_from(GAPS_MIN - gaps).unwrap_or(u32::MAX);
        return Err(TuneError::TooFew {
            instance: name.clone(),
            peer: peer.address.clone(),
            gaps,
            wait: span(interval * f64::from(missing)),
        });
    }
    Ok(report(instance, peer, gaps, interval, lateness))
}

fn report(instance: &Instance, peer: &Peer, gaps: u64, interval: f64, lateness: &str) -> String {
    let version = if peer.version == 2 { Version::V2 } else { Version::V3 };
    let priority = Priority(instance.priority.configured);
    let longest = Duration::try_from_secs_f64(peer.gap_max_seconds).unwrap_or_default();
    let seconds = |span: Duration| self::span(span.as_secs_f64());
    let mut out = String::new();
    let head = format!(
        "{}, {}: {gaps} gaps between adverts of {}, which sends one every {}",
        instance.name,
        instance.state,
        peer.address,
        span(interval)
    );
    wrapped_at(WIDTH, &mut out, "", &head, 2);
    let mut line =
        |label: &str, text: &str| wrapped_at(WIDTH, &mut out, &format!("  {label:<LABEL$}"), text, LABEL + 2);
    let quantile =
        |share| bound(&peer.gaps, gaps, share).map_or_else(|| "-".to_owned(), |it| format!("< {}", span(it)));
    line(
        "gaps",
        &format!("p50 {}  p99.9 {}  longest {}", quantile((1, 2)), quantile((999, 1000)), seconds(longest)),
    );
    line("our timer", lateness);
    let wire = Duration::try_from_secs_f64(interval).ok().and_then(|it| Interval::new(it, version).ok());
    let Some(now) = wire else { return out };
    let n = instance.down_timer_adverts;
    let allowed = master_down_interval(version, priority, now, n);
    line("allowed", &format!("{}: {n} intervals, and the skew of priority {priority}", seconds(allowed)));
    line("margin", &margin(longest, allowed));
    line("near misses", &near_misses(&peer.gaps, allowed.saturating_sub(now.duration())));
    let pause = longest.saturating_sub(now.duration());
    let kept = lowest(version, priority, n, pause);
    let advised = lowest(version, priority, n, pause * RESERVE / 2);
    line("interval", &verdict(kept, now, "would have kept the master", version, priority, n));
    line(
        "advice",
        &verdict(advised, now, "keeps it through pauses half as long again", version, priority, n),
    );
    out
}

fn margin(longest: Duration, allowed: Duration) -> String {
    let seconds = |span: Duration| self::span(span.as_secs_f64());
    match allowed.checked_sub(longest) {
        Some(rest) => {
            let share = longest.as_nanos() * 100 / allowed.as_nanos().max(1);
            format!("{}: the longest gap was {share} % of what is allowed", seconds(rest))
        }
        None => "none: the longest gap was longer than allowed; the interval was another one, or this node yielded".to_owned(),
    }
}

/// Gaps that ended in the last interval of master_down_interval. The histogram only bounds their number.
fn near_misses(gaps: &[Gaps], near: Duration) -> String {
    let near = near.as_secs_f64();
    let above = |it: &&Gaps| it.below_seconds.is_none_or(|below| below > near);
    let surely = |it: &&Gaps| it.below_seconds.is_none_or(|below| below / 2.0 >= near);
    let sum = |list: &mut dyn Iterator<Item = &Gaps>| list.map(|it| u64::from(it.count)).sum::<u64>();
    let (most, least) = (sum(&mut gaps.iter().filter(above)), sum(&mut gaps.iter().filter(surely)));
    let near = span(near);
    match (least, most) {
        (_, 0) => format!("none: no gap was longer than {near}"),
        (1, 1) => format!("1 gap longer than {near}"),
        (least, most) if least == most => format!("{most} gaps longer than {near}"),
        (least, most) => format!("{least} to {most} gaps longer than {near}"),
    }
}

/// The shortest interval whose backup waits longer than the interval and this pause.
fn lowest(version: Version, priority: Priority, adverts: u8, pause: Duration) -> Option<Interval> {
    let fits = |interval: &Interval| {
        interval.duration().saturating_add(pause)
            < master_down_interval(version, priority, *interval, adverts)
    };
    (1..=u16::MAX).map_while(|units| valid(units, version)).find(fits)
}

fn valid(units: u16, version: Version) -> Option<Interval> {
    let interval = Interval::from_wire(units, version)?;
    Interval::new(interval.duration(), version).ok()
}

fn verdict(
    interval: Option<Interval>,
    now: Interval,
    what: &str,
    version: Version,
    priority: Priority,
    adverts: u8,
) -> String {
    let Some(interval) = interval else { return format!("no advert_int {what}") };
    let detects = master_down_interval(version, priority, interval, adverts);
    let seconds = interval.duration().as_secs_f64();
    let than = match interval.cmp(&now) {
        std::cmp::Ordering::Less => "shorter than now",
        std::cmp::Ordering::Equal => "as now",
        std::cmp::Ordering::Greater => "longer than now",
    };
    format!("advert_int {seconds} ({than}) {what}, and detects a death in {}", span(detects.as_secs_f64()))
}

/// The upper bound of the bucket that this share of all gaps lies below.
fn bound(gaps: &[Gaps], all: u64, (share, of): (u64, u64)) -> Option<f64> {
    let wanted = all.saturating_mul(share).div_ceil(of);
    let mut sorted: Vec<&Gaps> = gaps.iter().collect();
    sorted.sort_by(|one, other| {
        let key = |it: &Gaps| it.below_seconds.unwrap_or(f64::INFINITY);
        key(one).total_cmp(&key(other))
    });
    let mut seen = 0;
    sorted
        .into_iter()
        .find(|it| {
            seen += u64::from(it.count);
            seen >= wanted
        })?
        .below_seconds
}

/// How late the engine's timer fired, as a line of the report.
pub fn lateness(lateness: &crate::daemon::status::Lateness) -> String {
    let mut text =
        format!("late by {} at most", span(Duration::from_micros(lateness.max_microseconds).as_secs_f64()));
    if let Some(p99) = lateness.p99_microseconds {
        let _ = write!(text, ", p99 < {}", span(Duration::from_micros(p99).as_secs_f64()));
    }
    text
}
