//! Warnings about the wire, each logged once: peers that differ, refused routers that should be peers, masters that do
//! not yield, addresses that are not answered, CARP, and unknown routers.
//!
//! Enters: the maps. Leaves: lines of the log, events, the time for which a refused router was a second master, and
//! answers to probes of the wire. It reads status each second and wakes no other thread.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Reject;

use super::events::{EventKind, Events};
use super::status::{DaemonContext, HostWatch, Rejected, SharedContext, UnknownRouter};
use super::unyielding::Contests;
use super::wire_answers::ProbeAnswers;
use crate::driver::clock;
use crate::driver::maps::WatchedMessages;
use crate::protocol::State;

/// From one reading of status to the next.
const EVERY: Duration = Duration::from_secs(1);

/// Rounds from one comparison of the settings of peers to the next.
const ROUNDS: u8 = 5;

/// Rounds in a row that find an IPv6 address unanswered before the log has it: after a takeover, duplicate address
/// detection takes up to two seconds.
const ROUNDS_OF_DETECTION: u8 = 3;

/// Most lines about unknown routers in all: they can be made up.
const UNKNOWN_ROUTERS_LOGGED: usize = 64;

/// Most refusals of an instance that are reported within [`WINDOW`]: they can be made up as well.
const REJECTIONS_REPORTED: u32 = 8;
const WINDOW: Duration = Duration::from_mins(1);

/// Senders on record for each reason: a further one displaces the earlier, whose adverts may be refused still.
const ON_RECORD: usize = 2;
/// Most refused peers that are remembered for each reason.
const REMEMBERED: usize = 8;

/// Most reports that wait for the notifier; only a forger causes more.
const WAITING: usize = 256;

/// A router that should be a peer is refused, or no longer is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerNews {
    pub instance: String,
    pub peer: String,
    /// The reason, as in status.
    pub reason: String,
    /// What to compare on the two nodes; `None` when the refusal is over.
    pub detail: Option<String>,
}

/// The channel to the notifier.
pub(super) fn channel() -> (mpsc::Sender<PeerNews>, mpsc::Receiver<PeerNews>) {
    mpsc::channel(WAITING)
}

/// Reads status and reports what has changed, for ever.
pub(super) async fn report(shared: SharedContext, news: mpsc::Sender<PeerNews>) {
    let mut due = interval(EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut notices, mut answers) = (Notices::default(), ProbeAnswers::default());
    loop {
        due.tick().await;
        answers.update(&shared.now(), clock::now());
        for reported in notices.update(&shared) {
            // If the channel is full, it is still in the log and among the events.
            let _ = news.try_send(reported);
        }
    }
}

#[derive(Debug, Default)]
struct Notices {
    /// Detail by instance, peer and word.
    differences: BTreeMap<[String; 3], String>,
    messages: WatchedMessages,
    /// By interface, VRID and kind.
    unknown_routers: BTreeSet<(String, u8, String)>,
    rejections: Rejections,
    contests: Contests,
    /// By instance and address of a master that this host does not answer for.
    unanswered: BTreeMap<(String, IpAddr), Unanswered>,
    host: HostWatch,
    /// Rounds since the settings of peers were compared.
    rounds: u8,
}

#[derive(Debug, Default)]
struct Unanswered {
    /// In a row.
    rounds: u8,
    /// The reason that the log has.
    logged: Option<String>,
}

/// Routers that should be peers and are refused.
#[derive(Debug, Default)]
struct Rejections {
    /// By instance, reason and peer: whether its refusal was reported.
    known: BTreeMap<[String; 3], bool>,
    /// By instance: the start of its window, and the number of reports within it.
    reported: BTreeMap<String, (Timestamp, u32)>,
    /// By instance that is master: time of the latest refused advert of a rival.
    rivals: BTreeMap<String, Timestamp>,
}

impl Notices {
    fn update(&mut self, shared: &SharedContext) -> Vec<PeerNews> {
        let context = shared.now();
        if self.rounds == 0 {
            let differing = context.still_differing(&mut self.messages).into_iter();
            self.compare(
                differing.map(|(instance, it)| ([instance.to_owned(), it.peer, it.what], it.detail)),
            );
        }
        self.rounds = (self.rounds + 1) % ROUNDS;
        self.contests.update(&context, clock::now());
        let unanswered = context.still_unanswered(&mut self.host).into_iter();
        self.silent(
            unanswered.map(|(instance, address, why)| ((instance.to_owned(), address), why)).collect(),
        );
        let news = self.rejections.update(&context, clock::now());
        for UnknownRouter { interface, vrid, source, kind, .. } in context.unknown_routers() {
            let is_carp = kind == "carp";
            if (is_carp || context.config.globals.log_unknown_vrids)
                && self.unknown_routers.len() < UNKNOWN_ROUTERS_LOGGED
                && self.unknown_routers.insert((interface.clone(), vrid, kind.clone()))
            {
                if is_carp {
                    warn!(
                        interface,
                        vrid,
                        source,
                        "CARP is in use on this link, with the virtual MAC address of this VRID"
                    );
                } else {
                    info!(
                        interface,
                        vrid, source, kind, "adverts of a virtual router that is not configured here"
                    );
                }
            }
        }
        news
    }

