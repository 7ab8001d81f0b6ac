//! The engine: one real-time thread that owns the router and the advert sockets.
//!
//! Enters: adverts from the ring or from packet sockets, inputs of other threads, the timer. Leaves: adverts, at
//! once; commands for the effect thread; reports for the ordinary threads. Absent: logs, files, names, netlink, and
//! in the steady state allocation. Longer than other files, so that the whole turn is read in one place.
//!
//! One turn, in a fixed order: read the clock → inputs → adverts → peers of what is due → timeouts → actions → the
//! one timer. Actions are carried out after every input, so that what one decides the next one finds done.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use vrrp_ebpf::map::{InstanceKey, NO_PEER, Peer};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::narrow;
use vrrp_ebpf::wire::advert::Advert;
use vrrp_ebpf::wire::{ChecksumForm, Family, Sighting};

use super::auth::Gate;
use super::board::Board;
use super::change::{Changes, Configured};
use super::queue::{Command, Input, Queue, Report};
use crate::driver::clock;
use crate::driver::maps::Maps;
use crate::driver::realtime::{RealtimeError, STACK, become_realtime};
use crate::driver::socket::{self, AdvertSender, Listener, Outgoing};
use crate::driver::wait::{TIMER, Wait};
use crate::driver::xdp::Ring;
use crate::protocol::auth::Proof;
use crate::protocol::{
    Action, Event, GroupSettings, Heard, InstanceId, InstanceSettings, Interval, Priority, Router, State,
    Version,
};

/// Inputs, and adverts per source, taken in one turn: what is left waits for the next one, behind due timers.
const DRAIN_MAX: usize = 256;

/// How long before a takeover the engine wakes to wait for the instant itself. A timer alone is 50–100 µs late.
const APPROACH: Duration = Duration::from_micros(120);

/// Between two reports of the same instance's send failures.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

const TOKEN_INPUT: u64 = 0;
const TOKEN_RING: u64 = 1;
const TOKEN_LISTENER: u64 = 2;

/// What the engine is given to work with.
#[derive(Debug)]
pub struct Parts {
    pub instances: Vec<InstanceSettings>,
    pub groups: Vec<GroupSettings>,
    pub maps: Arc<Maps>,
    pub board: Arc<Board>,
    pub ring: Option<Ring>,
    pub inputs: Queue<Input>,
    pub commands: Queue<Command>,
    pub reports: Queue<Report>,
}

#[derive(Debug)]
pub struct Engine {
    router: Router,
    maps: Arc<Maps>,
    board: Arc<Board>,
    ring: Option<Ring>,
    /// One per interface on the socket rung.
    listeners: Vec<(u32, Listener)>,
    sender: AdvertSender,
    links: Vec<Link>,
    wait: Wait,
    inputs: Queue<Input>,
    commands: Queue<Command>,
    reports: Queue<Report>,
    /// Shortest advert interval of all instances: how far ahead silence is looked for while awake anyway.
    coalesce: Duration,
    ending: bool,
}

/// A running engine.
#[derive(Debug)]
pub struct Spawned {
    pub thread: JoinHandle<io::Result<()>>,
    /// What became of the real-time class.
    pub class: Result<(), RealtimeError>,
}

/// What an instance sends with.
#[derive(Debug, Default)]
struct Link {
    ifindex: Option<u32>,
    /// Index of the interface with the virtual MAC address that adverts leave from.
    sender: Option<u32>,
    source: Option<IpAddr>,
    outgoing: Option<Outgoing>,
    /// Form of the checksum that was heard last.
    heard_form: Option<ChecksumForm>,
    failure_reported: Option<Timestamp>,
    /// Where its adverts are signed.
    gate: Option<Gate>,
}

/// The advert under handling, as the kernel recorded it.
#[derive(Clone, Copy)]
struct Sighted<'a> {
    source: [u8; 16],
    peer: u32,
    message: &'a [u8],
    checksum: ChecksumForm,
    stamp: Timestamp,
}

