//! A node: a router, an engine that runs turns like the daemon's, and a kernel. The kernel does not wake the engine for
//! the steady master's adverts, answers ARP requests, and stops answering after an advert of a higher master.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{
    Action, Event, InstanceId, InstanceSettings, Interval, Order, PeerAdvert, Priority, Router, State,
    TrackId, Transition, Version,
};

use crate::setup::{ID, Variant};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) source: IpAddr,
    pub(crate) priority: Priority,
    pub(crate) interval: Interval,
}

/// Results of a turn.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) sent: Vec<Frame>,
    pub(crate) transitions: Vec<Transition>,
    pub(crate) contests: usize,
    /// Whether it has announced its addresses.
    pub(crate) announced: bool,
}

/// Inputs that the kernel has for the engine.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    Advert(Frame, Timestamp),
    Question,
}

pub(crate) struct Node {
    pub(crate) settings: InstanceSettings,
    pub(crate) source: IpAddr,
    /// `None` while the daemon does not run.
    pub(crate) router: Option<Router>,
    /// Until then nothing on the host runs.
    pub(crate) frozen_until: Timestamp,
    /// Until then the daemon does not run, but the kernel does.
    pub(crate) starved_until: Timestamp,
    /// Lag of its clock behind the world's: total time that its hypervisor has paused it.
    pub(crate) behind: Duration,
    pub(crate) next_turn: Option<Timestamp>,
    pub(crate) has_addresses: bool,
    /// It has the addresses, and has heard no heir.
    pub(crate) answers: bool,
    /// The daemon ends after its handover.
    is_ending: bool,
    pub(crate) turns: u64,
    watch: Option<Frame>,
    last_seen: Timestamp,
    last_handled: Option<(Frame, Timestamp)>,
    ring: VecDeque<Waiting>,
    /// Arrival of the latest advert of each sender and priority.
    pub(crate) arrivals: BTreeMap<(IpAddr, u8), Timestamp>,
    /// Time from which an ARP request wakes the engine.
    heed: Option<Timestamp>,
    outcome: Outcome,
}

