//! What an instance depends on: its link, its source address and the tracked things.

use std::net::IpAddr;

use super::action::Reason;
use super::event::TrackId;
use super::settings::{InstanceSettings, TrackSettings};
use super::units::Priority;

/// What keeps an instance out of the election; all false: nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    pub link_down: bool,
    pub no_source: bool,
    /// A tracked thing of weight 0 is down.
    pub track_down: bool,
}

impl Faults {
    /// The first that holds, from the wire upwards.
    pub fn reason(self) -> Option<Reason> {
        if self.link_down {
            Some(Reason::LinkDown)
        } else if self.no_source {
            Some(Reason::NoSource)
        } else if self.track_down {
            Some(Reason::TrackDown)
        } else {
            None
        }
    }
}

/// Link and source are not there until they are reported.
#[derive(Clone, Debug)]
pub(super) struct Tracking {
    pub(super) link: bool,
    pub(super) source: Option<IpAddr>,
    /// Latest result of each of the settings' tracks, in their order.
    results: Vec<Option<bool>>,
}

impl Tracking {
    pub(super) fn new(settings: &InstanceSettings) -> Self {
        let results = settings.tracks.iter().map(|track| track.initial).collect();
        Self { link: false, source: None, results }
    }

    /// For other settings of the same instance. What is tracked still keeps its result; what is new has the result that
    /// another instance knows, or starts from `initial`.
    pub(super) fn carry(
        &mut self,
        old: &[TrackSettings],
        new: &[TrackSettings],
        known: impl Fn(TrackId) -> Option<bool>,
    ) {
        let kept = |id| {
            let mut results = old.iter().zip(&self.results);
            results.find_map(|(track, result)| if track.id == id { *result } else { None })
        };
        self.results = new.iter().map(|it| kept(it.id).or_else(|| known(it.id)).or(it.initial)).collect();
    }

    pub(super) fn record(&mut self, tracks: &[TrackSettings], id: TrackId, up: bool) {
        for (track, result) in tracks.iter().zip(&mut self.results) {
            if track.id == id {
                *result = Some(up);
            }
        }
    }

    /// Latest results in the order of the settings' tracks.
    pub(super) fn results(&self) -> &[Option<bool>] {
        &self.results
    }

    /// Every tracked thing has had a first result, or needs none.
    pub(super) fn is_known(&self) -> bool {
        self.results.iter().all(Option::is_some)
    }

    pub(super) fn faults(&self, settings: &InstanceSettings) -> Faults {
        Faults {
            link_down: !self.link && !settings.ignore_own_link,
            no_source: self.source.is_none(),
            track_down: self.effective(&settings.tracks).any(|(track, up)| track.weight.0 == 0 && !up),
        }
    }

    /// A positive weight counts while up, a negative one while down.
    pub(super) fn priority(&self, settings: &InstanceSettings) -> Priority {
        let sum = self
            .effective(&settings.tracks)
            .filter(|(track, up)| (track.weight.0 > 0) == *up)
            .fold(0_i32, |sum, (track, _)| sum.saturating_add(i32::from(track.weight.0)));
        settings.priority.weighted(sum)
    }

    fn effective<'a>(
        &'a self,
        tracks: &'a [TrackSettings],
    ) -> impl Iterator<Item = (&'a TrackSettings, bool)> {
        tracks
            .iter()
            .zip(&self.results)
            .filter_map(|(track, result)| result.map(|up| (track, up != track.reverse)))
    }
}