    fn silent(&mut self, found: BTreeMap<(String, IpAddr), String>) {
        for ((instance, address), why) in &found {
            let it = self.unanswered.entry((instance.clone(), *address)).or_default();
            it.rounds = it.rounds.saturating_add(1);
            let enough = if address.is_ipv6() { ROUNDS_OF_DETECTION } else { 1 };
            if it.rounds >= enough && it.logged.as_ref() != Some(why) {
                warn!(instance, %address, why, "this master does not answer for an address of its own");
                it.logged = Some(why.clone());
            }
        }
        for ((instance, address), it) in self.unanswered.extract_if(.., |key, _| !found.contains_key(key)) {
            if it.logged.is_some() {
                info!(instance, %address, "the address is answered again, or has been left");
            }
        }
    }

    fn compare(&mut self, found: impl Iterator<Item = ([String; 3], String)>) {
        let found: BTreeMap<_, _> = found.collect();
        for (key, detail) in &found {
            let [instance, peer, what] = key;
            if self.differences.get(key) != Some(detail) {
                warn!(instance, peer, what, "{detail}");
            }
        }
        for [instance, peer, what] in self.differences.keys().filter(|key| !found.contains_key(*key)) {
            info!(instance, peer, what, "its adverts and our settings agree again");
        }
        self.differences = found;
    }
}

impl Rejections {
    fn update(&mut self, context: &DaemonContext, now: Timestamp) -> Vec<PeerNews> {
        let found = context.rejected();
        let mut rivals = BTreeMap::new();
        for (config, live, it) in &found {
            if live.state() == State::Master && is_rival(it) {
                let silence = Duration::try_from_secs_f64(it.last_advert_seconds).unwrap_or_default();
                let heard = now - silence;
                let latest = rivals.entry(config.settings.name.to_string()).or_insert(heard);
                *latest = heard.max(*latest);
            }
        }
        for (config, live) in context.instances() {
            let name = &*config.settings.name;
            if let (Some(before), Some(latest)) = (self.rivals.get(name), rivals.get(name)) {
                let nanos = u64::try_from(latest.since(*before).as_nanos()).unwrap_or(u64::MAX);
                live.unheard_rival_nanos.fetch_add(nanos, Relaxed);
            }
        }
        self.rivals = rivals;
        let found = found.into_iter().map(|(config, _, it)| (config.settings.name.to_string(), it));
        self.compare(found, &context.history.events, now)
    }

    /// Reports the refusals that have begun and ended.
    fn compare(
        &mut self,
        found: impl Iterator<Item = (String, Rejected)>,
        events: &Events,
        now: Timestamp,
    ) -> Vec<PeerNews> {
        let mut news = Vec::new();
        let mut before = std::mem::take(&mut self.known);
        for (instance, Rejected { peer, reason, detail, .. }) in found {
            let key = [instance, reason, peer];
            let is_reported = before.remove(&key).unwrap_or_else(|| {
                let [instance, reason, peer] = key.clone();
                let is_reported = self.admit(&instance, now);
                if is_reported {
                    warn!(
                        instance,
                        peer, reason, "adverts of a router that should be a peer are refused: {detail}"
                    );
                    news.push(PeerNews {
                        instance: instance.clone(),
                        peer: peer.clone(),
                        reason: reason.clone(),
                        detail: Some(detail.clone()),
                    });
                    events.push(EventKind::PeerRejected { instance, peer, reason, detail });
                }
                is_reported
            });
            self.known.insert(key, is_reported);
        }
        for (key, is_reported) in before {
            let [instance, reason, peer] = &key;
            let same = |[other, why, _]: &&[String; 3]| other == instance && why == reason;
            if is_reported && (ON_RECORD..REMEMBERED).contains(&self.known.keys().filter(same).count()) {
                self.known.insert(key, is_reported);
                continue;
            }
            if is_reported {
                info!(
                    instance,
                    peer, reason, "adverts of a router that should be a peer are no longer refused"
                );
                news.push(PeerNews {
                    instance: instance.clone(),
                    peer: peer.clone(),
                    reason: reason.clone(),
                    detail: None,
                });
                let [instance, reason, peer] = key;
                events.push(EventKind::PeerRejectionOver { instance, peer, reason });
            }
        }
        news
    }