impl Link {
    fn build(&mut self, settings: &InstanceSettings) {
        let ifindex = if settings.vmacs.sender().is_some() { self.sender } else { self.ifindex };
        self.outgoing = match (ifindex, self.source) {
            // Illegal only for settings that the configuration refuses.
            (Some(ifindex), Some(source)) => Outgoing::new(settings, ifindex, source).ok(),
            _ => None,
        };
        self.answer_checksum(settings);
    }

    fn answer_checksum(&mut self, settings: &InstanceSettings) {
        if let (true, Some(form), Some(outgoing)) =
            (settings.answers_checksum, self.heard_form, &mut self.outgoing)
        {
            outgoing.set_checksum(form);
        }
    }
}

impl Engine {
    /// # Errors
    /// No raw socket (CAP_NET_RAW), or no descriptor for the timer.
    pub fn new(parts: Parts) -> io::Result<Self> {
        let mut wait = Wait::new()?;
        wait.add(&parts.inputs, TOKEN_INPUT)?;
        if let Some(ring) = &parts.ring {
            wait.add(ring, TOKEN_RING)?;
        }
        let coalesce = parts.instances.iter().map(|settings| settings.advert_interval.duration()).min();
        Ok(Self {
            links: parts
                .instances
                .iter()
                .enumerate()
                .map(|(index, settings)| Link {
                    gate: gate(&parts.board, index, settings),
                    ..Link::default()
                })
                .collect(),
            router: Router::with_groups(parts.instances, parts.groups),
            maps: parts.maps,
            board: parts.board,
            ring: parts.ring,
            listeners: Vec::new(),
            sender: AdvertSender::new()?,
            wait,
            inputs: parts.inputs,
            commands: parts.commands,
            reports: parts.reports,
            coalesce: coalesce.unwrap_or(Duration::ZERO),
            ending: false,
        })
    }

