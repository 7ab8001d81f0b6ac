//! Dependencies of an instance: its link, its source address and the tracked objects.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::action::Reason;
use super::event::TrackId;
use super::settings::{ElectionSettings, TrackSettings, TrackedObject};
use super::steering::Steering;
use super::units::Priority;

/// Causes that keep an instance out of the election.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    pub link_down: bool,
    pub no_source: bool,
    /// Unicast without a peer (`unicast_fault_no_peer`).
    pub no_peer: bool,
    /// A tracked object fails the instance; see [`TrackSettings::fails`].
    pub track_down: bool,
    /// Another process keeps removing the addresses.
    pub taken_away: bool,
    /// This host refuses to send the adverts, and another router is master.
    pub refused: bool,
    /// An operator keeps it out.
    pub maintenance: bool,
}

impl Faults {
    /// One bit for each cause, in the order of the fields; for [`Self::of_bits`].
    pub fn bits(self) -> u8 {
        let Self { link_down, no_source, no_peer, track_down, taken_away, refused, maintenance } = self;
        let causes = [link_down, no_source, no_peer, track_down, taken_away, refused, maintenance];
        causes.iter().rev().fold(0, |bits, cause| bits << 1 | u8::from(*cause))
    }

    pub fn of_bits(bits: u8) -> Self {
        let cause = |place: u8| bits & 1 << place != 0;
        Self {
            link_down: cause(0),
            no_source: cause(1),
            no_peer: cause(2),
            track_down: cause(3),
            taken_away: cause(4),
            refused: cause(5),
            maintenance: cause(6),
        }
    }

    /// The first cause, from the wire upwards.
    pub fn reason(self) -> Option<Reason> {
        if self.link_down {
            Some(Reason::LinkDown)
        } else if self.no_source {
            Some(Reason::NoSource)
        } else if self.no_peer {
            Some(Reason::NoPeer)
        } else if self.track_down {
            Some(Reason::TrackDown)
        } else if self.taken_away {
            Some(Reason::TakenAway)
        } else if self.refused {
            Some(Reason::Refused)
        } else if self.maintenance {
            Some(Reason::Maintenance)
        } else {
            None
        }
    }
}

/// A file that adds this or less is a Fault, as with keepalived.
const FILE_FAULT: i32 = -254;

/// Most that a file adds, as with keepalived.
const FILE_MOST: i32 = 253;

impl TrackSettings {
    /// Whether this result keeps the instance out of the election.
    pub fn fails(&self, value: i32) -> bool {
        match self.object {
            TrackedObject::File(_) if self.weight.0 == 0 => (value != 0) != self.reverse,
            TrackedObject::File(_) => self.adds(value) <= FILE_FAULT,
            _ => self.weight.0 == 0 && (value != 0) == self.reverse,
        }
    }

    /// The effect of this result on the priority. A positive weight counts while up, a negative one while down;
    /// reversed, each counts with the other sign.
    pub fn adds(&self, value: i32) -> i32 {
        let weight = i32::from(self.weight.0);
        let weight = if self.reverse { -weight } else { weight };
        match self.object {
            TrackedObject::File(_) => value.saturating_mul(weight).min(FILE_MOST),
            _ if (self.weight.0 > 0) == (value != 0) => weight,
            _ => 0,
        }
    }
}

/// The dependencies of an instance, orders of an operator among them. Link and source count as missing until they are
/// reported.
#[derive(Clone, Debug)]
pub(super) struct Tracking {
    pub(super) link: bool,
    pub(super) source: Option<IpAddr>,
    /// Until [`super::Timer::Reclaim`].
    pub(super) taken_away: bool,
    /// Until [`super::Event::SendsAgain`].
    pub(super) refused: bool,
    pub(super) steering: Steering,
    /// Latest result of each of the settings' tracks, in their order: 1 for up and 0 for down, or the number of a file.
    results: Vec<Option<i32>>,
}

impl Tracking {
    pub(super) fn new(settings: &ElectionSettings) -> Self {
        let results = settings.tracks.iter().map(|track| track.initial.map(i32::from)).collect();
        Self {
            link: false,
            source: None,
            taken_away: false,
            refused: false,
            steering: Steering::default(),
            results,
        }
    }

    /// Updates the results for other settings of the same instance. An object that is still tracked keeps its result; a
    /// new one has the result that another instance knows, or `initial`.
    pub(super) fn carry(
        &mut self,
        old: &[TrackSettings],
        new: &[TrackSettings],
        known: impl Fn(TrackId) -> Option<i32>,
    ) {
        let kept = |id| {
            let mut results = old.iter().zip(&self.results);
            results.find_map(|(track, result)| if track.id == id { *result } else { None })
        };
        let initial = |it: &TrackSettings| it.initial.map(i32::from);
        self.results = new.iter().map(|it| kept(it.id).or_else(|| known(it.id)).or(initial(it))).collect();
    }

    pub(super) fn record(&mut self, tracks: &[TrackSettings], id: TrackId, value: i32) {
        for (track, result) in tracks.iter().zip(&mut self.results) {
            if track.id == id {
                *result = Some(value);
            }
        }
    }

    /// Latest results in the order of the settings' tracks.
    pub(super) fn results(&self) -> &[Option<i32>] {
        &self.results
    }

    /// Whether every tracked object has had a first result, or needs none.
    pub(super) fn is_known(&self) -> bool {
        self.results.iter().all(Option::is_some)
    }

    pub(super) fn faults(&self, settings: &ElectionSettings) -> Faults {
        Faults {
            link_down: !self.link && !settings.ignore_own_link,
            no_source: self.source.is_none(),
            no_peer: settings.unicast.as_ref().is_some_and(|unicast| unicast.peers.is_empty()),
            track_down: self.known(&settings.tracks).any(|(track, value)| track.fails(value)),
            taken_away: self.taken_away,
            refused: self.refused,
            maintenance: self.steering.maintenance,
        }
    }

    pub(super) fn priority(&self, settings: &ElectionSettings) -> Priority {
        let adds = self.known(&settings.tracks).map(|(track, value)| track.adds(value));
        self.steering.priority(settings.priority, adds.fold(0, i32::saturating_add))
    }

    fn known<'a>(&'a self, tracks: &'a [TrackSettings]) -> impl Iterator<Item = (&'a TrackSettings, i32)> {
        tracks.iter().zip(&self.results).filter_map(|(track, result)| result.map(|value| (track, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_hold_each_cause() {
        let all = (0..128).map(Faults::of_bits);
        assert!(all.zip(0_u8..).all(|(faults, bits)| faults.bits() == bits));
        assert_eq!(Faults { link_down: true, ..Faults::default() }.bits(), 1);
        assert_eq!(Faults { refused: true, ..Faults::default() }.bits(), 32);
    }
}
