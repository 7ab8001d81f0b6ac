//! The ports of a simulated node: the kernel's side of its interfaces, and the faults that it can have.
//!
//! A program that does not wake the engine for the watched advert, records of senders, a ring that may lose entries, a
//! fence with leases, sockets that count beside the program, and sends that may fail. As in the daemon, nothing here
//! decides.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::{narrow, widen};
use vrrp_ebpf::wire::advert::{Advert, AdvertRepr, Dialect};
use vrrp_ebpf::wire::{ChecksumForm, Family};
use vrrp_user::protocol::{
    Action, ElectionSettings, GroupId, Handover, InstanceId, InstanceSnapshot, Interval, PeerAdvert, Ports,
    Priority, RECORDS_MAX, ReceivedAdvert, Record, Router, SendError, SocketCount, Tally, Turn, Version,
};

pub(crate) use super::input::Input;
pub(crate) use super::outcome::{Frame, Move, Outcome};

/// Stands for all nodes on the LAN.
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18));

/// Entries of the ring.
#[derive(Debug)]
pub(super) enum Waiting {
    Advert { frame: Frame, record: Option<u32>, stamp: Timestamp },
    Request(InstanceId),
}

/// An instance's interface.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) settings: ElectionSettings,
    /// Whether it is in the configuration.
    pub(crate) present: bool,
    pub(crate) source: IpAddr,
    pub(crate) link: bool,
    /// Whether its adverts count as signed: none is watched, and lost ones are noted.
    pub(crate) is_signed: bool,
    /// The program is detached: the kernel reports it, and only sockets receive.
    pub(crate) is_detached: bool,
    /// The kernel's latest answer whether it is.
    reported_detached: Cell<bool>,
    /// The program is attached and receives nothing; sockets do.
    pub(crate) is_bypassed: bool,
    /// Why sends fail, while they do.
    pub(crate) fails: Option<SendError>,
    /// Unicast peers to which the host refuses to send.
    pub(crate) refused: Vec<IpAddr>,
    pub(crate) side: Side,
}

/// What the kernel and the program keep for an instance, until the daemon starts again.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) has_addresses: bool,
    pub(crate) lease: Option<Timestamp>,
    pub(crate) last_seen: Timestamp,
    /// Arrival of the latest advert of each sender and priority.
    pub(crate) arrivals: BTreeMap<(IpAddr, u8), Timestamp>,
    sends_from: Option<IpAddr>,
    watch: Option<(IpAddr, Vec<u8>)>,
    records: Vec<(Record, Option<Duration>)>,
    counted: u64,
    received: u64,
    /// What sockets had received when the one of the silence check was opened.
    opened: Option<u64>,
    missed: [Option<Timestamp>; 2],
    /// Time from which a request wakes the engine.
    heed: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) now: Timestamp,
    pub(crate) members: Vec<Member>,
    pub(crate) is_grouped: bool,
    /// Another configuration is being applied: members come and go one by one.
    pub(super) is_reloading: bool,
    pub(crate) inputs: VecDeque<Input>,
    pub(super) ring: VecDeque<Waiting>,
    pub(super) queued: Vec<(InstanceId, Priority, Vec<IpAddr>)>,
    pub(crate) outcome: Outcome,
    pub(crate) near_misses: u64,
    /// How long the host has been asleep.
    pub(crate) asleep: Duration,
    /// The state of a process that has paused, when it was taken, and the inputs kept since.
    pub(super) paused: Vec<(InstanceId, InstanceSnapshot)>,
    pub(super) taken: Timestamp,
    pub(super) kept: Vec<Input>,
}

impl Member {
    /// Sends adverts every `interval` centiseconds.
    pub(crate) fn new(settings: ElectionSettings, source: IpAddr) -> Self {
        Self {
            settings,
            present: true,
            source,
            link: true,
            is_signed: false,
            is_detached: false,
            reported_detached: Cell::new(false),
            is_bypassed: false,
            fails: None,
            refused: Vec::new(),
            side: Side::default(),
        }
    }

    fn advert(&self, id: InstanceId, priority: Priority) -> Frame {
        let family = self.settings.family;
        let centiseconds = self.settings.advert_interval.to_wire(Version::V3);
        let dialect = Dialect::V3 { family, centiseconds };
        let advert = AdvertRepr::new(1, priority.0, dialect, &[]).unwrap();
        let mut message = vec![0; advert.buffer_len()];
        advert.emit(&mut message).unwrap();
        Frame { id, source: self.source, priority, message, to: None }
    }
}

