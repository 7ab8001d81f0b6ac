//! Collection of a [`Status`] from its sources.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use vrrp_ebpf::map::{Counter, Counters, GAP_BUCKETS, Peer as PeerEntry};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::narrow;
use vrrp_ebpf::wire::{ChecksumForm, Family, Reject};

use super::oddity::{Strangers, named};
use super::why::{self, Facts};
use super::{
    Address, Check, Configuration, Count, Counts, Deaf, Engine, Failure, Fence, Gaps, Group, Held, Hook,
    Instance, Interface, Lacking, Lateness, Mail, Node, Passed, Peer, PriorityPair, Sources, Status, Tracked,
    Vmac, Webhook,
};
use crate::config;
use crate::daemon::board::{self, GroupBoard, InstanceBoard};
use crate::daemon::queue::Lack;
use crate::daemon::record::{HookRun, Inner, InstanceRecord, Posts};
use crate::daemon::wall::rfc3339;
use crate::driver::{addresses, clock};
use crate::protocol::{
    self, Auth, GroupId, InstanceId, InstanceSettings, Interval, State, Track, TrackSettings, Version,
};

/// A peer that was silent for this many of its intervals is no longer master.
const PATIENCE: u32 = 4;

/// Shortest time for which findings about adverts last: the interval of others may be longer than ours.
const LASTS: Duration = Duration::from_secs(10);

/// Addresses of this host, each with its interface.
type Present = HashMap<IpAddr, String>;

impl Sources {
    /// Takes a system call per instance if a program counts; for ordinary threads only.
    pub fn status(&self) -> Status {
        let now = clock::now();
        let strangers = self.maps.strangers();
        let present = addresses::present().ok().map(|all| all.into_iter().collect::<Present>());
        let record = self.record.read();
        Status {
            node: self.node(&record, now),
            configuration: self.configuration(&record, now),
            engine: self.engine(),
            fence: self.fence(&record),
            interfaces: record
                .rungs
                .iter()
                .map(|(name, note)| Interface {
                    name: name.to_string(),
                    rung: note.rung.as_str().to_owned(),
                    why: some_text(&note.why),
                })
                .collect(),
            instances: self
                .instances()
                .map(|(config, board)| {
                    self.instance(config, board, &record, &strangers, present.as_ref(), now)
                })
                .collect(),
            groups: self.groups(&record, now),
            checks: self.config.checks.iter().map(|script| check(script, &record, now)).collect(),
            strangers: named(&strangers, now),
            mail: self.config.globals.mail.as_ref().map(|settings| mail(settings, &record)),
            webhooks: record.webhooks.iter().map(|(name, posts)| webhook(name, posts)).collect(),
        }
    }

    fn configuration(&self, record: &Inner, now: Timestamp) -> Configuration {
        let loads = &record.loads;
        let start =
            || SystemTime::now().checked_sub(now.since(self.started)).unwrap_or(SystemTime::UNIX_EPOCH);
        Configuration {
            loaded: rfc3339(loads.at.unwrap_or_else(start)),
            reloads: loads.reloaded,
            refused: loads.refused,
            stale_since: loads.stale.as_ref().map(|stale| rfc3339(stale.since)),
            findings: loads.stale.as_ref().map(|stale| stale.findings.clone()).unwrap_or_default(),
        }
    }

    fn node(&self, record: &Inner, now: Timestamp) -> Node {
        let realtime = record.realtime.as_ref();
        Node {
            router_id: self.router_id.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            time: rfc3339(SystemTime::now()),
            uptime_seconds: now.since(self.started).as_secs_f64(),
            realtime: realtime.map(|realtime| realtime.scheduled),
            memory_locked: realtime.map(|realtime| realtime.memory_locked),
            realtime_note: realtime.and_then(|realtime| some_text(&realtime.why)),
        }
    }

    fn fence(&self, record: &Inner) -> Fence {
        Fence { guard: record.guard, pinned: record.unpinned.is_none(), note: record.unpinned.clone() }
    }

    fn engine(&self) -> Engine {
        Engine {
            turns: self.board.turns.load(Relaxed),
            away: self.board.away.load(Relaxed),
            effect_errors: self.board.effect_errors.load(Relaxed),
            lateness: lateness(&self.board.engine_lateness),
        }
    }

