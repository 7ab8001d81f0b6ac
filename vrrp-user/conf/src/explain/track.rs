//! Tracked objects and the effect of their failure.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::super::outline::{Location, Text, Written};
use super::super::{CheckSettings, CheckTarget, Config, Damping, HoldSettings, Instance};
use super::finding::{Origin, arc};
use super::time::{TimeRange, seconds};
use super::value;
use vrrp_proto::{Priority, TrackSettings, TrackedObject, Weight};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tracked {
    /// `script`, `interface`, `process` or `file`.
    pub kind: &'static str,
    #[serde(serialize_with = "arc")]
    pub name: Arc<str>,
    pub weight: i16,
    pub reverse: bool,
    pub from: Origin,
    /// Origin of the weight.
    pub weight_from: Origin,
    /// The command; for a script.
    pub command: Option<String>,
    /// When a check runs and how its results count; `None` if it is not polled.
    pub rhythm: Option<CheckTimes>,
    /// Conditions that keep it failed.
    pub held: Option<String>,
    /// Effect on this node; `None` if it depends on more than good and failed.
    #[serde(rename = "effect")]
    pub reaction: Option<Effect>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CheckTimes {
    #[serde(rename = "interval_seconds", serialize_with = "seconds")]
    pub interval: Duration,
    #[serde(rename = "timeout_seconds", serialize_with = "seconds")]
    pub timeout: Duration,
    pub rise: u32,
    pub fall: u32,
}

/// Effect of the failure of one tracked object while all others are good.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It leaves the election; any other node takes over.
    Fault,
    /// It changes the priority; a takeover depends on the peer's.
    Priority { good: u8, failed: u8 },
    /// The priority stays, held at its limit.
    None,
}

impl CheckTimes {
    /// Time from the failure of a checked service to the result, if the script returns at once.
    pub(super) fn found(self) -> TimeRange {
        let (interval, fall) = (self.interval, self.fall);
        TimeRange {
            least: interval.saturating_mul(fall.saturating_sub(1)),
            most: interval.saturating_mul(fall),
        }
    }

    /// The same, at most, if every run hangs until its time limit. Starts that fall into a run are skipped.
    pub(super) fn found_hanging(self) -> Duration {
        let mut period = self.interval;
        while period < self.timeout && !self.interval.is_zero() {
            let runs = self.timeout.as_nanos().div_ceil(self.interval.as_nanos());
            period = self.interval.saturating_mul(u32::try_from(runs).unwrap_or(u32::MAX));
        }
        let before_last = period.saturating_mul(self.fall.saturating_sub(1));
        self.interval.saturating_add(before_last).saturating_add(self.timeout)
    }
}

impl Effect {
    /// Range of peer priorities for which a failure changes the master, whatever the addresses of the nodes. `None`: no
    /// priority.
    pub fn decides_against(self) -> Option<(u8, u8)> {
        let Self::Priority { good, failed } = self else { return None };
        let (low, high) = (good.min(failed), good.max(failed));
        (high - low >= 2).then(|| (low + 1, high - 1))
    }
}

pub(super) fn all(
    instance: &Instance,
    config: &Config,
    block: &Written,
    outline: &[Written],
) -> Vec<Tracked> {
    let settings = &instance.settings;
    settings
        .tracks
        .iter()
        .filter_map(|track| {
            let (kind, name) = (track.object.kind(), track.object.name());
            // A file of a `vrrp_check` is tracked as a check.
            let line =
                line_of(kind, name, block, outline).or_else(|| line_of("script", name, block, outline))?;
            let script = config.checks.iter().find(|script| script.id == track.id);
            let weight = word_of(&line.written.args, "weight").map(|word| word.place.clone());
            let of_check = || weight_of_check(name, outline);
            Some(Tracked {
                kind,
                name: Arc::clone(name),
                weight: track.weight.0,
                reverse: track.reverse,
                from: line.origin(line.written.keyword.place.clone()),
                weight_from: weight
                    .map(|place| line.origin(place))
                    .or_else(|| of_check().map(|line| Origin::Check(line.place().clone())))
                    .unwrap_or(Origin::Default),
                command: script.and_then(|script| match &script.target {
                    CheckTarget::Command(command) => Some(value::command_line(command)),
                    _ => None,
                }),
                rhythm: script.filter(|script| is_polled(&script.target)).map(rhythm),
                held: script.and_then(|script| held(script.hold)),
                reaction: match track.object {
                    // With a weight, the number decides how much.
                    TrackedObject::File(_) if track.weight != Weight(0) => None,
                    _ => Some(effect(settings.priority, &settings.tracks, track)),
                },
            })
        })
        .collect()
}

/// The line that tracks something, in the instance or in its group.
struct Line<'a> {
    written: &'a Written,
    of_group: bool,
}

impl Line<'_> {
    fn origin(&self, place: Location) -> Origin {
        if self.of_group { Origin::Group(place) } else { Origin::Written(place) }
    }
}

fn line_of<'a>(kind: &str, name: &str, block: &'a Written, outline: &'a [Written]) -> Option<Line<'a>> {
    let keyword = format!("track_{kind}");
    let is_list =
        move |inner: &&Written| inner.is(&keyword) || keyword == "track_script" && inner.is("track_check");
    let within = |block: &'a Written| {
        let lines = block.inner().iter().filter(&is_list).flat_map(Written::inner);
        let mut lines = lines.filter(|line| line.is(name));
        lines.next()
    };
    let own = within(block).map(|written| Line { written, of_group: false });
    let member = block.first().unwrap_or_default();
    let group = outline.iter().find(|group| is_group_of(group, member));
    let of_group = group.and_then(within).map(|written| Line { written, of_group: true });
    match (own, of_group) {
        // Of two lines the group's counts, unless the instance's has no weight.
        (Some(own), Some(of_group)) if is_weighted(own.written, kind, name, outline) => Some(of_group),
        (own, of_group) => own.or(of_group),
    }
}

