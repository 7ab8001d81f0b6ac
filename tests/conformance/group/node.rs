//! A node whose instances are one group, with an engine that runs turns like the daemon's, and a kernel that does not
//! wake it for the steady masters' adverts.

use std::collections::VecDeque;
use std::net::IpAddr;

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{
    Action, Event, GroupId, GroupSettings, GroupTransition, InstanceId, InstanceSettings, Interval,
    PeerAdvert, Priority, Router, State, Version,
};

use crate::setup::{Variant, centiseconds};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame {
    /// The member whose LAN the frame is on.
    pub(crate) member: InstanceId,
    source: IpAddr,
    priority: Priority,
    interval: Interval,
}

/// Results of a turn.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) sent: Vec<Frame>,
    pub(crate) moves: Vec<GroupTransition>,
}

pub(crate) struct Node {
    pub(crate) members: Vec<Member>,
    /// `None` while the daemon does not run.
    pub(crate) router: Option<Router>,
    pub(crate) next_turn: Option<Timestamp>,
    ring: VecDeque<(Frame, Timestamp)>,
    outcome: Outcome,
}

pub(crate) struct Member {
    settings: InstanceSettings,
    /// Whether it is in the configuration.
    pub(crate) present: bool,
    source: IpAddr,
    pub(crate) link: bool,
    pub(crate) has_addresses: bool,
    watch: Option<Frame>,
    last_seen: Timestamp,
    last_handled: Option<Frame>,
}

impl Member {
    /// Sends adverts every `interval` centiseconds.
    pub(crate) fn new(address: u8, priority: u8, interval: u16) -> Self {
        let mut settings = Variant::V3Ipv4.settings();
        settings.priority = Priority(priority);
        settings.advert_interval = centiseconds(interval);
        Self {
            settings,
            present: true,
            source: Variant::V3Ipv4.address(address),
            link: true,
            has_addresses: false,
            watch: None,
            last_seen: Timestamp::ZERO,
            last_handled: None,
        }
    }
}

impl Node {
    pub(crate) fn new(members: Vec<Member>) -> Self {
        Self { members, router: None, next_turn: None, ring: VecDeque::new(), outcome: Outcome::default() }
    }

    pub(crate) fn state(&self) -> State {
        let group = self.router.as_ref().and_then(|router| router.group(GroupId(0)));
        group.map_or(State::Init, |group| group.state())
    }

    pub(crate) fn start(&mut self, now: Timestamp) -> Outcome {
        let settings = self.ids().map(|id| self.members[id.index()].settings.clone()).collect();
        self.router = Some(Router::with_groups(settings, vec![self.group()]));
        for id in self.ids() {
            let Member { link, source, .. } = self.members[id.index()];
            self.input(&Event::Link(id, link), now);
            self.input(&Event::Source(id, Some(source)), now);
        }
        self.input(&Event::Startup, now);
        std::mem::take(&mut self.outcome)
    }

    pub(crate) fn stop(&mut self, now: Timestamp) -> Outcome {
        self.input(&Event::Shutdown, now);
        self.router = None;
        self.next_turn = None;
        std::mem::take(&mut self.outcome)
    }

    /// Applies a configuration with exactly these members; those of the start are always present.
    pub(crate) fn reload(&mut self, present: &[bool], now: Timestamp) -> Outcome {
        let before: Vec<InstanceId> = self.ids().collect();
        for (member, present) in self.members.iter_mut().zip(present) {
            member.present = *present;
        }
        let (group, after) = (self.group(), self.ids().collect::<Vec<_>>());
        if let Some(router) = &mut self.router {
            for id in before.iter().filter(|id| !after.contains(id)) {
                router.remove(*id, now);
            }
            for id in after.iter().filter(|id| !before.contains(id)) {
                router.configure(*id, self.members[id.index()].settings.clone(), &[], now);
            }
            router.regroup(vec![group]);
            router.agree(now);
        }
        self.drain();
        for id in after.into_iter().filter(|id| !before.contains(id)) {
            let Member { link, source, .. } = self.members[id.index()];
            self.input(&Event::Link(id, link), now);
            self.input(&Event::Source(id, Some(source)), now);
        }
        self.input(&Event::Startup, now);
        std::mem::take(&mut self.outcome)
    }