    /// Runs on a thread of its own, in the real-time class where asked for. Also returns what became of that.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn spawn(self, priority: Option<i32>) -> io::Result<Spawned> {
        let (tell, told) = mpsc::channel();
        let thread = Builder::new().name("engine".to_owned()).stack_size(STACK).spawn(move || {
            let class = priority.map_or(Ok(()), become_realtime);
            // The starter waits for it.
            let _ = tell.send(class);
            self.run()
        })?;
        let class = told.recv().map_err(io::Error::other)?;
        Ok(Spawned { thread, class })
    }

    /// Turns until the router was shut down; then the effect thread is told to finish.
    ///
    /// # Errors
    /// The wait itself failed.
    fn run(mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        while !self.ending && outcome.is_ok() {
            outcome = self.turn();
        }
        self.commands.push(Command::Stop);
        self.reports.push(Report::Stopped);
        outcome
    }

    fn turn(&mut self) -> io::Result<()> {
        let armed = self.arm()?;
        let fired = self.wait.wait()?.any(|token| token == TIMER);
        let now = clock::now();
        self.board.turns.fetch_add(1, Relaxed);
        if let Some(due) = armed.filter(|due| fired && now >= *due) {
            self.board.engine_lateness.record(now.since(due));
        }
        self.take_inputs(now);
        self.take_ring(now);
        self.take_listeners(now);
        self.hear_silent(now);
        let now = self.approach(now);
        self.router.handle_timeout(now);
        self.act(None, now);
        Ok(())
    }

    /// Sets the one timer to what is due next. A takeover is approached early, and then met by [`Self::approach`].
    fn arm(&mut self) -> io::Result<Option<Timestamp>> {
        let takeover = self.router.next_takeover().map(|due| due - APPROACH);
        let due = takeover.or_else(|| self.router.poll_timeout());
        self.wait.arm(due)?;
        Ok(due)
    }

    /// A master is silent and its time is up within [`APPROACH`]: waits for that instant, awake. Adverts that come
    /// meanwhile are seen, for the program goes on writing.
    fn approach(&mut self, now: Timestamp) -> Timestamp {
        let Some(due) = self.router.next_takeover().filter(|due| *due > now && due.since(now) <= APPROACH)
        else {
            return now;
        };
        let mut time = now;
        while time < due {
            std::hint::spin_loop();
            time = clock::now();
        }
        self.take_ring(time);
        self.hear_silent(time);
        time
    }

    fn take_inputs(&mut self, now: Timestamp) {
        self.inputs.acknowledge();
        for _ in 0..DRAIN_MAX {
            match self.inputs.pop() {
                None => return,
                Some(Input::Interface { instance, ifindex }) => self.set_interface(instance, ifindex),
                Some(Input::Sender { instance, ifindex }) => self.set_sender(instance, ifindex),
                Some(Input::Listen { ifindex, listener }) => {
                    if self.wait.add(&*listener, TOKEN_LISTENER).is_ok() {
                        self.listeners.push((ifindex, *listener));
                    }
                }
                Some(Input::Unlisten(gone)) => self.listeners.retain(|(ifindex, _)| *ifindex != gone),
                Some(Input::Event(event)) => self.take_event(&event, now),
                Some(Input::Reconfigure(changes)) => self.reconfigure(*changes, now),
            }
        }
        self.inputs.wake();
    }

    /// Those that leave go first: others may get their addresses.
    fn reconfigure(&mut self, changes: Changes, now: Timestamp) {
        for id in changes.removed {
            self.router.remove(id, now);
            self.act(None, now);
            if let Some(link) = self.links.get_mut(id.index()) {
                *link = Link::default();
            }
        }
        for Configured { id, settings, charge } in changes.configured {
            self.command(Command::Charge(id, Box::new(charge)));
            if id.index() == self.links.len() {
                self.links.push(Link::default());
            }
            self.prepare(id, &settings);
            self.router.configure(id, settings, &changes.known, now);
            self.act(None, now);
        }
        if let Some(groups) = changes.groups {
            self.router.regroup(groups);
        }
        let intervals = self.router.instances().iter().map(|it| it.settings().advert_interval.duration());
        self.coalesce = intervals.min().unwrap_or(Duration::ZERO);
        self.reports.push(Report::Reconfigured);
    }

    fn take_event(&mut self, event: &Event, now: Timestamp) {
        // A new source is there before the router may send from it; a lost one serves the release.
        if let Event::Source(instance, Some(source)) = *event {
            self.set_source(instance, Some(source));
        }
        self.router.handle(event, now);
        self.act(None, now);
        if let Event::Source(instance, None) = *event {
            self.set_source(instance, None);
        }
        self.ending |= *event == Event::Shutdown;
    }

    fn take_ring(&mut self, now: Timestamp) {
        let Some(mut ring) = self.ring.take() else { return };
        ring.drain(DRAIN_MAX, |event| {
            let sighted = Sighted {
                source: event.source,
                peer: event.peer,
                message: event.message(),
                checksum: event.checksum_form(),
                stamp: Timestamp::from_nanos(event.stamp),
            };
            self.take_advert(event.slot, sighted, now);
        });
        self.ring = Some(ring);
    }

    fn take_listeners(&mut self, now: Timestamp) {
        let mut listeners = std::mem::take(&mut self.listeners);
        for (ifindex, listener) in &mut listeners {
            let _ = listener.drain(DRAIN_MAX, |frame, stamp| {
                let sight = socket::sight(frame, *ifindex, stamp, &self.maps, |key| self.slot_of(key));
                if let Some(socket::Sighted { slot, peer, message, sighting, checksum, stamp }) = sight {
                    let source = sighting.source;
                    self.take_advert(slot, Sighted { source, peer, message, checksum, stamp }, now);
                }
            });
        }
        self.listeners = listeners;
    }

    fn slot_of(&self, key: InstanceKey) -> Option<u32> {
        let matches = |(slot, link): (usize, &Link)| {
            let slot = u32::try_from(slot).ok()?;
            let settings = self.router.instance(InstanceId(slot))?.settings();
            let same = link.ifindex == Some(key.ifindex)
                && settings.vrid.number() == key.vrid
                && settings.family as u8 == key.family
                && key.vlan == 0;
            same.then_some(slot)
        };
        self.links.iter().enumerate().find_map(matches)
    }

    fn take_advert(&mut self, slot: u32, sighted: Sighted<'_>, now: Timestamp) {
        let instance = InstanceId(slot);
        let Some(view) = self.router.instance(instance) else { return };
        let family = view.settings().family;
        let Some(sighted) = self.admit(instance, sighted, family) else { return };
        let Some(heard) = heard(&sighted, family) else { return };
        if let Some(board) =
            self.board.instances.get(instance.index()).filter(|_| heard.priority == Priority::RELEASE)
        {
            board.release_heard.fetch_add(1, Relaxed);
        }
        let Some(view) = self.router.instance(instance) else { return };
        if let Some(link) = self.links.get_mut(instance.index()) {
            link.heard_form = Some(sighted.checksum);
            link.answer_checksum(view.settings());
        }
        self.router.handle(&Event::Advert(instance, heard), now);
        self.act(Some((instance, sighted)), now);
    }

    /// A signed advert is nobody's before its signature was verified: only then its sender is recorded. Others pass as
    /// they are.
    fn admit<'a>(
        &mut self,
        instance: InstanceId,
        sighted: Sighted<'a>,
        family: Family,
    ) -> Option<Sighted<'a>> {
        let Self { links, maps, .. } = self;
        let Some(gate) = links.get_mut(instance.index()).and_then(|link| link.gate.as_mut()) else {
            return Some(sighted);
        };
        let admitted = gate
            .admit(sighted.message, narrow(family, sighted.source), sighted.stamp)
            .inspect_err(|reject| maps.count_reject(instance.0, *reject))
            .ok()?;
        let advert = Advert::parse(admitted.message, family).ok()?;
        let sighting = Sighting {
            source: sighted.source,
            interval: advert.interval(),
            version: advert.version(),
            vrid: advert.vrid(),
            priority: advert.priority(),
            address_count: advert.address_count(),
        };
        let proof = match admitted.proof {
            Proof::Signed { .. } | Proof::Counted { .. } => Peer::SIGNED,
            Proof::Tolerated => Peer::TOLERATED,
        };
        let peer = maps.note(instance.0, &sighting, sighted.checksum, proof, sighted.stamp);
        Some(Sighted { message: admitted.message, peer, ..sighted })
    }

    /// Masters whose silence is due may have been heard by the program meanwhile. Looks at every one that would be
    /// due within an advert interval, so that many instances cost one wake-up.
    fn hear_silent(&mut self, now: Timestamp) {
        let due = now + APPROACH;
        if self.router.silent_from(InstanceId(0), due).is_none() {
            return;
        }
        let until = now + self.coalesce;
        let mut next = InstanceId(0);
        while let Some(instance) = self.router.silent_from(next, until) {
            if let Some(seen) = self.maps.last_seen(instance.0) {
                self.router.handle(&Event::Seen(instance, seen), now);
            }
            if self.router.silent_from(instance, due) == Some(instance) {
                self.recall(instance, now);
                self.recall_ready(instance, now);
            }
            self.act(None, now);
            next = InstanceId(instance.0 + 1);
        }
    }

    /// An advert whose ring entry was lost is found in the record of its sender: map is state, ring is wake-up.
    fn recall(&mut self, instance: InstanceId, now: Timestamp) {
        let Some(view) = self.router.instance(instance) else { return };
        let family = view.settings().family;
        let (since, known) = (view.since(), view.remote_master().map(|master| master.heard.stamp));
        let gate = self.links.get(instance.index()).and_then(|link| link.gate.as_ref());
        let least = gate.map_or(Peer::FORM, Gate::least_proof);
        let versions = [Version::V2, Version::V3];
        for index in 0..vrrp_ebpf::map::PEERS_PER_SLOT {
            let Some(peer) = self.maps.peer(instance.0, index) else { continue };
            let stamp = Timestamp::from_nanos(peer.last_seen);
            if peer.proof < least || stamp < since || known.is_some_and(|known| stamp <= known) {
                continue;
            }
            let version = versions.into_iter().find(|version| *version as u8 == peer.version);
            let Some((version, interval)) =
                version.and_then(|it| Some((it, Interval::from_wire(peer.interval, it)?)))
            else {
                continue;
            };
            let heard = Heard {
                version,
                source: narrow(family, peer.source),
                priority: Priority(peer.priority),
                interval,
                stamp,
            };
            self.router.handle(&Event::Advert(instance, heard), now);
        }
    }

    /// So are the adverts for the rest of its group, which would take over with it.
    fn recall_ready(&mut self, instance: InstanceId, now: Timestamp) {
        let mut next = InstanceId(0);
        while let Some(ready) = self.router.ready_with(instance, next) {
            self.recall(ready, now);
            next = InstanceId(ready.0 + 1);
        }
    }

    /// Carries out what the router wants. `cause` is the advert that was handled last, for the kernel to compare with.
    fn act(&mut self, cause: Option<(InstanceId, Sighted<'_>)>, now: Timestamp) {
        while let Some(action) = self.router.poll_action() {
            match action {
                Action::Advertise(instance, priority) => self.advertise(instance, priority),
                Action::Watch(instance) => self.watch(instance, cause),
                Action::Unwatch(instance) => self.maps.disarm(instance.0),
                Action::AddAddresses(instance, epoch) => {
                    self.flush(now);
                    self.command(Command::Add(instance, epoch));
                }
                Action::RemoveAddresses(instance, epoch) => {
                    self.flush(now);
                    self.command(Command::Remove(instance, epoch));
                }
                Action::Announce(instance, announcement) => {
                    self.command(Command::Announce(instance, announcement));
                }
                Action::PutBack(instance, epoch) => self.command(Command::PutBack(instance, epoch)),
                Action::ReportAbandoned(instance) => {
                    self.reports.push(Report::Abandoned(instance));
                }
                Action::Report(instance, transition) => {
                    if let Some(board) = self.board.instances.get(instance.index()) {
                        board.record(&transition);
                    }
                    self.reports.push(Report::Transition(instance, transition));
                }
                Action::ReportPriority(instance, priority) => {
                    if let Some(board) = self.board.instances.get(instance.index()) {
                        board.set_priority(priority);
                    }
                    self.reports.push(Report::Priority(instance, priority));
                }
                Action::ReportContest(instance, peer) => {
                    if let Some(board) = self.board.instances.get(instance.index()) {
                        board.contests.fetch_add(1, Relaxed);
                    }
                    self.reports.push(Report::Contest(instance, peer));
                }
                Action::ReportGroup(group, transition) => {
                    if let Some(board) = self.board.groups.get(group.index()) {
                        board.record(&transition);
                    }
                    self.reports.push(Report::Group(group, transition));
                }
            }
        }
        self.flush(now);
        self.watch_known(cause);
        self.board.away.store(self.router.away(), Relaxed);
    }

    fn command(&self, command: Command) {
        if !self.commands.push(command) {
            self.board.effect_errors.fetch_add(1, Relaxed);
        }
    }

    fn watch(&self, instance: InstanceId, cause: Option<(InstanceId, Sighted<'_>)>) {
        let is_signed = self.links.get(instance.index()).is_some_and(|link| link.gate.is_some());
        match cause {
            // No two are alike: each is an event, within a budget that others have no part in.
            Some((cause, sighted)) if cause == instance && is_signed => {
                self.maps.favour(instance.0, sighted.source);
            }
            Some((cause, sighted)) if cause == instance => {
                self.maps.arm(instance.0, sighted.source, sighted.peer, sighted.message, sighted.stamp);
            }
            // Found in a peer's record, without its message: the next one is an event again and is watched then.
            _ => self.maps.disarm(instance.0),
        }
    }

    /// The master's advert came as an event although nothing about it changed: it is not watched yet.
    fn watch_known(&self, cause: Option<(InstanceId, Sighted<'_>)>) {
        let Some((instance, sighted)) = cause else { return };
        let Some(view) = self.router.instance(instance) else { return };
        let master = view.remote_master().filter(|_| view.state() == State::Backup);
        let is_master = master.is_some_and(|master| {
            let source = narrow(view.settings().family, sighted.source);
            master.heard.source == source && master.heard.stamp == sighted.stamp
        });
        if is_master && sighted.peer != NO_PEER && self.maps.last_seen(instance.0).is_none() {
            self.watch(instance, cause);
        }
    }

    fn advertise(&mut self, instance: InstanceId, priority: Priority) {
        let Some(Link { outgoing: Some(outgoing), gate, .. }) = self.links.get_mut(instance.index()) else {
            return;
        };
        match gate {
            Some(gate) => gate.send(&mut self.sender, outgoing, instance, priority),
            None => self.sender.queue(outgoing, instance, priority),
        }
        if let Some(board) = self.board.instances.get(instance.index()) {
            board.adverts_sent.fetch_add(1, Relaxed);
            if priority == Priority::RELEASE {
                board.release_sent.fetch_add(1, Relaxed);
            }
        }
    }

    fn flush(&mut self, now: Timestamp) {
        let Self { sender, board, links, reports, .. } = self;
        sender.flush(|instance, errno| {
            if let Some(board) = board.instances.get(instance.index()) {
                board.send_errors.fetch_add(1, Relaxed);
            }
            let Some(link) = links.get_mut(instance.index()) else { return };
            if link.failure_reported.is_none_or(|last| now.since(last) >= FAILURE_PAUSE) {
                link.failure_reported = Some(now);
                reports.push(Report::SendFailed(instance, errno));
            }
        });
    }

    fn set_interface(&mut self, instance: InstanceId, ifindex: Option<u32>) {
        if let Some(link) = self.links.get_mut(instance.index()) {
            link.ifindex = ifindex;
        }
        if let Some(board) = self.board.instances.get(instance.index()) {
            board.ifindex.store(ifindex.unwrap_or(0), Relaxed);
        }
        self.rebuild(instance);
    }

    fn set_sender(&mut self, instance: InstanceId, ifindex: Option<u32>) {
        if let Some(link) = self.links.get_mut(instance.index()) {
            link.sender = ifindex;
        }
        self.rebuild(instance);
    }

    fn set_source(&mut self, instance: InstanceId, source: Option<IpAddr>) {
        if let Some(link) = self.links.get_mut(instance.index()) {
            link.source = source;
        }
        self.rebuild(instance);
    }

    fn rebuild(&mut self, instance: InstanceId) {
        let Self { links, router, .. } = self;
        if let (Some(link), Some(view)) = (links.get_mut(instance.index()), router.instance(instance)) {
            link.build(view.settings());
        }
    }

    /// The first advert under other settings is theirs.
    fn prepare(&mut self, instance: InstanceId, settings: &InstanceSettings) {
        if let Some(link) = self.links.get_mut(instance.index()) {
            link.gate = gate(&self.board, instance.index(), settings);
            link.build(settings);
        }
    }
}

fn gate(board: &Board, index: usize, settings: &InstanceSettings) -> Option<Gate> {
    Gate::open(settings, board.instances.get(index).and_then(|board| board.ledger.get()))
}

/// The meaning of an advert whose form was judged already.
fn heard(sighted: &Sighted<'_>, family: Family) -> Option<Heard> {
    let advert = Advert::parse(sighted.message, family).ok()?;
    let version = if advert.version() == Version::V2 as u8 { Version::V2 } else { Version::V3 };
    Some(Heard {
        version,
        source: narrow(family, sighted.source),
        priority: Priority(advert.priority()),
        interval: Interval::from_wire(advert.interval(), version)?,
        stamp: sighted.stamp,
    })
}
