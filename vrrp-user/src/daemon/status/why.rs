//! Why an instance is in its state, in words of the present.
//!
//! Enters: configuration, live state and history of an instance, and the master that is heard. Leaves: one clause for
//! people, and the words of what keeps an instance in Fault. The reason of the latest transition stands beside it: it
//! says how the state began, not why it lasts.

use std::cmp::Ordering;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use vrrp_ebpf::map::Peer as PeerEntry;
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::address::widen;

use super::{DaemonContext, collect, peer};
use crate::config;
use crate::config::InstanceSettings;
use crate::daemon::history::{Inner, InstanceRecord};
use crate::daemon::live::LiveInstance;
use crate::daemon::process::fit::MTU_V6;
use crate::driver::netlink::link::Link;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::sysctl;
use crate::protocol::{Faults, InstanceId, Reason, State, TrackSettings, TrackedObject, Transition};

/// What is known of one instance.
pub(super) struct Facts<'a> {
    pub(super) config: &'a config::Instance,
    pub(super) live: &'a LiveInstance,
    pub(super) history: &'a Inner,
    /// The master that is heard.
    pub(super) master: Option<&'a PeerEntry>,
    pub(super) peers: &'a [PeerEntry],
    /// Time left of the master-down timer.
    pub(super) takes_over: Option<Duration>,
    pub(super) now: Timestamp,
}

impl DaemonContext {
    pub(super) fn why(&self, facts: &Facts<'_>) -> String {
        match facts.live.state() {
            State::Init => facts.waits_for(),
            State::Backup => facts.obeys(self.group_of(facts.config.id)),
            State::Master => facts.has_become_master(),
            State::Fault => match facts.causes() {
                Some(cause) => cause + &self.continues_without(facts),
                None => self.faulty_member(facts),
            },
        }
    }

    /// Name of its sync group.
    pub(super) fn group_of(&self, id: InstanceId) -> Option<&str> {
        let group = self.config.groups.iter().find(|it| it.settings.members.contains(&id))?;
        Some(&group.settings.name)
    }

    /// Text about its sync group, if that goes on without it.
    fn continues_without(&self, facts: &Facts<'_>) -> String {
        let id = facts.config.id;
        let group = self.config.groups.iter().zip(self.live.groups.iter()).find(|(group, live)| {
            group.settings.members.contains(&id) && !matches!(live.state(), State::Fault | State::Init)
        });
        group.map_or_else(String::new, |(group, live)| {
            let (name, state) = (&group.settings.name, live.state().as_str());
            format!("; its sync group {name} is {state} without it")
        })
    }

    /// What keeps an instance out that has no cause of its own: another member of its sync group.
    fn faulty_member(&self, facts: &Facts<'_>) -> String {
        let id = facts.config.id;
        let group = self.config.groups.iter().find(|group| group.settings.members.contains(&id));
        let Some(group) = group else { return "no cause any more; it is about to leave FAULT".to_owned() };
        let is_faulty = |member: &&config::Instance| {
            let live = self.live.instances.get(member.id.index());
            live.is_some_and(|live| live.faults() != Faults::default())
        };
        let mut members = group.settings.members.iter().filter_map(|member| self.config.instance(*member));
        let name = &group.settings.name;
        members.find(is_faulty).map_or_else(
            || format!("no member of its sync group {name} has a cause any more"),
            |member| format!("{} of its sync group {name} is in FAULT", member.settings.name),
        )
    }
}

/// The word of each cause of Fault that holds now.
pub(super) fn words(faults: Faults) -> Vec<String> {
    let causes = (0..u8::BITS).filter_map(|place| Faults::of_bits(faults.bits() & 1 << place).reason());
    causes.map(|reason| reason.as_str().to_owned()).collect()
}

