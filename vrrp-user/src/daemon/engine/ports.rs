//! The ports of the engine's turn: mapped arrays, sockets, timer and queues.
//!
//! Enters: calls of [`Turn`]. Leaves: system calls, writes to mapped memory and the live state, entries in queues.
//! Absent: decisions.

use std::io;
use std::iter;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::Duration;

use vrrp_ebpf::map::{NO_PEER, PEERS_PER_SLOT};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::{ChecksumForm, Family};

use super::link::{Link, gate};
use super::pace::Pace;
use super::silence_socket::SilenceSocket;
use crate::config::InstanceSettings;
use crate::daemon::hot_restart::Leases;
use crate::daemon::live::{LiveGroup, LiveInstance, LiveState};
use crate::daemon::outbox::Outbox;
use crate::daemon::queue::{Command, Input, Queue, Report};
use crate::driver::clock;
use crate::driver::maps::Maps;
use crate::driver::socket::{AdvertSender, Listener};
use crate::driver::wait::{TIMER, Wait};
use crate::driver::xdp::{Attachment, Ring};
use crate::protocol::{
    Action, GroupId, InstanceId, Ports, Priority, RECORDS_MAX, Reason, ReceivedAdvert, Record, Router,
    SendError, SocketCount, Tally, Turn,
};

/// Inputs, and adverts per source, taken in one turn: the rest waits for the next turn, behind due timers.
pub(super) const DRAIN_MAX: usize = 256;

/// Between two looks for room in a full queue.
const FLUSH_PAUSE: Duration = Duration::from_millis(10);

pub(super) const TOKEN_INPUT: u64 = 0;
pub(super) const TOKEN_RING: u64 = 1;
pub(super) const TOKEN_LISTENER: u64 = 2;

const _: () = assert!(RECORDS_MAX == PEERS_PER_SLOT);

#[derive(Debug)]
pub(super) struct KernelPorts {
    pub(super) maps: Arc<Maps>,
    pub(super) live: Arc<LiveState>,
    pub(super) ring: Option<Ring>,
    /// Packet sockets by interface index, for interfaces whose receive path is `socket`.
    pub(super) listeners: Vec<(u32, Listener)>,
    /// The program's attachments by interface index, if the kernel can report on them.
    pub(super) attachments: Vec<(u32, Arc<Attachment>)>,
    /// Reference sockets of the interfaces on which a master's silence is in doubt.
    pub(super) silence_sockets: Vec<SilenceSocket>,
    pub(super) pace: Pace,
    pub(super) sender: AdvertSender,
    pub(super) links: Vec<Link>,
    pub(super) wait: Wait,
    /// What the timer that has fired was armed for.
    fired: Option<Timestamp>,
    pub(super) inputs: Queue<Input>,
    pub(super) commands: Outbox<Command>,
    pub(super) reports: Outbox<Report>,
    /// Shutdown transitions, held back until the last handover is done: their hooks may stop the service.
    last_words: Vec<Report>,
    /// Inputs kept during a hot restart, while another daemon is about to replace this one.
    pub(super) kept: Vec<Input>,
    /// Where the other daemon reads our leases meanwhile.
    pub(super) leases: Option<Leases>,
}

impl KernelPorts {
    pub(super) fn new(
        instances: &[Arc<InstanceSettings>],
        maps: Arc<Maps>,
        live: Arc<LiveState>,
        ring: Option<Ring>,
        inputs: Queue<Input>,
        commands: Queue<Command>,
        reports: Queue<Report>,
    ) -> io::Result<Self> {
        let mut wait = Wait::new()?;
        wait.add(&inputs, TOKEN_INPUT)?;
        // A kernel without it, such as a simulated one, wakes the engine by its timer.
        let _ = wait.wake_on_resume();
        if let Some(ring) = &ring {
            wait.add(ring, TOKEN_RING)?;
        }
        let links = instances.iter().zip(InstanceId::all()).map(|(settings, id)| Link {
            gate: gate(&live, id, settings),
            settings: Some(Arc::clone(settings)),
            ..Link::default()
        });
        let mut this = Self {
            links: links.collect(),
            maps,
            live,
            ring,
            listeners: Vec::new(),
            attachments: Vec::new(),
            silence_sockets: Vec::new(),
            pace: Pace::default(),
            sender: AdvertSender::new()?,
            wait,
            fired: None,
            inputs,
            commands: Outbox::new(commands),
            reports: Outbox::new(reports),
            last_words: Vec::new(),
            kept: Vec::new(),
            leases: None,
        };
        this.reserve();
        Ok(this)
    }

    /// Makes room for what waits while other threads do not run.
    fn reserve(&mut self) {
        let instances = self.links.len();
        self.commands.reserve(instances, instances.saturating_mul(Command::WAITING_MAX));
        let reports = instances.saturating_mul(Report::WAITING_MAX);
        self.reports.reserve(reports, reports);
    }