impl Side {
    /// Records the sender of an advert; `None` without room.
    fn record(&mut self, frame: &Frame, stamp: Timestamp) -> Option<u32> {
        let advert = Advert::parse(&frame.message, Family::of(frame.source)).unwrap();
        let heard = PeerAdvert {
            source: frame.source,
            version: Version::V3,
            priority: frame.priority,
            interval: Interval::from_wire(advert.interval(), Version::V3).unwrap(),
            stamp,
        };
        let entry = Record { heard, checksum: ChecksumForm::Pseudo };
        let known = self.records.iter().position(|(it, _)| it.heard.source == frame.source);
        let index = match known {
            Some(index) => index,
            None if self.records.len() < RECORDS_MAX as usize => {
                self.records.push((entry, None));
                return u32::try_from(self.records.len() - 1).ok();
            }
            None => return None,
        };
        let (record, gap) = &mut self.records[index];
        *gap = Some(stamp.since(record.heard.stamp));
        *record = entry;
        u32::try_from(index).ok()
    }
}

impl Kernel {
    /// The daemon starts, with maps of its own.
    pub(crate) fn reset(&mut self) {
        self.ring.clear();
        (self.inputs, self.kept) = Default::default();
        self.queued.clear();
        for member in &mut self.members {
            let arrivals = std::mem::take(&mut member.side.arrivals);
            member.side = Side { arrivals, ..Side::default() };
        }
    }

    /// The daemon is dead, and its guard has removed what it had set.
    pub(crate) fn clear(&mut self) {
        for member in &mut self.members {
            (member.side.has_addresses, member.side.lease) = (false, None);
        }
    }

    /// A frame arrives; its ring entry may be `lost`. Returns whether it wakes the engine.
    pub(crate) fn receive(&mut self, frame: Frame, lost: bool, now: Timestamp) -> bool {
        let Self { members, ring, .. } = self;
        let member = &mut members[frame.id.index()];
        if !member.link || !member.present {
            return false;
        }
        let side = &mut member.side;
        side.received += 1;
        if member.is_detached || member.is_bypassed {
            return false;
        }
        side.counted += 1;
        side.arrivals.insert((frame.source, frame.priority.0), now);
        let is_of_watched = side.watch.as_ref().is_some_and(|(source, _)| *source == frame.source);
        let mut record = None;
        if member.is_signed {
            if lost {
                side.missed[usize::from(is_of_watched)] = Some(now);
            }
        } else {
            record = side.record(&frame, now);
            if is_of_watched && side.watch.as_ref().is_some_and(|(_, message)| *message == frame.message) {
                side.last_seen = now;
                return false;
            }
        }
        if !lost {
            ring.push_back(Waiting::Advert { frame, record, stamp: now });
        }
        !lost
    }

    /// An ARP request arrives. Returns whether it is answered, and whether it wakes the engine.
    pub(crate) fn ask(&mut self, id: InstanceId, now: Timestamp) -> (bool, bool) {
        let Self { members, ring, .. } = self;
        let Member { settings, side, .. } = &mut members[id.index()];
        let own = settings.priority;
        let challenges = |it: &Waiting| matches!(it, Waiting::Advert { frame, .. } if frame.id == id && frame.priority >= own);
        let is_leased = side.lease.is_some_and(|until| until > now);
        if !side.has_addresses || !is_leased || ring.iter().any(challenges) {
            return (false, false);
        }
        let is_heeded = side.heed.take_if(|from| *from <= now).is_some();
        if is_heeded {
            ring.push_back(Waiting::Request(id));
        }
        (true, is_heeded)
    }

    /// End of the time for which it answers for addresses.
    pub(crate) fn answers_until(&self) -> Option<Timestamp> {
        let holding = self.members.iter().filter(|member| member.side.has_addresses);
        holding.filter_map(|member| member.side.lease).max()
    }

    /// Whether something waits for the next turn.
    pub(crate) fn has_work(&self) -> bool {
        !self.inputs.is_empty() || !self.ring.is_empty()
    }

    fn side(&self, id: InstanceId) -> &Side {
        &self.members[id.index()].side
    }

    fn side_mut(&mut self, id: InstanceId) -> &mut Side {
        &mut self.members[id.index()].side
    }

    /// The members of a group hold their addresses all together, or none does. Each hands over for itself.
    fn check(&self, router: &Router) {
        let has_joined = |id: InstanceId| {
            let member = router.instance(id);
            member.is_some_and(|it| it.reason().is_some() && it.handover() == Handover::Idle)
        };
        let members = self.members.iter().zip((0..).map(InstanceId));
        let joined = || members.clone().filter(|(member, id)| member.present && has_joined(*id));
        let holding = joined().filter(|(member, _)| member.side.has_addresses).count();
        assert!(holding == 0 || holding == joined().count(), "only some members are masters");
        let is_right = |member: &Member| member.present || !member.side.has_addresses;
        assert!(self.members.iter().all(is_right), "a removed member has addresses");
    }
}