impl Facts<'_> {
    fn settings(&self) -> &InstanceSettings {
        &self.config.settings
    }

    fn past(&self) -> Option<&InstanceRecord> {
        self.history.instance(self.config.id)
    }

    fn waits_for(&self) -> String {
        let is_pending = |track: &&TrackSettings| {
            track.initial.is_none() && collect::tracked(track, self.history).up.is_none()
        };
        let pending = self.settings().tracks.iter().find(is_pending);
        pending.map_or_else(
            || "starting".to_owned(),
            |track| format!("waits for the first result of {}", named(track)),
        )
    }

    /// A backup: which master it obeys, what keeps it from becoming one itself, and when it would.
    fn obeys(&self, group: Option<&str>) -> String {
        let settings = self.settings();
        let takes_over = self.takes_over.map(|left| format!("takes over in {}", seconds(left)));
        let Some(master) = self.master else {
            let next =
                takes_over.or_else(|| Some(format!("waits for the others of its sync group {}", group?)));
            return next.map_or_else(
                || "no master is heard".to_owned(),
                |next| format!("no master is heard; {next}"),
            );
        };
        let source = peer::source(master, settings.family);
        let (its, ours) = (master.priority, self.live.priority().0);
        let if_silent =
            takes_over.as_ref().map_or_else(String::new, |text| format!("; {text} if it falls silent"));
        match (its.cmp(&ours), preempts_in(self.live, self.now)) {
            (Ordering::Greater, _) => format!("{source} is master: {its} against our {ours}{if_silent}"),
            (Ordering::Equal, _) => {
                format!("{source} is master: {its} as ours, and it came first{if_silent}")
            }
            (_, _) if !settings.preempt => {
                format!(
                    "{source} is master with {its}; ours is {ours}, but nopreempt leaves it alone{if_silent}"
                )
            }
            (_, Some(left)) => {
                let left = seconds(left);
                format!("{source} is master with {its}; ours is {ours}: preempt_delay, would move in {left}")
            }
            (_, None) => {
                let next = match group {
                    Some(group) => {
                        format!("about to take over, once the others of its sync group {group} may")
                    }
                    None => takes_over.unwrap_or_else(|| "about to take over".to_owned()),
                };
                format!("{source} is master with {its}; ours is {ours}: {next}")
            }
        }
    }

    /// A master: how it became one.
    fn has_become_master(&self) -> String {
        let latest = self.past().and_then(|past| past.history.back());
        let peer = latest.and_then(|passed| passed.transition.peer).map(|peer| peer.to_string());
        let ours = self.live.priority();
        let then = latest.map_or(ours, |passed| passed.transition.priority);
        match (self.live.reason(), peer) {
            (Reason::MasterSilent, Some(peer)) => {
                let silence = latest.and_then(|passed| self.silence(&passed.transition));
                let silence = silence.map_or_else(String::new, |it| format!(" for {}", seconds(it)));
                format!("{peer} fell silent{silence}")
            }
            (Reason::MasterSilent, None) if self.was_to_hand_over() => {
                "it was to hand over, and no other router took over: it stayed master".to_owned()
            }
            (Reason::MasterSilent, None) => "no master was heard when it took over".to_owned(),
            (Reason::MasterReleased, Some(peer)) => format!("{peer} released the addresses"),
            (Reason::MasterReleased, None) => "the master released the addresses".to_owned(),
            (Reason::Preempted, Some(peer)) if then != ours => {
                format!("it took over from {peer} with priority {then}, which is {ours} now")
            }
            (Reason::Preempted, Some(peer)) => format!("its priority {ours} is above that of {peer}"),
            (Reason::Preempted, None) => format!("its priority {ours} is above the other master's"),
            (Reason::Owner, _) => "it owns the addresses (priority 255)".to_owned(),
            (Reason::Recovered, _) => "it owns the addresses, and its fault is over".to_owned(),
            (Reason::GroupJoined, _) => "it joined a sync group that is master".to_owned(),
            (Reason::Resumed, _) => {
                "it was master before, and resumed after a suspension or refused adverts".to_owned()
            }
            (reason, _) => reason.as_str().to_owned(),
        }
    }

    /// Time from the latest advert of the master that fell silent to the takeover; `None` once it is heard again.
    fn silence(&self, takeover: &Transition) -> Option<Duration> {
        let master = widen(takeover.peer?);
        let peer = self.peers.iter().find(|peer| peer.source == master)?;
        let heard = Timestamp::from_nanos(peer.last_seen);
        (heard < takeover.at).then(|| takeover.at.since(heard))
    }

    /// Whether the transition before the latest one was a handover that an operator had ordered.
    fn was_to_hand_over(&self) -> bool {
        let before = self.past().and_then(|past| past.history.iter().rev().nth(1));
        before.is_some_and(|passed| passed.transition.reason == Reason::HandedOver)
    }

    /// What keeps it in Fault itself, the first cause in words; `None` without one.
    fn causes(&self) -> Option<String> {
        let settings = self.settings();
        let interface = &settings.interface;
        Some(match self.live.faults().reason()? {
            Reason::LinkDown if !self.is_there() => format!("there is no interface {interface}"),
            Reason::LinkDown => format!("the link of {interface} is down"),
            Reason::NoSource => {
                let family = match settings.family {
                    Family::V4 => "IPv4",
                    Family::V6 => "link-local IPv6",
                };
                let text = format!("{interface} has no {family} address to send adverts from");
                match (settings.family, mtu_of(interface)) {
                    (Family::V6, _) if sysctl::is_v6_off(interface) => {
                        format!("{text}: IPv6 is off there ({})", sysctl::v6_on(interface))
                    }
                    (Family::V6, Some(mtu)) if mtu < MTU_V6 => {
                        format!(
                            "{text}: its MTU is {mtu}, and IPv6 needs {MTU_V6} (ip link set {interface} mtu 1500)"
                        )
                    }
                    _ => text,
                }
            }
            Reason::NoPeer => "it has no unicast_peer".to_owned(),
            Reason::TrackDown => self.failing(),
            Reason::TakenAway => match self.past().and_then(|past| past.removed.as_ref()) {
                Some((_, removed_by)) => {
                    format!("{removed_by} keeps removing its addresses; tried again within a minute")
                }
                None => {
                    "another process keeps removing its addresses; tried again within a minute".to_owned()
                }
            },
            Reason::Refused => {
                "this host refuses to send its adverts, and another master is there".to_owned()
            }
            Reason::Maintenance => "an operator keeps it in maintenance".to_owned(),
            reason => reason.as_str().to_owned(),
        })
    }

    fn is_there(&self) -> bool {
        self.live.ifindex.load(Relaxed) != 0
    }

    /// The first tracked thing whose result is a Fault.
    fn failing(&self) -> String {
        let fails = |track: &&TrackSettings| match self.history.check(track.id) {
            Some(round) => track.fails(round.result()),
            None => {
                let up = self.history.links.get(&track.id).copied();
                up.is_some_and(|up| track.fails(i32::from(up)))
            }
        };
        let Some(track) = self.settings().tracks.iter().find(fails) else {
            return "a tracked object is down".to_owned();
        };
        let way = if track.reverse { "up (reverse)" } else { "down" };
        let result = self.history.check(track.id);
        if let Some(held) = result.and_then(|result| result.held) {
            return format!("{} is held down ({})", named(track), held.cause.as_str());
        }
        let outcome = result.map(|result| result.outcome.to_string());
        match (&track.object, outcome) {
            (TrackedObject::Script(_), Some(outcome)) => format!("{} is {way}: {outcome}", named(track)),
            (TrackedObject::File(_), Some(number)) => format!("{} holds {number}", named(track)),
            _ => format!("{} is {way}", named(track)),
        }
    }
}

/// Rest of `preempt_delay`; `None` if it does not run.
pub(super) fn preempts_in(live: &LiveInstance, now: Timestamp) -> Option<Duration> {
    let at = live.preempts_at().filter(|at| *at > now && live.state() == State::Backup)?;
    Some(at.since(now))
}

/// A tracked thing, with what it is.
fn named(track: &TrackSettings) -> String {
    let kind = match &track.object {
        TrackedObject::Script(_) => "check",
        other => other.kind(),
    };
    format!("{kind} {}", track.object.name())
}

fn mtu_of(interface: &str) -> Option<u32> {
    let link = RouteSocket::open().and_then(|mut socket| Link::by_name(&mut socket, interface));
    link.ok().map(|link| link.mtu)
}

fn seconds(left: Duration) -> String {
    super::span::rough(left.as_secs_f64())
}
