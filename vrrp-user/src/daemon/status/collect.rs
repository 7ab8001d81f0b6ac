//! Collection of a [`Status`] from the daemon's context.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use vrrp_ebpf::map::{Counter, Counters, Peer as PeerEntry};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Reject;

use super::address::Host;
use super::peer::{self, down_interval, failure_lasts, family, master, skew, source};
use super::rejected::Refusals;
use super::unyielding::unyielding;
use super::why::{self, Facts};
use super::wire_records::named;
use super::{
    Check, Configuration, Count, Counts, DaemonContext, DisabledScript, Engine, Failure, Fence, Fifo, Group,
    Held, Hook, HostFault, Instance, Interface, Lacking, Lateness, Leftover, Mail, Node, PastTransition,
    PriorityPair, ReceptionFault, SCHEMA, SlowHook, StaticSettings, Status, Steering, Tracked, UnwrittenFile,
    Vmac, Webhook, XdpProgram,
};
use crate::config;
use crate::daemon::events::{EventKind, EventWord};
use crate::daemon::history::{
    ConfigurationLoads, HISTORY, HookRun, Inner, InstanceRecord, Posts, RunningHook,
};
use crate::daemon::live::{self, LiveGroup, LiveInstance};
use crate::daemon::process::preflight::Disabled;
use crate::daemon::queue::Lack;
use crate::daemon::wall::rfc3339;
use crate::driver::causes;
use crate::driver::clock;
use crate::driver::maps::WatchedMessages;
use crate::protocol::{GroupId, InstanceId, State, TrackSettings, TrackedObject};

/// For how long a process that has removed something counts as a problem: what it removed is set again at once.
const REMOVAL_LASTS: Duration = Duration::from_secs(10);

impl DaemonContext {
    /// Takes a system call per instance if a program counts; for ordinary threads only.
    pub fn status(&self) -> Status {
        let now = clock::now();
        let refusals = self.refusals();
        let host = Host::read(self);
        let history = self.history.read();
        Status {
            schema: SCHEMA,
            node: self.node(&history, now),
            configuration: self.configuration(&history, now),
            engine: self.engine(),
            fence: self.fence(&history),
            interfaces: history
                .rx_paths
                .iter()
                .map(|(name, note)| Interface {
                    name: name.to_string(),
                    receive_path: note.rx_path.as_str().to_owned(),
                    why: some_text(&note.why),
                    hidden_by: history
                        .hidden_by
                        .get(name)
                        .map(|it| XdpProgram { id: it.id, name: it.name.clone() }),
                })
                .collect(),
            instances: self
                .instances()
                .map(|(config, live)| self.instance(config, live, &history, &refusals, &host, now))
                .collect(),
            leftovers: self.leftovers(&history),
            statics: StaticSettings::of(&history.statics),
            groups: self.groups(&history, now),
            checks: self.config.checks.iter().map(|script| check(script, &history, now)).collect(),
            disabled_scripts: history.disabled.iter().map(disabled).collect(),
            unwritten: self.unwritten(),
            host_faults: self.host_faults(),
            unknown_routers: named(&refusals.unknown_routers, now),
            fifos: history
                .fifos
                .iter()
                .map(|(path, it)| Fifo { path: path.to_string(), lost: it.lost, fault: it.fault.clone() })
                .collect(),
            mail: self.config.globals.mail.as_ref().map(|settings| mail(settings, &history)),
            webhooks: history
                .webhooks
                .iter()
                .map(|(name, posts)| webhook(name, posts, &history.loads))
                .collect(),
        }
    }

    fn leftovers(&self, history: &Inner) -> Vec<Leftover> {
        let records = history.records().filter(|(id, _)| self.config.instance(*id).is_none());
        let leftovers = records.flat_map(|(_, record)| {
            record.leftovers.iter().map(|it| {
                let Lacking { object, error } = lacking(it);
                Leftover { instance: record.left_as.to_string(), object, error }
            })
        });
        leftovers.collect()
    }

    fn unwritten(&self) -> Vec<UnwrittenFile> {
        let all = self.history.unwritten.all().into_iter();
        all.map(|(file, error)| UnwrittenFile { file: file.to_owned(), error }).collect()
    }

    fn host_faults(&self) -> Vec<HostFault> {
        let all = self.history.host_faults.all().into_iter();
        all.map(|it| HostFault { about: it.about, detail: it.text }).collect()
    }