impl Ports for Kernel {
    type Effects = ();

    fn now(&mut self) -> Timestamp {
        self.now
    }

    fn asleep(&mut self) -> (Duration, Duration) {
        (self.asleep, self.asleep)
    }

    fn take_inputs(&mut self, turn: &mut Turn, now: Timestamp) {
        while let Some(input) = self.inputs.pop_front() {
            match input {
                Input::GoOn => {
                    turn.go_on(self, now);
                    let kept = std::mem::take(&mut self.kept);
                    self.inputs = kept.into_iter().chain(self.inputs.drain(..)).collect();
                }
                kept if turn.is_paused() => self.kept.push(kept),
                Input::Event(event) => turn.take_event(self, &event, now),
                Input::Reconfigure(changes) => {
                    self.is_reloading = true;
                    turn.reconfigure(self, changes, now);
                    self.is_reloading = false;
                    self.check(turn.router());
                }
                Input::Pause => (self.paused, self.taken) = (turn.pause(self, now).unwrap(), now),
                Input::Restore(snapshots, taken) => {
                    turn.restore(self, &snapshots, &[], taken, now);
                    turn.settle_restored(self, now);
                }
            }
        }
    }

    fn take_adverts(&mut self, turn: &mut Turn, now: Timestamp) {
        while let Some(waiting) = self.ring.pop_front() {
            match waiting {
                Waiting::Advert { frame, record, stamp } => {
                    let (source, message, checksum) =
                        (widen(frame.source), &frame.message, ChecksumForm::Pseudo);
                    let received = ReceivedAdvert { source, record, message, checksum, stamp };
                    turn.take_advert(self, frame.id, received, now);
                }
                Waiting::Request(id) => turn.take_request(self, id, now),
            }
        }
    }

    fn discard_adverts(&mut self) {
        self.ring.clear();
    }

    fn settle(&mut self, _now: Timestamp) {}