    /// Sleeps until `due`, an input or an advert.
    pub(super) fn wait(&mut self, due: Option<Timestamp>) -> io::Result<()> {
        let is_flushed = self.commands.is_flushed() && self.reports.is_flushed();
        let flush = (!is_flushed).then(|| clock::now() + FLUSH_PAUSE);
        let due = due.into_iter().chain(self.pace.next()).chain(flush).min();
        self.wait.arm(due)?;
        let has_fired = self.wait.wait()?.any(|token| token == TIMER);
        self.fired = due.filter(|_| has_fired);
        self.live.turns.fetch_add(1, Relaxed);
        Ok(())
    }

    /// The engine ends, once the others have room for its last entries.
    pub(super) fn end(&mut self) {
        self.commands.push(Command::Stop);
        for report in self.last_words.drain(..) {
            self.reports.push(report);
        }
        self.reports.push(Report::Stopped);
        while !self.flush_queues() {
            sleep(FLUSH_PAUSE);
        }
    }

    /// False if entries still wait for room.
    pub(super) fn flush_queues(&mut self) -> bool {
        let is_flushed = self.commands.flush();
        self.reports.flush() && is_flushed
    }

    pub(super) fn live(&self, id: InstanceId) -> Option<&LiveInstance> {
        self.live.instances.get(id.index())
    }

    pub(super) fn link(&self, id: InstanceId) -> Option<&Link> {
        self.links.get(id.index())
    }

    /// Holds transitions of a shutdown back until the end.
    fn report(&mut self, reason: Reason, report: Report) {
        if reason == Reason::Shutdown {
            self.last_words.push(report);
        } else {
            self.reports.push(report);
        }
    }
}

impl Ports for KernelPorts {
    type Effects = Arc<InstanceSettings>;

    fn now(&mut self) -> Timestamp {
        let now = clock::now();
        if let Some(due) = self.fired.take().filter(|due| now >= *due) {
            self.live.engine_lateness.record(now.since(due));
        }
        now
    }

    fn asleep(&mut self) -> (Duration, Duration) {
        clock::asleep()
    }

    fn take_inputs(&mut self, turn: &mut Turn, now: Timestamp) {
        self.drain_inputs(turn, now);
    }

    fn take_adverts(&mut self, turn: &mut Turn, now: Timestamp) {
        self.take_ring(turn, now);
        self.take_listeners(turn, now);
    }

    fn discard_adverts(&mut self) {
        self.discard();
    }

    fn settle(&mut self, now: Timestamp) {
        self.settle_pace(now);
        self.flush_queues();
    }