    fn configuration(&self, history: &Inner, now: Timestamp) -> Configuration {
        let loads = &history.loads;
        let start =
            || SystemTime::now().checked_sub(now.since(self.started)).unwrap_or(SystemTime::UNIX_EPOCH);
        Configuration {
            loaded: rfc3339(loads.at.unwrap_or_else(start)),
            reloads: loads.reloaded,
            refused: loads.refused,
            stale_since: loads.stale.as_ref().map(|stale| rfc3339(stale.since)),
            stale_cause: loads.stale.as_ref().map(|stale| stale.cause.as_str().to_owned()),
            findings: loads.stale.as_ref().map(|stale| stale.findings.clone()).unwrap_or_default(),
            keep_by: loads.keep_by.map(rfc3339),
            left_out: loads.left_out.clone(),
        }
    }

    fn node(&self, history: &Inner, now: Timestamp) -> Node {
        let realtime = history.realtime.as_ref();
        Node {
            router_id: self.router_id.to_string(),
            is_bridge: history.is_bridge,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            time: rfc3339(SystemTime::now()),
            uptime_seconds: now.since(self.started).as_secs_f64(),
            realtime: realtime.map(|realtime| realtime.scheduled),
            memory_locked: realtime.map(|realtime| realtime.memory_locked),
            realtime_note: realtime.and_then(|realtime| some_text(&realtime.why)),
            log: history.steerings.log.as_ref().map(Steering::of_log),
        }
    }

    fn fence(&self, history: &Inner) -> Fence {
        Fence {
            guard: history.guard,
            guard_fault: history.guard_fault.clone(),
            pinned: history.unpinned.is_none(),
            note: history.unpinned.clone(),
        }
    }

    fn engine(&self) -> Engine {
        Engine {
            turns: self.live.turns.load(Relaxed),
            suspensions: self.live.suspensions.load(Relaxed),
            effect_errors: self.live.effect_errors.load(Relaxed),
            lateness: lateness(&self.live.engine_lateness),
        }
    }

    fn instance(
        &self,
        config: &config::Instance,
        live: &LiveInstance,
        history: &Inner,
        refusals: &Refusals<'_>,
        host: &Host,
        now: Timestamp,
    ) -> Instance {
        let (id, settings) = (config.id, &config.settings);
        let past = history.instance(id);
        let latest = past.and_then(|past| past.history.back());
        let failure = past.and_then(|past| past.send_failure);
        let unsent = failure.filter(|(at, _)| now.since(*at) <= failure_lasts(settings, live.faults()));
        let unsent = unsent.map(|(_, errno)| errno);
        let since = Timestamp::from_nanos(live.since.load(Relaxed));
        let (places, peers): (Vec<u32>, Vec<PeerEntry>) = self.maps.peers(id).unzip();
        let master = (live.state() == State::Backup).then(|| master(&peers, now)).flatten();
        let takes_over = self.takes_over(config, live, master, now).map(|at| at.since(now));
        let ledger = self.live.ledger(id).map(|it| &**it);
        Instance {
            name: settings.name.to_string(),
            interface: settings.interface.to_string(),
            vmacs: settings.vmacs.all().map(|vmac| self::vmac(vmac, history)).collect(),
            vrid: settings.vrid.number(),
            family: family(settings.family).to_owned(),
            version: settings.version as u8,
            state: live.state().as_str().to_owned(),
            reason: live.reason().as_str().to_owned(),
            why: self.why(&Facts { config, live, history, master, peers: &peers, takes_over, now }),
            faults: why::words(live.faults()),
            since: latest.map(|passed| rfc3339(passed.at)),
            since_seconds: (since != Timestamp::ZERO).then(|| now.since(since).as_secs_f64()),
            epoch: live.epoch.load(Relaxed),
            priority: PriorityPair {
                configured: settings.priority.0,
                effective: if since == Timestamp::ZERO { settings.priority.0 } else { live.priority().0 },
            },
            steering: Steering::of(history, &settings.name),
            advert_interval_seconds: settings.advert_interval.duration().as_secs_f64(),
            down_timer_adverts: settings.down_timer_adverts,
            lease_seconds: self.lease(id, now).map(|lease| lease.as_secs_f64()),
            fenced: live.fenced.load(Relaxed),
            master: master.map(|peer| source(peer, settings.family)),
            takes_over_seconds: takes_over.map(|left| left.as_secs_f64()),
            preempts_seconds: why::preempts_in(live, now).map(|left| left.as_secs_f64()),
            peers: places
                .iter()
                .zip(&peers)
                .map(|(place, peer)| {
                    let (gaps, near_misses) = (self.maps.gaps(id, *place), self.maps.near_misses(id, *place));
                    peer::shown(peer, &gaps, near_misses, settings, skew(settings, ledger, peer), now)
                })
                .collect(),
            differences: self.differing_from(config, live, &mut WatchedMessages::default(), now),
            rejected: self.rejected_by(config, live, refusals, now),
            unyielding: past.and_then(|past| unyielding(config, live, past)),
            reception_fault: past.and_then(|past| past.reception_fault).map(|reception_fault| {
                ReceptionFault {
                    receiver: reception_fault.receiver().to_owned(),
                    detail: reception_fault.described(settings, live.ifindex.load(Relaxed)),
                }
            }),
            addresses: self.addresses(config, live, host, now),
            removed_by: past
                .and_then(|past| past.removed.as_ref())
                .filter(|(at, _)| now.since(*at) <= REMOVAL_LASTS)
                .map(|(_, removed_by)| removed_by.to_string()),
            lacks: past.map(|past| past.lacks.iter().map(lacking).collect()).unwrap_or_default(),
            leftovers: past.map(|past| past.leftovers.iter().map(lacking).collect()).unwrap_or_default(),
            paths_left_alone: past.is_some_and(|past| past.is_abandoned),
            send_error: unsent.map(|errno| Errno::from_raw(errno).desc().to_owned()),
            send_error_cause: unsent
                .filter(|errno| *errno == libc::ENOBUFS)
                .and_then(|_| causes::unsent(settings, live.ifindex.load(Relaxed))),
            tracks: settings.tracks.iter().map(|track| tracked(track, history)).collect(),
            hooks: past.map(|past| hooks(&past.hooks, live.state(), &history.loads)).unwrap_or_default(),
            slow_hook: past.and_then(|past| slow_hook(past.running_hook.as_ref()?, now)),
            counters: counts(live, &self.maps.counters(Some(id))),
            history: past.map(transitions).unwrap_or_default(),
        }
    }

