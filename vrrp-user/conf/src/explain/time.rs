//! Election times that follow from the settings.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::track::{Effect, Tracked};
use crate::InstanceSettings;
use vrrp_proto::{master_down_interval, skew};

/// Computed with the advert interval of the file; in version 3 a backup uses the master's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Timers {
    #[serde(rename = "advert_interval_seconds", serialize_with = "seconds")]
    pub advert_interval: Duration,
    /// (256 − priority)/256 of the interval, of one second in version 2.
    #[serde(rename = "skew_seconds", serialize_with = "seconds")]
    pub skew: Duration,
    #[serde(rename = "master_down_interval_seconds", serialize_with = "seconds")]
    pub master_down_interval: Duration,
}

/// Time from an event at the master until this node has taken over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Takeover {
    /// The event at the master.
    pub after: String,
    /// `None` if this node does not take over.
    pub within: Option<TimeRange>,
    /// A qualification.
    pub remark: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TimeRange {
    #[serde(rename = "least_seconds", serialize_with = "seconds")]
    pub least: Duration,
    #[serde(rename = "most_seconds", serialize_with = "seconds")]
    pub most: Duration,
}

impl Timers {
    pub(super) fn of(settings: &InstanceSettings) -> Self {
        let InstanceSettings { version, priority, advert_interval, down_timer_adverts, .. } = *settings;
        Self {
            advert_interval: advert_interval.duration(),
            skew: skew(version, priority, advert_interval),
            master_down_interval: master_down_interval(
                version,
                priority,
                advert_interval,
                down_timer_adverts,
            ),
        }
    }
}

pub(super) fn takeovers(settings: &InstanceSettings, tracked: &[Tracked]) -> Vec<Takeover> {
    let Timers { advert_interval, skew, master_down_interval } = Timers::of(settings);
    // The last advert was sent at some time within the interval before.
    let silence = TimeRange { least: master_down_interval - advert_interval, most: master_down_interval };
    let takeover = |after: &str, within| Takeover { after: after.to_owned(), within, remark: None };
    let mut takeovers = vec![
        takeover("its host dies", Some(silence)),
        takeover("it is stopped cleanly", Some(TimeRange { least: skew, most: skew })),
    ];
    for track in tracked.iter().filter(|track| track.reaction != Some(Effect::None)) {
        let found =
            track.rhythm.map_or(TimeRange { least: Duration::ZERO, most: Duration::ZERO }, |it| it.found());
        let more = match track.reaction {
            Some(Effect::Fault) => Some(TimeRange { least: skew, most: skew }),
            _ if !settings.preempt => None,
            // This node ignores the lowered priority, and the deadline of the previous advert stays.
            _ => Some(TimeRange {
                least: silence.least + settings.preempt_delay,
                most: silence.most + settings.preempt_delay,
            }),
        };
        takeovers.push(Takeover {
            after: format!("its `{}` fails", track.name),
            within: more
                .map(|more| TimeRange { least: found.least + more.least, most: found.most + more.most }),
            remark: match (more, track.rhythm) {
                (None, _) => Some("because `nopreempt` leaves a lowered master alone".to_owned()),
                (Some(more), Some(rhythm)) => Some(format!(
                    "up to {} if it hangs until its `timeout`",
                    super::value::span(rhythm.found_hanging() + more.most)
                )),
                (Some(_), None) => None,
            },
        });
    }
    takeovers
}

/// For display only; no calculation uses the float.
pub(super) fn seconds<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64())
}