    fn group(&self) -> GroupSettings {
        GroupSettings { name: "G".into(), members: self.ids().collect() }
    }

    pub(crate) fn set_link(&mut self, member: usize, up: bool, now: Timestamp) -> Outcome {
        self.members[member].link = up;
        let id = InstanceId(u32::try_from(member).unwrap());
        self.input(&Event::Link(id, up), now);
        std::mem::take(&mut self.outcome)
    }

    /// The kernel receives a frame. Returns whether it wakes the engine.
    pub(crate) fn receive(&mut self, frame: Frame, now: Timestamp) -> bool {
        let member = &mut self.members[frame.member.index()];
        if self.router.is_none() || !member.link || !member.present {
            return false;
        }
        if member.watch == Some(frame) {
            member.last_seen = now;
            return false;
        }
        self.ring.push_back((frame, now));
        true
    }

    /// One turn of the engine: inputs, sightings, timeouts.
    pub(crate) fn turn(&mut self, now: Timestamp) -> Outcome {
        while let Some((frame, stamp)) = self.ring.pop_front() {
            let Frame { member, source, priority, interval } = frame;
            let kernel = &mut self.members[member.index()];
            kernel.last_handled = Some(frame);
            kernel.last_seen = stamp;
            let version = Version::V3;
            let heard = PeerAdvert { source, version, priority, interval, stamp };
            self.input(&Event::Advert(member, heard), now);
        }
        let silent: Vec<InstanceId> =
            self.router.as_ref().map(|router| router.silence_due(now).collect()).unwrap_or_default();
        for id in silent {
            self.input(&Event::Seen(id, self.members[id.index()].last_seen), now);
        }
        if let Some(router) = &mut self.router {
            router.handle_timeout(now);
        }
        self.drain();
        std::mem::take(&mut self.outcome)
    }

    fn ids(&self) -> impl Iterator<Item = InstanceId> + use<> {
        let present: Vec<bool> = self.members.iter().map(|member| member.present).collect();
        (0..).map(InstanceId).zip(present).filter(|(_, present)| *present).map(|(id, _)| id)
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
                Action::Advertise(member, priority) => {
                    let Member { source, link, ref settings, .. } = self.members[member.index()];
                    let frame = Frame { member, source, priority, interval: settings.advert_interval };
                    self.outcome.sent.extend(link.then_some(frame));
                }
                Action::Watch(id) => {
                    let member = &mut self.members[id.index()];
                    member.watch = member.last_handled;
                }
                Action::Unwatch(id) => self.members[id.index()].watch = None,
                Action::AddAddresses(id, _) => self.members[id.index()].has_addresses = true,
                Action::RemoveAddresses(id, _) => self.members[id.index()].has_addresses = false,
                Action::ReportGroup(_, transition) => self.outcome.moves.push(transition),
                Action::Report(..)
                | Action::ReportContest(..)
                | Action::Announce(..)
                | Action::HoldAddresses(..)
                | Action::StopAnswering(..)
                | Action::PutBack(..)
                | Action::Heed(..)
                | Action::ReportAbandoned(..)
                | Action::ReportPriority(..) => {}
            }
        }
        let has_joined = |id: &InstanceId| router.instance(*id).is_some_and(|it| it.reason().is_some());
        let members =
            || self.members.iter().zip((0..).map(InstanceId)).filter(|(it, id)| it.present && has_joined(id));
        let holding = members().filter(|(member, _)| member.has_addresses).count();
        assert!(holding == 0 || holding == members().count(), "only some members are masters");
        assert!(
            self.members.iter().all(|member| member.present || !member.has_addresses),
            "a removed member has addresses"
        );
    }
}