    fn admit(&mut self, instance: &str, now: Timestamp) -> bool {
        self.reported.retain(|_, (since, _)| now.since(*since) < WINDOW);
        let (_, reported) = self.reported.entry(instance.to_owned()).or_insert((now, 0));
        *reported += 1;
        *reported <= REJECTIONS_REPORTED
    }
}

/// An advert from our own source address may be one of ours that has come back, unless its MAC address is another
/// host's, which is another reason.
fn is_rival(rejected: &Rejected) -> bool {
    rejected.reason != Reject::OwnSource.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(reason: &str) -> (String, Rejected) {
        let peer = "192.0.2.2".to_owned();
        let (reason, detail) = (reason.to_owned(), "its TTL".to_owned());
        ("VI_1".to_owned(), Rejected { peer, reason, detail, last_advert_seconds: 0.0 })
    }

    fn at(second: u64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000)
    }

    fn reported(events: &Events) -> Vec<String> {
        events.after(None, usize::MAX).events.iter().map(|event| event.what.to_string()).collect()
    }

    #[test]
    fn an_ipv6_address_that_detection_may_be_at_is_logged_at_the_third_look_in_a_row() {
        let [v4, v6] = ["192.0.2.80", "2001:db8::80"].map(|it| it.parse::<IpAddr>().unwrap());
        let of = |address: IpAddr| ("VI_1".to_owned(), address);
        let mut notices = Notices::default();
        let mut update = |addresses: &[IpAddr], why: &str| {
            notices.silent(addresses.iter().map(|it| (of(*it), why.to_owned())).collect());
            [v4, v6].map(|it| notices.unanswered.get(&of(it)).and_then(|it| it.logged.clone()))
        };
        let logged = |why: &str| Some(why.to_owned());
        assert_eq!(update(&[v4, v6], "a"), [logged("a"), None]);
        assert_eq!(update(&[v4, v6], "b"), [logged("b"), None]);
        // A takeover: detection is over.
        assert_eq!(update(&[v4], "b"), [logged("b"), None]);
        assert_eq!(update(&[v6], "a"), [None, None]);
        assert_eq!(update(&[v6], "a"), [None, None]);
        assert_eq!(update(&[v6], "a"), [None, logged("a")]);
        assert_eq!(update(&[v6], "b"), [None, logged("b")]);
        assert_eq!(update(&[], ""), [None, None]);
    }

    #[test]
    fn a_refusal_is_reported_when_it_begins_and_when_it_ends() {
        let (mut rejections, events) = (Rejections::default(), Events::default());
        let news = [100, 105, 110].map(|second| {
            let found = rejections.compare([rejected("ttl")].into_iter(), &events, at(second));
            found.into_iter().map(|news| news.detail).collect::<Vec<_>>()
        });
        assert_eq!(news, [vec![Some("its TTL".to_owned())], vec![], vec![]]);
        assert_eq!(reported(&events), ["VI_1: 192.0.2.2 is not heard: its TTL"]);
        let over = rejections.compare([].into_iter(), &events, at(115));
        assert_eq!(over.iter().map(|news| &news.detail).collect::<Vec<_>>(), [&None]);
        rejections.compare([].into_iter(), &events, at(120));
        let ended = "VI_1: adverts of 192.0.2.2 are no longer refused (ttl)";
        assert_eq!(reported(&events), ["VI_1: 192.0.2.2 is not heard: its TTL", ended]);
    }

    /// Two routers with the same fault.
    #[test]
    fn each_peer_is_reported_with_its_own_beginning_and_end() {
        let (mut rejections, events) = (Rejections::default(), Events::default());
        let of = |peer: &str| {
            let (instance, it) = rejected("ttl");
            (instance, Rejected { peer: peer.to_owned(), ..it })
        };
        let [one, other] = ["192.0.2.2", "192.0.2.3"];
        rejections.compare([of(one), of(other)].into_iter(), &events, at(100));
        rejections.compare([of(other), of(one)].into_iter(), &events, at(105));
        rejections.compare([of(other)].into_iter(), &events, at(110));
        let begun = |peer: &str| format!("VI_1: {peer} is not heard: its TTL");
        let ended = format!("VI_1: adverts of {one} are no longer refused (ttl)");
        assert_eq!(reported(&events), [begun(one), begun(other), ended]);
    }

    /// A forger sends every kind of advert, repeatedly.
    #[test]
    fn what_is_reported_is_bounded_in_time() {
        let (mut rejections, events) = (Rejections::default(), Events::default());
        let words = Reject::ALL.map(Reject::as_str);
        for second in (0..600).step_by(10) {
            rejections.compare(words.map(rejected).into_iter(), &events, at(1000 + second));
            rejections.compare([].into_iter(), &events, at(1005 + second));
        }
        // 10 minutes; each beginning is reported with its end.
        assert_eq!(reported(&events).len(), 10 * 2 * REJECTIONS_REPORTED as usize);
    }
}