    /// The rest of an instance's lease.
    pub(crate) fn lease(&self, id: InstanceId, now: Timestamp) -> Option<Duration> {
        self.maps.lease(id).filter(|until| *until > now).map(|until| until.since(now))
    }

    /// When a backup becomes master if no advert comes: the adverts that the program compares move the timer later.
    /// `None` once a member of a group waits for the others.
    fn takes_over(
        &self,
        config: &config::Instance,
        live: &LiveInstance,
        master: Option<&PeerEntry>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let timer = live.master_down_at().filter(|_| live.state() == State::Backup)?;
        let patience = down_interval(&config.settings, live.priority(), master);
        let seen = self.maps.last_seen(config.id).map(|seen| seen + patience);
        let at = seen.map_or(timer, |seen| timer.max(seen));
        let is_member = || self.group_of(config.id).is_some();
        (at > now || !is_member()).then_some(at)
    }

    fn groups(&self, history: &Inner, now: Timestamp) -> Vec<Group> {
        let groups = self.config.groups.iter().zip(&self.live.groups).zip((0..).map(GroupId));
        let group = |((config, live), id): ((&config::Group, &LiveGroup), GroupId)| {
            let past = history.groups.get(&id);
            let since = Timestamp::from_nanos(live.since.load(Relaxed));
            let members = config.settings.members.iter();
            let members = members.filter_map(|member| self.config.instance(*member));
            Group {
                name: config.settings.name.to_string(),
                state: live.state().as_str().to_owned(),
                reason: live.reason().as_str().to_owned(),
                since: past.and_then(|past| past.since).map(rfc3339),
                since_seconds: (since != Timestamp::ZERO).then(|| now.since(since).as_secs_f64()),
                epoch: live.epoch.load(Relaxed),
                members: members.map(|member| member.settings.name.to_string()).collect(),
                hooks: past.map(|past| hooks(&past.hooks, live.state(), &history.loads)).unwrap_or_default(),
                slow_hook: past.and_then(|past| slow_hook(past.running_hook.as_ref()?, now)),
            }
        };
        groups.map(group).collect()
    }
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn lateness(lateness: &live::Lateness) -> Lateness {
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

pub(super) fn lacking(lack: &Lack) -> Lacking {
    Lacking { object: lack.object.to_string(), error: lack.refusal.plain() }
}

fn vmac(vmac: &config::Vmac, history: &Inner) -> Vmac {
    let interface = vmac.name.as_arc();
    Vmac {
        interface: interface.to_string(),
        parent: vmac.parent.to_string(),
        mac: vmac.mac.map(|octet| format!("{octet:02x}")).join(":"),
        missing: history.missing_vmacs.get(interface).cloned(),
    }
}

pub(super) fn tracked(track: &TrackSettings, history: &Inner) -> Tracked {
    let round = history.check(track.id);
    let link = history.links.get(&track.id).copied();
    let (up, value) = match &track.object {
        TrackedObject::Script(_) | TrackedObject::Process(_) => {
            (round.map(|round| round.up), round.map(|round| round.result()))
        }
        TrackedObject::File(_) => {
            let value = round.map(|round| round.result());
            (value.map(|value| !track.fails(value)), value)
        }
        TrackedObject::Interface(_) => (link, link.map(i32::from)),
    };
    Tracked {
        name: track.object.name().to_string(),
        kind: track.object.kind().to_owned(),
        weight: track.weight.0,
        reverse: track.reverse,
        up,
        adds: value.map(|value| track.adds(value)),
    }
}

fn hooks(latest: &BTreeMap<&'static str, HookRun>, state: State, loads: &ConfigurationLoads) -> Vec<Hook> {
    let hook = |(keyword, hook): (&&'static str, &HookRun)| Hook {
        keyword: (*keyword).to_owned(),
        state: hook.state.to_owned(),
        ended: hook.run.end.to_string(),
        success: hook.run.end.is_success(),
        lasted_seconds: hook.run.lasted.as_secs_f64(),
        started: rfc3339(hook.at),
        output: hook.printed.clone(),
        // MASTER_RX_LOWER_PRI is within MASTER.
        is_past: !hook.state.starts_with(state.as_str()) || loads.since(hook.at),
    };
    latest.iter().map(hook).collect()
}

pub(super) fn slow_hook(hook: &RunningHook, now: Timestamp) -> Option<SlowHook> {
    hook.is_slow(now).then(|| SlowHook {
        keyword: hook.keyword.to_owned(),
        state: hook.state.to_owned(),
        started: rfc3339(SystemTime::now() - now.since(hook.started)),
        seconds: now.since(hook.started).as_secs_f64(),
        seconds_left: hook.due.since(now).as_secs_f64(),
    })
}

fn counts(live: &LiveInstance, counters: &Counters) -> Counts {
    let takeover = live.takeover_nanos.load(Relaxed);
    let count = |word: &str, count| (count > 0).then(|| Count { word: word.to_owned(), count });
    Counts {
        adverts_sent: live.adverts_sent.load(Relaxed),
        releases_sent: live.release_sent.load(Relaxed),
        releases_received: live.release_heard.load(Relaxed),
        send_errors: live.send_errors.load(Relaxed),
        announcements_sent: live.announcements_sent.load(Relaxed),
        adverts_received: live.adverts_received(counters),
        contests: live.contests.load(Relaxed),
        dual_master_seconds: Duration::from_nanos(live.dual_master_nanos()).as_secs_f64(),
        takeover_seconds: (takeover > 0).then(|| Duration::from_nanos(takeover).as_secs_f64()),
        received: Counter::ALL
            .iter()
            .filter_map(|&word| count(word.as_str(), counters.counter(word)))
            .collect(),
        rejects: Reject::ALL.iter().filter_map(|&word| count(word.as_str(), counters.reject(word))).collect(),
    }
}

fn transitions(past: &InstanceRecord) -> Vec<PastTransition> {
    let passed = |passed: &crate::daemon::history::PastTransition| PastTransition {
        at: rfc3339(passed.at),
        from: passed.transition.from.as_str().to_owned(),
        to: passed.transition.to.as_str().to_owned(),
        reason: passed.transition.reason.as_str().to_owned(),
        priority: passed.transition.priority.0,
        epoch: passed.transition.epoch.0,
        peer: passed.transition.peer.map(|peer| peer.to_string()),
    };
    let earlier = past.earlier.iter().filter_map(|event| match event.what.clone() {
        EventKind::Transition { from, to, reason, priority, epoch, peer, .. } => {
            let [from, to, reason] = [from, to, reason].map(EventWord::into_owned);
            Some(PastTransition { at: rfc3339(event.time), from, to, reason, priority, epoch, peer })
        }
        _ => None,
    });
    let mut all: Vec<PastTransition> = earlier.chain(past.history.iter().map(passed)).collect();
    let surplus = all.len().saturating_sub(HISTORY);
    all.drain(..surplus);
    all
}

fn check(script: &config::CheckSettings, history: &Inner, now: Timestamp) -> Check {
    let latest = history.checks.get(&script.id);
    let round = history.check(script.id);
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

fn disabled(Disabled { script, why }: &Disabled) -> DisabledScript {
    DisabledScript { script: script.clone(), why: why.clone() }
}

fn mail(settings: &config::MailSettings, history: &Inner) -> Mail {
    let mails = &history.mails;
    let failure = mails.failure.as_ref();
    Mail {
        server: settings.server.to_string(),
        waiting: mails.waiting,
        sent: mails.sent,
        failed: mails.failed,
        lost: mails.lost,
        latest_failure: failure.map(|(at, why)| Failure { at: rfc3339(*at), why: why.clone() }),
        failing: mails.is_failing && !failure.is_some_and(|(at, _)| history.loads.since(*at)),
    }
}

fn webhook(name: &str, posts: &Posts, loads: &ConfigurationLoads) -> Webhook {
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
        failing: posts.is_failing && !failure.is_some_and(|(at, _)| loads.since(*at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds_of_buckets() {
        let kept = live::Lateness::default();
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
}