impl Node {
    pub(crate) fn new(settings: InstanceSettings, source: IpAddr) -> Self {
        Self {
            settings,
            source,
            router: None,
            frozen_until: Timestamp::ZERO,
            starved_until: Timestamp::ZERO,
            behind: Duration::ZERO,
            next_turn: None,
            has_addresses: false,
            answers: false,
            is_ending: false,
            turns: 0,
            watch: None,
            last_seen: Timestamp::ZERO,
            last_handled: None,
            ring: VecDeque::new(),
            arrivals: BTreeMap::new(),
            heed: None,
            outcome: Outcome::default(),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.router.as_ref().and_then(|router| router.instance(ID)).map_or(State::Init, |i| i.state())
    }

    /// Time at which the kernel last saw the watched master.
    pub(crate) fn last_seen(&self) -> Timestamp {
        self.last_seen
    }

    pub(crate) fn start(&mut self, now: Timestamp) -> Outcome {
        self.router = Some(Router::new(vec![self.settings.clone()]));
        self.is_ending = false;
        self.watch = None;
        self.heed = None;
        self.ring.clear();
        self.input(&Event::Link(ID, true), now);
        self.input(&Event::Source(ID, Some(self.source)), now);
        self.input(&Event::Startup, now);
        std::mem::take(&mut self.outcome)
    }

    pub(crate) fn stop(&mut self, now: Timestamp) -> Outcome {
        self.is_ending = true;
        self.input(&Event::Shutdown, now);
        self.end();
        std::mem::take(&mut self.outcome)
    }

    pub(crate) fn kill(&mut self) {
        self.router = None;
        self.next_turn = None;
        self.has_addresses = false;
        self.answers = false;
    }

    fn end(&mut self) {
        if self.is_ending && !self.router.as_ref().is_some_and(Router::is_handing_over) {
            self.kill();
        }
    }

    /// The kernel receives a frame. Returns whether it wakes the engine.
    pub(crate) fn receive(&mut self, frame: Frame, now: Timestamp) -> bool {
        if self.router.is_none() {
            return false;
        }
        self.arrivals.insert((frame.source, frame.priority.0), now);
        if self.watch == Some(frame) {
            self.last_seen = now;
            return false;
        }
        self.ring.push_back(Waiting::Advert(frame, now));
        true
    }

    /// The kernel receives an ARP request. Returns whether it answers, and whether it wakes the engine.
    pub(crate) fn ask(&mut self, now: Timestamp) -> (bool, bool) {
        let own = self.settings.priority;
        let challenges =
            |waiting: &Waiting| matches!(waiting, Waiting::Advert(frame, _) if frame.priority >= own);
        if !self.answers || self.ring.iter().any(challenges) {
            return (false, false);
        }
        let is_heeded = self.heed.take_if(|from| *from <= now).is_some();
        if is_heeded {
            self.ring.push_back(Waiting::Question);
        }
        (true, is_heeded)
    }

    /// One turn of the engine: inputs, sightings, timeouts.
    pub(crate) fn turn(&mut self, now: Timestamp) -> Outcome {
        self.turns += 1;
        while let Some(waiting) = self.ring.pop_front() {
            let Waiting::Advert(frame, stamp) = waiting else {
                self.input(&Event::Asked(ID), now);
                continue;
            };
            self.catch_up(now);
            self.last_handled = Some((frame, stamp));
            let Frame { source, priority, interval } = frame;
            let version = Version::V3;
            let heard = PeerAdvert { source, version, priority, interval, stamp };
            self.input(&Event::Advert(ID, heard), now);
        }
        let silent: Vec<InstanceId> =
            self.router.as_ref().map(|router| router.silence_due(now).collect()).unwrap_or_default();
        for id in silent {
            self.input(&Event::Seen(id, self.last_seen), now);
        }
        if let Some(router) = &mut self.router {
            router.handle_timeout(now);
        }
        self.drain();
        self.end();
        std::mem::take(&mut self.outcome)
    }

    /// Sets the state of a track.
    pub(crate) fn track(&mut self, track: TrackId, up: bool, now: Timestamp) -> Outcome {
        self.catch_up(now);
        self.input(&Event::Track(track, up), now);
        std::mem::take(&mut self.outcome)
    }

    /// Handles sightings that did not wake the engine.
    fn catch_up(&mut self, now: Timestamp) {
        if self.watch.is_some() {
            self.input(&Event::Seen(ID, self.last_seen), now);
        }
    }

    fn input(&mut self, event: &Event, now: Timestamp) {
        if let Some(router) = &mut self.router {
            router.handle(event, now);
        }
        self.drain();
    }

    fn drain(&mut self) {
        let Some(router) = &mut self.router else { return };
        while let Some(action) = router.poll_action() {
            match action {
                Action::Advertise(_, priority) => self.outcome.sent.push(Frame {
                    source: self.source,
                    priority,
                    interval: self.settings.advert_interval,
                }),
                Action::Watch(_) => {
                    self.watch = self.last_handled.map(|(frame, _)| frame);
                    self.last_seen = self.last_handled.map_or(self.last_seen, |(_, stamp)| stamp);
                }
                Action::Unwatch(_) => self.watch = None,
                Action::AddAddresses(..) => {
                    (self.has_addresses, self.answers) = (true, true);
                    self.outcome.announced = true;
                }
                Action::HoldAddresses(..) => (self.has_addresses, self.answers) = (true, true),
                Action::Announce(..) => self.outcome.announced = true,
                Action::Heed(_, from) => self.heed = Some(from),
                Action::StopAnswering(..) => self.answers = false,
                Action::RemoveAddresses(..) => (self.has_addresses, self.answers) = (false, false),
                Action::Report(_, transition) => self.outcome.transitions.push(transition),
                Action::ReportContest(..) => self.outcome.contests += 1,
                Action::PutBack(..)
                | Action::ReportAbandoned(..)
                | Action::ReportPriority(..)
                | Action::ReportGroup(..) => {}
            }
        }
    }
}

/// Settings and source of a node: version 3 over IPv4, the interval in centiseconds, handover by overlap.
pub(crate) fn node(address: u8, priority: u8, interval: u16) -> Node {
    let mut settings = Variant::V3Ipv4.settings();
    settings.priority = Priority(priority);
    settings.advert_interval = crate::setup::centiseconds(interval);
    settings.handover = Order::Overlap;
    Node::new(settings, Variant::V3Ipv4.address(address))
}