    fn admit<'a>(
        &mut self,
        id: InstanceId,
        received: ReceivedAdvert<'a>,
        family: Family,
        _now: Timestamp,
    ) -> Option<ReceivedAdvert<'a>> {
        let member = &mut self.members[id.index()];
        if !member.is_signed {
            return Some(received);
        }
        let source = narrow(family, received.source);
        let priority = Priority(Advert::parse(received.message, family).ok()?.priority());
        let frame = Frame { id, source, priority, message: received.message.to_vec(), to: None };
        Some(ReceivedAdvert { record: member.side.record(&frame, received.stamp), ..received })
    }

    fn last_seen(&self, id: InstanceId) -> Option<Timestamp> {
        let Member { side, is_signed, .. } = &self.members[id.index()];
        side.watch.as_ref().filter(|_| !is_signed).map(|_| side.last_seen)
    }

    fn watched_form(&self, _id: InstanceId) -> Option<ChecksumForm> {
        None
    }

    fn record(&self, id: InstanceId, index: u32, _family: Family) -> Option<Record> {
        self.side(id).records.get(index as usize).map(|(record, _)| *record)
    }

    fn make_room(
        &self,
        _id: InstanceId,
        _received: &ReceivedAdvert<'_>,
        _family: Family,
        _is_master: bool,
    ) -> Option<u32> {
        None
    }

    fn latest_gap(&self, id: InstanceId, source: IpAddr) -> Option<Duration> {
        self.side(id).records.iter().find(|(record, _)| record.heard.source == source)?.1
    }

    fn watch(&mut self, id: InstanceId, received: Option<&ReceivedAdvert<'_>>) {
        let Member { settings, side, .. } = &mut self.members[id.index()];
        side.watch = received.map(|it| (narrow(settings.family, it.source), it.message.to_vec()));
        side.last_seen = received.map_or(side.last_seen, |it| it.stamp);
    }

    fn unwatch(&mut self, id: InstanceId) {
        self.side_mut(id).watch = None;
    }

    /// Answers come late: each is that of the question before. A new attachment has none yet.
    fn is_detached(&self, id: InstanceId) -> bool {
        let member = &self.members[id.index()];
        member.reported_detached.replace(member.is_detached) && member.is_detached
    }

    fn socket_count(&mut self, id: InstanceId, _now: Timestamp) -> Option<SocketCount> {
        let side = self.side_mut(id);
        let opened = *side.opened.get_or_insert(side.received);
        Some(SocketCount { adverts: side.received - opened, is_current: true })
    }

    fn program_count(&self, id: InstanceId) -> u64 {
        self.side(id).counted
    }

    fn close_sockets(&mut self) {
        self.members.iter_mut().for_each(|member| member.side.opened = None);
    }

    fn is_signed(&self, id: InstanceId) -> bool {
        self.members[id.index()].is_signed
    }

    fn missed(&self, id: InstanceId, of_watched: bool) -> Option<Timestamp> {
        self.side(id).missed[usize::from(of_watched)]
    }

    fn fell_behind(&self) -> Option<Timestamp> {
        None
    }

    fn advertise(&mut self, id: InstanceId, priority: Priority, only: &[IpAddr]) -> bool {
        let can_send = self.side(id).sends_from.is_some();
        self.queued.extend(can_send.then(|| (id, priority, only.to_vec())));
        can_send
    }

    fn flush(
        &mut self,
        now: Timestamp,
        mut outcome: impl FnMut(InstanceId, IpAddr, Result<(), SendError>) -> Option<Timestamp>,
    ) {
        for (id, priority, only) in std::mem::take(&mut self.queued) {
            let member = &mut self.members[id.index()];
            let peers = member.settings.unicast.as_ref().map(|it| it.peers.iter().map(|peer| peer.address));
            let destinations: Vec<_> = match peers {
                Some(peers) => peers.filter(|it| only.is_empty() || only.contains(it)).collect(),
                None => vec![GROUP],
            };
            let mut reached = Vec::new();
            for to in destinations {
                let error = member.fails.or((!member.link).then_some(SendError::Unreachable));
                let is_refused = member.refused.contains(&to);
                let error = error.or(is_refused.then_some(SendError::Refused));
                if let Some(until) = outcome(id, to, error.map_or(Ok(()), Err)) {
                    assert!(error.is_none(), "an advert that has not left gives a lease");
                    let is_running = member.side.lease.is_some_and(|until| until > now);
                    assert!(is_running, "an advert renews a lease that has expired, without a takeover");
                    member.side.lease = Some(until);
                }
                reached.extend(error.is_none().then_some(to));
            }
            if !reached.is_empty() {
                let to = (reached != [GROUP]).then_some(reached);
                self.outcome.sent.push(Frame { to, ..member.advert(id, priority) });
            }
        }
    }

    fn set_lease(&mut self, id: InstanceId, until: Option<Timestamp>) {
        self.side_mut(id).lease = until;
    }

    fn is_fenced(&self, _id: InstanceId) -> bool {
        true
    }

    fn answer_form(&mut self, _id: InstanceId, _form: ChecksumForm) {}

    fn carry_out(&mut self, action: Action, _router: &Router) {
        let is_grouped = self.is_grouped;
        match action {
            Action::AddAddresses(id, _) => {
                let lease = self.side_mut(id).lease;
                assert!(lease.is_none(), "addresses are answered for before the first advert has left");
                self.side_mut(id).has_addresses = true;
                self.outcome.announced = true;
            }
            Action::HoldAddresses(id, _) => self.side_mut(id).has_addresses = true,
            Action::RemoveAddresses(id, _) => self.side_mut(id).has_addresses = false,
            Action::Announce(..) => self.outcome.announced = true,
            Action::Heed(id, from) => self.side_mut(id).heed = Some(from),
            Action::Report(_, it) if !is_grouped => self.outcome.note(it.to, it.reason, it.at),
            Action::ReportGroup(_, it) => self.outcome.note(it.to, it.reason, it.at),
            Action::ReportContest(..) => self.outcome.contests += 1,
            // The addresses stay; the lease has ended.
            Action::StopAnswering(..)
            | Action::ProlongLease(..)
            | Action::Report(..)
            | Action::Advertise(..)
            | Action::TrySending(..)
            | Action::Watch(_)
            | Action::Unwatch(_)
            | Action::PutBack(..)
            | Action::ReportAbandoned(..)
            | Action::ReportPriority(..) => {}
        }
    }

    fn tally(&mut self, _id: InstanceId, tally: Tally) {
        self.near_misses += u64::from(matches!(tally, Tally::NearMiss(_)));
    }

    fn publish(&mut self, router: &Router, _handled: Option<InstanceId>) {
        if self.is_grouped && !self.is_reloading {
            self.check(router);
        }
    }

    fn set_source(&mut self, id: InstanceId, source: Option<IpAddr>) {
        self.side_mut(id).sends_from = source;
    }

    fn prepare(&mut self, _id: InstanceId, _effects: ()) {}
    fn forget(&mut self, id: InstanceId) {
        let side = self.side_mut(id);
        let has_addresses = side.has_addresses;
        *side = Side { has_addresses, ..Side::default() };
    }

    fn regroup(&mut self, _before: &[Option<GroupId>]) {}
    fn reconfigured(&mut self) {}
}