    fn instance(
        &self,
        config: &config::Instance,
        board: &InstanceBoard,
        record: &Inner,
        strangers: &Strangers,
        present: Option<&Present>,
        now: Timestamp,
    ) -> Instance {
        let (id, settings) = (config.id, &config.settings);
        let past = record.instance(id);
        let latest = past.and_then(|past| past.history.back());
        let since = Timestamp::from_nanos(board.since.load(Relaxed));
        let peers: Vec<PeerEntry> = self.maps.peers(id.0).map(|(_, peer)| peer).collect();
        let master = (board.state() == State::Backup).then(|| master(&peers, now)).flatten();
        Instance {
            name: settings.name.to_string(),
            interface: settings.interface.to_string(),
            vmacs: settings.vmacs.all().map(|vmac| self::vmac(vmac, record)).collect(),
            vrid: settings.vrid.number(),
            family: family(settings.family).to_owned(),
            version: settings.version as u8,
            state: board.state().as_str().to_owned(),
            reason: board.reason().as_str().to_owned(),
            why: self.why(&Facts { config, board, record, master, now }),
            faults: why::words(board.faults()),
            since: latest.map(|passed| rfc3339(passed.at)),
            since_seconds: (since != Timestamp::ZERO).then(|| now.since(since).as_secs_f64()),
            epoch: board.epoch.load(Relaxed),
            priority: PriorityPair {
                configured: settings.priority.0,
                effective: if since == Timestamp::ZERO { settings.priority.0 } else { board.priority().0 },
            },
            advert_interval_seconds: settings.advert_interval.duration().as_secs_f64(),
            lease_seconds: self.lease(id, now).map(|lease| lease.as_secs_f64()),
            fenced: board.fenced.load(Relaxed),
            master: master.map(|peer| source(peer, settings.family)),
            peers: peers
                .iter()
                .map(|peer| self::peer(peer, settings, skew(settings, board, peer), now))
                .collect(),
            differences: self.differing_from(config, board, now),
            rejected: self.rejected_by(config, board, strangers, now),
            deaf: past
                .and_then(|past| past.amiss)
                .map(|amiss| Deaf { who: amiss.who().to_owned(), detail: amiss.to_string() }),
            addresses: addresses(config, present),
            removed_by: past.and_then(|past| past.culprit.as_ref()).map(ToString::to_string),
            lacks: past.map(|past| past.lacks.iter().map(lacking).collect()).unwrap_or_default(),
            paths_left_alone: past.is_some_and(|past| past.is_abandoned),
            send_error: past
                .and_then(|past| past.send_failure)
                .filter(|(at, _)| now.since(*at) <= lasts(settings))
                .map(|(_, errno)| Errno::from_raw(errno).desc().to_owned()),
            tracks: settings.tracks.iter().map(|track| tracked(track, record)).collect(),
            hooks: past.map(|past| hooks(&past.hooks)).unwrap_or_default(),
            counters: counts(board, &self.maps.counters(Some(id.0))),
            history: past.map(history).unwrap_or_default(),
        }
    }

    /// The rest of an instance's lease.
    pub(crate) fn lease(&self, id: InstanceId, now: Timestamp) -> Option<Duration> {
        self.maps.lease(id.0).filter(|until| *until > now).map(|until| until.since(now))
    }

    fn groups(&self, record: &Inner, now: Timestamp) -> Vec<Group> {
        let groups = self.config.groups.iter().zip(&self.board.groups).zip((0..).map(GroupId));
        let group = |((config, board), id): ((&config::Group, &GroupBoard), GroupId)| {
            let past = record.groups.get(&id);
            let since = Timestamp::from_nanos(board.since.load(Relaxed));
            let members = config.settings.members.iter();
            let members = members.filter_map(|member| self.config.instance(*member));
            Group {
                name: config.settings.name.to_string(),
                state: board.state().as_str().to_owned(),
                reason: board.reason().as_str().to_owned(),
                since: past.and_then(|past| past.since).map(rfc3339),
                since_seconds: (since != Timestamp::ZERO).then(|| now.since(since).as_secs_f64()),
                epoch: board.epoch.load(Relaxed),
                members: members.map(|member| member.settings.name.to_string()).collect(),
                hooks: past.map(|past| hooks(&past.hooks)).unwrap_or_default(),
            }
        };
        groups.map(group).collect()
    }
}

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

/// Valid adverts of others, including those that were lost afterwards.
pub(crate) fn received(counters: &Counters) -> u64 {
    let heard = [Counter::Steady, Counter::Event, Counter::RingFull].map(|word| counters.counter(word));
    // The daemon refuses these after the program has let them through.
    let refused =
        [Reject::AuthMalformed, Reject::AuthKey, Reject::AuthHmac, Reject::AuthStale, Reject::AuthReplay];
    let refused = refused.map(|word| counters.reject(word));
    heard.iter().sum::<u64>().saturating_sub(refused.iter().sum())
}