fn is_weighted(line: &Written, kind: &str, name: &str, outline: &[Written]) -> bool {
    let written = word_of(&line.args, "weight").map(|word| &*word.text);
    let weight = written.or_else(|| weight_of_check(name, outline)?.first());
    weight.map_or(kind == "file", |weight| weight.parse() != Ok(0))
}

fn is_group_of(block: &Written, member: &str) -> bool {
    let members = block.inner().iter().filter(|inner| inner.is("group")).flat_map(Written::inner);
    let mut names = members.flat_map(|line| std::iter::once(&line.keyword).chain(&line.args));
    block.is("vrrp_sync_group") && names.any(|word| &*word.text == member)
}

/// The value after an option.
fn word_of<'a>(words: &'a [Text], option: &str) -> Option<&'a Text> {
    let at = words.iter().position(|word| &*word.text == option)?;
    words.get(at + 1)
}

fn weight_of_check<'a>(name: &str, outline: &'a [Written]) -> Option<&'a Written> {
    let kinds = ["vrrp_script", "vrrp_check", "vrrp_track_process", "track_file", "vrrp_track_file"];
    let is_check = |block: &&Written| kinds.iter().any(|kind| block.is(kind)) && block.first() == Some(name);
    let block = outline.iter().find(is_check)?;
    block.inner().iter().rev().find(|line| line.is("weight"))
}

/// Whether the check polls, instead of being notified by the kernel or the service.
fn is_polled(target: &CheckTarget) -> bool {
    !matches!(
        target,
        CheckTarget::Process(_) | CheckTarget::File(_) | CheckTarget::Docker(_) | CheckTarget::Systemd(_)
    )
}

fn rhythm(script: &CheckSettings) -> CheckTimes {
    CheckTimes { interval: script.interval, timeout: script.timeout, rise: script.rise, fall: script.fall }
}

fn held(HoldSettings { least, damping }: HoldSettings) -> Option<String> {
    let least = (!least.is_zero()).then(|| format!("for {} at least", value::span(least)));
    let damping = damping.map(|Damping { changes, within, quiet }| {
        format!(
            "after {changes} changes within {} until {} without one",
            value::span(within),
            value::span(quiet)
        )
    });
    let both: Vec<String> = least.into_iter().chain(damping).collect();
    (!both.is_empty()).then(|| both.join(", "))
}

fn effect(base: Priority, tracks: &[TrackSettings], track: &TrackSettings) -> Effect {
    if track.weight.0 == 0 {
        return Effect::Fault;
    }
    // A reversed track is good while it is down.
    let worth = |track: &TrackSettings, good: bool| track.adds(i32::from(good != track.reverse));
    let others: i32 = tracks.iter().filter(|other| *other != track).map(|other| worth(other, true)).sum();
    let with = |good| base.weighted(others + worth(track, good)).0;
    match (with(true), with(false)) {
        (good, failed) if good == failed => Effect::None,
        (good, failed) => Effect::Priority { good, failed },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vrrp_proto::TrackId;

    fn track(id: u32, weight: i16, reverse: bool) -> TrackSettings {
        TrackSettings {
            id: TrackId(id),
            object: TrackedObject::Interface("eth1".into()),
            weight: Weight(weight),
            reverse,
            initial: None,
        }
    }

    fn effect_of(base: u8, tracks: &[TrackSettings]) -> Effect {
        effect(Priority(base), tracks, &tracks[0])
    }

    #[test]
    fn a_failure_counts_while_all_else_is_good() {
        let priority = |good, failed| Effect::Priority { good, failed };
        assert_eq!(effect_of(100, &[track(0, 0, false)]), Effect::Fault);
        assert_eq!(effect_of(100, &[track(0, -20, false)]), priority(100, 80));
        assert_eq!(effect_of(100, &[track(0, 20, false)]), priority(120, 100));
        assert_eq!(effect_of(100, &[track(0, 20, true)]), priority(100, 80));
        assert_eq!(effect_of(100, &[track(0, -20, true)]), priority(120, 100));
        assert_eq!(effect_of(100, &[track(0, 20, false), track(1, 5, false)]), priority(125, 105));
        assert_eq!(effect_of(254, &[track(0, 20, false)]), Effect::None);
        assert_eq!(effect_of(250, &[track(0, 20, false)]), priority(254, 250));
    }

    #[test]
    fn a_peer_between_the_two_priorities_takes_over() {
        assert_eq!(effect_of(100, &[track(0, -20, false)]).decides_against(), Some((81, 99)));
        assert_eq!(effect_of(100, &[track(0, -2, false)]).decides_against(), Some((99, 99)));
        assert_eq!(effect_of(100, &[track(0, -1, false)]).decides_against(), None);
    }

    #[test]
    fn a_hanging_script_skips_the_starts_that_fall_into_its_runs() {
        let seconds = Duration::from_secs;
        let rhythm = |interval, timeout, fall| CheckTimes {
            interval: seconds(interval),
            timeout: seconds(timeout),
            rise: 1,
            fall,
        };
        assert_eq!(rhythm(2, 2, 2).found(), TimeRange { least: seconds(2), most: seconds(4) });
        assert_eq!(rhythm(2, 2, 2).found_hanging(), seconds(6));
        assert_eq!(rhythm(2, 5, 2).found_hanging(), seconds(2 + 6 + 5));
        assert_eq!(rhythm(5, 1, 1).found_hanging(), seconds(6));
    }
}