    fn admit<'a>(
        &mut self,
        id: InstanceId,
        received: ReceivedAdvert<'a>,
        family: Family,
        now: Timestamp,
    ) -> Option<ReceivedAdvert<'a>> {
        self.verify(id, received, family, now)
    }

    fn last_seen(&self, id: InstanceId) -> Option<Timestamp> {
        self.maps.last_seen(id)
    }

    fn watched_form(&self, id: InstanceId) -> Option<ChecksumForm> {
        self.maps.watched_form(id)
    }

    fn record(&self, id: InstanceId, index: u32, family: Family) -> Option<Record> {
        self.proven_record(id, index, family)
    }

    fn make_room(
        &self,
        id: InstanceId,
        received: &ReceivedAdvert<'_>,
        family: Family,
        is_master: bool,
    ) -> Option<u32> {
        self.new_record(id, received, family, is_master)
    }

    fn latest_gap(&self, id: InstanceId, source: IpAddr) -> Option<Duration> {
        self.maps.latest_gap(id, widen(source))
    }

    fn watch(&mut self, id: InstanceId, received: Option<&ReceivedAdvert<'_>>) {
        match received {
            // No two signed adverts are alike: each is an event, within a budget that is the sender's own.
            Some(received) if self.is_signed(id) => self.maps.reserve_budget_for(id, received.source),
            Some(&ReceivedAdvert { source, record, message, stamp, .. }) => {
                self.maps.arm(id, source, record.unwrap_or(NO_PEER), message, stamp);
            }
            None => self.maps.disarm(id),
        }
    }

    fn unwatch(&mut self, id: InstanceId) {
        self.maps.disarm(id);
    }

    fn is_detached(&self, id: InstanceId) -> bool {
        let ifindex = self.link(id).and_then(|link| link.ifindex);
        let attachment = self.attachments.iter().find(|(known, _)| Some(*known) == ifindex);
        attachment.is_some_and(|(_, attachment)| attachment.is_detached())
    }

    fn socket_count(&mut self, id: InstanceId, now: Timestamp) -> Option<SocketCount> {
        self.count_by_socket(id, now)
    }

    fn program_count(&self, id: InstanceId) -> u64 {
        self.maps.counters(Some(id)).adverts()
    }

    fn close_sockets(&mut self) {
        self.silence_sockets.clear();
    }

    fn is_signed(&self, id: InstanceId) -> bool {
        self.link(id).is_some_and(|link| link.gate.is_some())
    }

    fn missed(&self, id: InstanceId, of_watched: bool) -> Option<Timestamp> {
        self.maps.missed(id, of_watched)
    }

    fn fell_behind(&self) -> Option<Timestamp> {
        self.pace.behind()
    }

    fn advertise(&mut self, id: InstanceId, priority: Priority, only: &[IpAddr]) -> bool {
        self.queue_advert(id, priority, only)
    }

    fn flush(
        &mut self,
        now: Timestamp,
        outcome: impl FnMut(InstanceId, IpAddr, Result<(), SendError>) -> Option<Timestamp>,
    ) {
        self.send(now, outcome);
    }

    fn set_lease(&mut self, id: InstanceId, until: Option<Timestamp>) {
        self.maps.set_lease(id, until);
    }

    fn is_fenced(&self, id: InstanceId) -> bool {
        self.live(id).is_some_and(|live| live.fenced.load(Relaxed))
    }

    fn answer_form(&mut self, id: InstanceId, form: ChecksumForm) {
        if let Some(link) = self.links.get_mut(id.index()) {
            link.heard_form = Some(form);
            link.answer_checksum();
        }
    }

    fn carry_out(&mut self, action: Action, router: &Router) {
        match action {
            // Those of the turn itself.
            Action::Advertise(..)
            | Action::TrySending(..)
            | Action::Watch(_)
            | Action::Unwatch(_)
            | Action::ProlongLease(..) => {}
            Action::AddAddresses(id, epoch) => {
                self.commands.push(Command::Add(id, epoch));
                self.maps.end_masterships(id, None);
            }
            Action::RemoveAddresses(id, epoch) => self.commands.push(Command::Remove(id, epoch)),
            Action::HoldAddresses(id, epoch) => self.commands.push(Command::Hold(id, epoch)),
            Action::StopAnswering(id, _) => self.commands.push(Command::StopAnnouncing(id)),
            Action::Announce(id, announcement) => self.commands.push(Command::Announce(id, announcement)),
            Action::Heed(id, from) => self.maps.heed_address_requests(id, from),
            Action::PutBack(id, epoch, missing) => self.commands.push(Command::PutBack(id, epoch, missing)),
            Action::ReportAbandoned(id) => self.reports.push(Report::Abandoned(id)),
            Action::Report(id, transition) => {
                self.live.record(id, &transition);
                self.show(router, id);
                self.report(transition.reason, Report::Transition(id, transition));
            }
            Action::ReportPriority(id, priority) => {
                if let Some(live) = self.live(id) {
                    live.set_priority(priority);
                }
                self.reports.push(Report::Priority(id, priority));
            }
            Action::ReportContest(id, peer) => self.reports.push(Report::Contest(id, peer)),
            Action::ReportGroup(group, transition) => {
                if let Some(live) = self.live.groups.get(group.index()) {
                    live.record(&transition);
                }
                self.report(transition.reason, Report::Group(group, transition));
            }
        }
    }

    fn tally(&mut self, id: InstanceId, tally: Tally) {
        let Some(live) = self.live(id) else { return };
        let count = match tally {
            Tally::ReleaseHeard => &live.release_heard,
            Tally::NearMiss(master) => {
                self.maps.count_near_miss(id, widen(master));
                &live.near_misses
            }
        };
        count.fetch_add(1, Relaxed);
    }

    fn publish(&mut self, router: &Router, handled: Option<InstanceId>) {
        self.count(router, handled);
    }

    fn set_source(&mut self, id: InstanceId, source: Option<IpAddr>) {
        if let Some(link) = self.links.get_mut(id.index()) {
            link.source = source;
            link.build();
        }
    }

    fn prepare(&mut self, id: InstanceId, settings: Arc<InstanceSettings>) {
        self.commands.push(Command::SetEffects(id, Arc::clone(&settings)));
        if id.index() == self.links.len() {
            self.links.push(Link::default());
        }
        if let Some(link) = self.links.get_mut(id.index()) {
            link.gate = gate(&self.live, id, &settings);
            link.settings = Some(settings);
            link.build();
        }
    }

    fn forget(&mut self, id: InstanceId) {
        if let Some(link) = self.links.get_mut(id.index()) {
            *link = Link::default();
        }
    }

    /// Moves each group's entry in the live state to its new number.
    fn regroup(&mut self, before: &[Option<GroupId>]) {
        let entries: Vec<LiveGroup> = self.live.groups.iter().map(LiveGroup::copy).collect();
        for (entry, old) in self.live.groups.iter().zip(before.iter().copied().chain(iter::repeat(None))) {
            let old = old.and_then(|old| entries.get(old.index()));
            entry.set(old.unwrap_or(&LiveGroup::default()));
        }
    }

    fn reconfigured(&mut self) {
        self.reports.push(Report::Reconfigured);
        self.reserve();
    }
}