/// Upper bound of a bucket of gaps, in ns; `None` for the last one.
pub(crate) fn gap_bound(bucket: usize) -> Option<u64> {
    (bucket + 1 < GAP_BUCKETS).then(|| 1024_u64 << (bucket + 1))
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn lateness(lateness: &board::Lateness) -> Lateness {
    let buckets: Vec<u64> = lateness.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
    let count: u64 = buckets.iter().sum();
    // The bound below which the given share of samples lies.
    let quantile = |percent: u64| {
        let wanted = (count * percent).div_ceil(100);
        let mut below = 0;
        let bucket = buckets.iter().position(|samples| {
            below += samples;
            count > 0 && below >= wanted
        })?;
        (bucket + 1 < buckets.len()).then(|| 1 << bucket)
    };
    Lateness {
        count,
        p50_microseconds: quantile(50),
        p99_microseconds: quantile(99),
        max_microseconds: lateness.max_nanos.load(Relaxed) / 1000,
    }
}

pub(crate) fn interval(peer: &PeerEntry) -> Option<Duration> {
    let version = if peer.version == 2 { Version::V2 } else { Version::V3 };
    Interval::from_wire(peer.interval, version).map(Interval::duration)
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
pub(crate) fn skew(settings: &InstanceSettings, board: &InstanceBoard, peer: &PeerEntry) -> Option<i64> {
    let source = narrow(settings.family, peer.source);
    let ledger = board.ledger.get().filter(|_| matches!(settings.auth, Auth::Hmac(_)))?;
    ledger.notes().find(|note| note.mark.source == source)?.skew
}

/// Skew in seconds, for display.
pub(crate) fn skew_seconds(micros: i64) -> f64 {
    Duration::from_micros(micros.unsigned_abs()).as_secs_f64().copysign(if micros < 0 { -1.0 } else { 1.0 })
}

fn peer(peer: &PeerEntry, settings: &InstanceSettings, skew: Option<i64>, now: Timestamp) -> Peer {
    let seconds = |nanos| Duration::from_nanos(nanos).as_secs_f64();
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
        gaps: peer
            .gaps
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(bucket, &count)| Gaps { below_seconds: gap_bound(bucket).map(seconds), count })
            .collect(),
    }
}

/// For how long a finding about adverts lasts: a refusal, or a failure to send.
pub(super) fn lasts(settings: &InstanceSettings) -> Duration {
    (settings.advert_interval.duration() * PATIENCE).max(LASTS)
}

fn lacking(lack: &Lack) -> Lacking {
    Lacking { object: lack.object.to_string(), error: lack.refusal.plain() }
}

fn vmac(vmac: &protocol::Vmac, record: &Inner) -> Vmac {
    let interface = vmac.name.as_arc();
    Vmac {
        interface: interface.to_string(),
        parent: vmac.parent.to_string(),
        mac: vmac.mac.map(|octet| format!("{octet:02x}")).join(":"),
        missing: record.missing_vmacs.get(interface).cloned(),
    }
}

fn addresses(config: &config::Instance, present: Option<&Present>) -> Vec<Address> {
    let addresses = &config.settings.addresses;
    let address = |entry: &protocol::VirtualAddress| Address {
        address: format!("{}/{}", entry.address, entry.prefix),
        set: present.map(|present| present.contains_key(&entry.address)),
        interface: present.and_then(|present| present.get(&entry.address).cloned()),
    };
    addresses.advertised.iter().chain(&addresses.excluded).map(address).collect()
}

pub(super) fn tracked(track: &TrackSettings, record: &Inner) -> Tracked {
    let (kind, name, up) = match &track.track {
        Track::Script(name) => ("script", name, record.check(track.id).map(|round| round.up)),
        Track::Process(name) => ("process", name, record.check(track.id).map(|round| round.up)),
        Track::File(name) => {
            let round = record.check(track.id);
            ("file", name, round.map(|round| !track.fails(round.result())))
        }
        Track::Interface(name) => ("interface", name, record.links.get(&track.id).copied()),
    };
    Tracked {
        name: name.to_string(),
        kind: kind.to_owned(),
        weight: track.weight.0,
        reverse: track.reverse,
        up,
    }
}

