//! Peers of an instance, as their records in the maps have them.

use std::time::Duration;

use vrrp_ebpf::map::{GAP_BUCKETS, Gaps as GapCounts, Peer as PeerEntry};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::narrow;
use vrrp_ebpf::wire::{ChecksumForm, Family};

use super::{Gaps, Peer};
use crate::config::InstanceSettings;
use crate::daemon::auth::Ledger;
use crate::protocol::{Auth, Faults, Interval, Priority, Version, master_down_interval};

/// A peer that was silent for this many of its intervals is no longer master.
pub(super) const PATIENCE: u32 = 4;

/// Shortest time for which findings about adverts of others last: the interval of others may be longer than ours.
const LASTS: Duration = Duration::from_secs(8);

/// Beyond two intervals, so that one lost advert ends no finding.
const LATE: Duration = Duration::from_secs(1);

/// The word of a family in status and metrics.
pub(crate) fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// A peer's address as text.
pub(crate) fn source(peer: &PeerEntry, family: Family) -> String {
    let [a, b, c, d, ..] = peer.source;
    match family {
        Family::V4 => std::net::Ipv4Addr::new(a, b, c, d).to_string(),
        Family::V6 => std::net::Ipv6Addr::from(peer.source).to_string(),
    }
}

pub(crate) fn interval(peer: &PeerEntry) -> Option<Duration> {
    let version = if peer.version == 2 { Version::V2 } else { Version::V3 };
    Interval::from_wire(peer.interval, version).map(Interval::duration)
}

/// The interval that master_down_interval is made of: the master's in version 3, else its own.
pub(crate) fn master_interval(settings: &InstanceSettings, master: Option<&PeerEntry>) -> Interval {
    let learned = master.filter(|_| settings.version == Version::V3);
    let learned = learned.and_then(interval).and_then(|it| Interval::new(it, settings.version).ok());
    learned.unwrap_or(settings.advert_interval)
}

/// master_down_interval of an instance with this effective priority and master.
pub(crate) fn down_interval(
    settings: &InstanceSettings,
    priority: Priority,
    master: Option<&PeerEntry>,
) -> Duration {
    let interval = master_interval(settings, master);
    master_down_interval(settings.version, priority, interval, settings.down_timer_adverts)
}

/// The best of the heard peers: the one that a backup obeys once an election has settled.
pub(crate) fn master(peers: &[PeerEntry], now: Timestamp) -> Option<&PeerEntry> {
    peers.iter().filter(|peer| is_heard(peer, now)).max_by_key(|peer| (peer.priority, peer.source))
}

/// Whether the peer is still master, as only masters send adverts.
pub(super) fn is_heard(peer: &PeerEntry, now: Timestamp) -> bool {
    let silence = now.since(Timestamp::from_nanos(peer.last_seen));
    peer.priority > 0 && interval(peer).is_some_and(|interval| silence <= interval * PATIENCE)
}

/// How far the clock of a peer whose adverts are signed is ahead of ours, in µs.
pub(crate) fn skew(settings: &InstanceSettings, ledger: Option<&Ledger>, peer: &PeerEntry) -> Option<i64> {
    let source = narrow(settings.family, peer.source);
    let ledger = ledger.filter(|_| matches!(settings.auth, Auth::Hmac(_)))?;
    ledger.notes().find(|note| note.mark.source == source)?.skew
}

/// Skew in seconds, for display.
pub(crate) fn skew_seconds(micros: i64) -> f64 {
    Duration::from_micros(micros.unsigned_abs()).as_secs_f64().copysign(if micros < 0 { -1.0 } else { 1.0 })
}

/// For how long a failure to send lasts: it is reported once a second, while each advert fails. In Fault for it, a
/// trial every five seconds renews it.
pub(super) fn failure_lasts(settings: &InstanceSettings, faults: Faults) -> Duration {
    if faults.refused {
        lasts(settings)
    } else {
        (settings.advert_interval.duration() * 2 + LATE).max(LATE * 2)
    }
}

/// For how long a refusal of adverts lasts: at most ten seconds with intervals of up to 4.5 s, as each advert renews
/// it.
pub(in crate::daemon) fn lasts(settings: &InstanceSettings) -> Duration {
    (settings.advert_interval.duration() * 2 + LATE).max(LASTS)
}

/// A sender as the status shows it. Its clock may be ahead of ours by `skew`, in µs.
pub(super) fn shown(
    peer: &PeerEntry,
    gaps: &GapCounts,
    near_misses: u64,
    settings: &InstanceSettings,
    skew: Option<i64>,
    now: Timestamp,
) -> Peer {
    let seconds = |nanos| Duration::from_nanos(nanos).as_secs_f64();
    let counted: u64 = gaps.counts.iter().map(|count| u64::from(*count)).sum();
    Peer {
        address: source(peer, settings.family),
        priority: peer.priority,
        version: peer.version,
        advert_interval_seconds: interval(peer).map(|interval| interval.as_secs_f64()),
        checksum: match ChecksumForm::of(peer.checksum) {
            ChecksumForm::Plain => "plain",
            ChecksumForm::Pseudo => "pseudo",
        }
        .to_owned(),
        adverts: peer.adverts,
        last_advert_seconds: now.since(Timestamp::from_nanos(peer.last_seen)).as_secs_f64(),
        jitter_seconds: seconds(peer.jitter),
        gap_max_seconds: seconds(peer.gap_max),
        clock_skew_seconds: skew.map(skew_seconds),
        clock_skew_alarm: match &settings.auth {
            Auth::Hmac(hmac) => skew.is_some_and(|skew| hmac.is_near_the_edge(skew)),
            _ => false,
        },
        gap_mean_seconds: peer.gap_sum.checked_div(counted).map(seconds),
        near_misses,
        gaps: gaps
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(bucket, &count)| Gaps { below_seconds: gap_bound(bucket).map(seconds), count })
            .collect(),
    }
}

/// Upper bound of a bucket of gaps, in ns; `None` for the last one.
fn gap_bound(bucket: usize) -> Option<u64> {
    (bucket + 1 < GAP_BUCKETS).then(|| 1024_u64 << (bucket + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Vrid;

    #[test]
    fn the_master_is_the_best_peer_that_is_heard() {
        let peer = |source, priority, last_seen| {
            let mut peer = PeerEntry { priority, last_seen, interval: 100, version: 3, ..PeerEntry::FREE };
            peer.source[0] = source;
            peer
        };
        let second = 1_000_000_000;
        let now = Timestamp::from_nanos(100 * second);
        let peers = [peer(1, 200, 95 * second), peer(2, 100, 99 * second), peer(3, 100, 99 * second)];
        assert_eq!(master(&peers, now).map(|peer| peer.source[0]), Some(3));
        assert!(master(&[peer(1, 0, 100 * second)], now).is_none());
    }

    #[test]
    fn a_failure_to_send_lasts_until_the_next_one_would_be_reported() {
        let lasts = |millis, faults| {
            let interval = Interval::new(Duration::from_millis(millis), Version::V3);
            let vrid = Vrid::new(1).expect("a VRID");
            let settings = InstanceSettings {
                advert_interval: interval.expect("an interval"),
                ..InstanceSettings::new("web", "eth0", vrid, Family::V4)
            };
            failure_lasts(&settings, faults).as_secs_f64()
        };
        let refused = Faults { refused: true, ..Faults::default() };
        assert_eq!([100, 1000, 4000].map(|millis| lasts(millis, Faults::default())), [2.0, 3.0, 9.0]);
        assert_eq!([100, 4000].map(|millis| lasts(millis, refused)), [8.0, 9.0]);
    }
}
