//! Texts about what an instance tracks, and about its latest transitions.

use super::table::result;
use super::{Instance, PastTransition, Status, Tracked};
use crate::daemon::wall::shown_of;

/// Transitions of the whole node that are shown.
const LATEST: usize = 20;

impl Tracked {
    /// Whether its present result counts as failed.
    pub(super) fn is_down(&self) -> bool {
        match self.kind.as_str() {
            // Whether it is reversed is part of the result.
            "file" => self.up == Some(false),
            _ => self.up == Some(self.reverse),
        }
    }

    /// A check may be no script.
    pub(super) fn kind_shown(&self) -> &str {
        if self.kind == "script" { "check" } else { &self.kind }
    }

    /// The effect of its present result, and what another result would do.
    pub(super) fn effect(&self) -> String {
        let reverse = if self.reverse { " reverse" } else { "" };
        let failing = match (self.kind.as_str(), self.reverse) {
            ("file", false) => "FAULT while it holds another number than 0",
            ("file", true) => "FAULT while it holds 0",
            (_, false) => "FAULT while down",
            (_, true) => "FAULT while up",
        };
        match (self.weight, self.adds) {
            (0, _) if self.is_down() => "keeps it in FAULT".to_owned(),
            (0, _) => failing.to_owned(),
            (weight, None) => format!("weight {weight}{reverse}"),
            (weight, Some(0)) => format!("weight {weight}{reverse}: adds nothing now"),
            (weight, Some(adds)) if adds > 0 => format!("weight {weight}{reverse}: adds {adds} now"),
            (weight, Some(adds)) => format!("weight {weight}{reverse}: takes {} now", adds.unsigned_abs()),
        }
    }

    /// For a line behind its name.
    pub(super) fn text(&self) -> String {
        format!("{}, {}; {}", self.kind_shown(), result(self.up), self.effect())
    }
}

impl PastTransition {
    /// For a line behind its time.
    pub(super) fn text(&self) -> String {
        let Self { from, to, reason, priority, peer, .. } = self;
        let peer = peer.as_ref().map(|peer| format!(", peer {peer}")).unwrap_or_default();
        format!("{from} -> {to} ({reason}), priority {priority}{peer}")
    }
}

/// Rows of what each instance tracks.
pub(super) fn rows(instance: &Instance) -> impl Iterator<Item = [String; 5]> {
    instance.tracks.iter().map(|track| {
        [
            track.name.clone(),
            instance.name.clone(),
            track.kind_shown().to_owned(),
            result(track.up).to_owned(),
            track.effect(),
        ]
    })
}

/// Rows of the latest transitions of all instances, the latest first.
pub(super) fn latest(status: &Status) -> Vec<[String; 3]> {
    let of = |instance: &'_ Instance| {
        let name = instance.name.clone();
        instance.history.clone().into_iter().map(move |past| (past, name.clone()))
    };
    let mut all: Vec<_> = status.instances.iter().flat_map(of).collect();
    // Times of RFC 3339 in UTC, all of one length. Of one instant, a later transition stands behind.
    all.reverse();
    all.sort_by(|(one, _), (other, _)| other.at.cmp(&one.at));
    all.truncate(LATEST);
    all.into_iter().map(|(past, name)| [shown_of(&past.at), name, past.text()]).collect()
}