fn hooks(latest: &BTreeMap<&'static str, HookRun>) -> Vec<Hook> {
    let hook = |(keyword, hook): (&&'static str, &HookRun)| Hook {
        keyword: (*keyword).to_owned(),
        state: hook.state.to_owned(),
        ended: hook.run.end.to_string(),
        success: hook.run.end.is_success(),
        lasted_seconds: hook.run.lasted.as_secs_f64(),
        started: rfc3339(hook.at),
    };
    latest.iter().map(hook).collect()
}

fn counts(board: &InstanceBoard, counters: &Counters) -> Counts {
    let takeover = board.takeover_nanos.load(Relaxed);
    let count = |word: &str, count| (count > 0).then(|| Count { word: word.to_owned(), count });
    Counts {
        adverts_sent: board.adverts_sent.load(Relaxed),
        releases_sent: board.release_sent.load(Relaxed),
        send_errors: board.send_errors.load(Relaxed),
        announcements_sent: board.announcements_sent.load(Relaxed),
        adverts_received: received(counters),
        contests: board.contests.load(Relaxed),
        dual_master_seconds: Duration::from_nanos(board.dual_master_nanos()).as_secs_f64(),
        takeover_seconds: (takeover > 0).then(|| Duration::from_nanos(takeover).as_secs_f64()),
        received: Counter::ALL
            .iter()
            .filter_map(|&word| count(word.as_str(), counters.counter(word)))
            .collect(),
        rejects: Reject::ALL.iter().filter_map(|&word| count(word.as_str(), counters.reject(word))).collect(),
    }
}

fn history(past: &InstanceRecord) -> Vec<Passed> {
    let passed = |passed: &crate::daemon::record::Passed| Passed {
        at: rfc3339(passed.at),
        from: passed.transition.from.as_str().to_owned(),
        to: passed.transition.to.as_str().to_owned(),
        reason: passed.transition.reason.as_str().to_owned(),
        priority: passed.transition.priority.0,
        epoch: passed.transition.epoch.0,
        peer: passed.transition.peer.map(|peer| peer.to_string()),
    };
    past.history.iter().map(passed).collect()
}

fn check(script: &config::CheckSettings, record: &Inner, now: Timestamp) -> Check {
    let latest = record.checks.get(&script.id);
    let round = record.check(script.id);
    let held = round.and_then(|round| round.held);
    Check {
        name: script.name.to_string(),
        kind: script.target.kind().to_owned(),
        up: round.map(|round| round.up),
        noticed_by: round.map(|round| round.by.as_str().to_owned()),
        runs: round.map_or(0, |round| round.runs),
        ended: round.map(|round| round.outcome.to_string()),
        exit_code: round.and_then(|round| round.outcome.exit_code()),
        lasted_seconds: round.map(|round| round.lasted.as_secs_f64()),
        output: round.and_then(|round| round.printed.as_deref()).map(str::to_owned),
        held: held.map(|held| Held {
            reason: held.cause.as_str().to_owned(),
            seconds: held.until.since(now).as_secs_f64(),
        }),
        skipped: latest.and_then(|latest| latest.skipped.as_deref()).map(str::to_owned),
    }
}

fn mail(settings: &config::MailSettings, record: &Inner) -> Mail {
    let mails = &record.mails;
    let failure = mails.failure.as_ref();
    Mail {
        server: settings.server.to_string(),
        waiting: mails.waiting,
        sent: mails.sent,
        failed: mails.failed,
        lost: mails.lost,
        latest_failure: failure.map(|(at, why)| Failure { at: rfc3339(*at), why: why.clone() }),
    }
}

fn webhook(name: &str, posts: &Posts) -> Webhook {
    let failure = posts.failure.as_ref();
    Webhook {
        webhook: name.to_owned(),
        waiting: posts.waiting,
        sent: posts.sent,
        failed: posts.failed,
        superseded: posts.superseded,
        lost: posts.lost,
        refusals: posts.refusals,
        latest_status: posts.status,
        latest_failure: failure.map(|(at, why)| Failure { at: rfc3339(*at), why: why.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds_of_buckets() {
        let kept = board::Lateness::default();
        assert_eq!(lateness(&kept).p50_microseconds, None);
        for micros in [0, 3, 3, 3, 3, 3, 3, 3, 3, 100] {
            kept.record(Duration::from_micros(micros));
        }
        let shown = lateness(&kept);
        assert_eq!((shown.count, shown.p50_microseconds, shown.p99_microseconds), (10, Some(4), Some(128)));
        assert_eq!(shown.max_microseconds, 100);
        kept.record(Duration::from_secs(60));
        assert_eq!(lateness(&kept).p99_microseconds, None);
    }

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
}
