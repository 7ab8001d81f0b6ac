//! The router: all instances of this node, their events, actions and deadlines.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use vrrp_ebpf::time::Timestamp;

use super::action::{Action, State};
use super::context::Cx;
use super::deadlines::Deadlines;
use super::event::{Event, TrackId};
use super::group::{Before, Group};
use super::handover::Handover;
use super::instance::Instance;
use super::settings::{ElectionSettings, GroupSettings};
use super::snapshot::InstanceSnapshot;
use super::state::master;
use super::steering::SteeringOrder;
use super::timers::Timer;
use super::units::{Epoch, GroupId, InstanceId};

/// Most actions of one instance in one input: a takeover with announcements and the end of a watch.
const ACTIONS_PER_INSTANCE: usize = 6;

/// The state machine. Inputs: [`handle`](Self::handle), [`handle_timeout`](Self::handle_timeout). Outputs, to be
/// drained after each input: [`poll_action`](Self::poll_action), then [`poll_timeout`](Self::poll_timeout). Events of
/// unknown instances are ignored.
#[derive(Debug)]
pub struct Router {
    pub(super) instances: Vec<Instance>,
    pub(super) groups: Vec<Group>,
    /// Tracked objects and the instances that track them, sorted.
    trackers: Vec<(TrackId, InstanceId)>,
    pub(super) deadlines: Deadlines,
    /// Allocated once for the largest input.
    pub(super) actions: VecDeque<Action>,
    suspensions: u64,
    /// Highest epoch of all instances and groups until the latest reload; new ones continue from it.
    pub(super) latest: Epoch,
}

impl Router {
    /// Instances are numbered in the given order, all in Init, without groups.
    pub fn new(instances: Vec<ElectionSettings>) -> Self {
        Self::with_groups(instances, Vec::new())
    }

    /// As [`new`](Self::new), with sync groups, which are numbered in the given order too.
    pub fn with_groups(instances: Vec<ElectionSettings>, groups: Vec<GroupSettings>) -> Self {
        let latest = Epoch::default();
        let instances = (0..).map(InstanceId).zip(instances);
        let mut instances: Vec<_> =
            instances.map(|(id, settings)| Instance::new(id, settings, latest)).collect();
        let groups: Vec<_> = (0..)
            .map(GroupId)
            .zip(groups)
            .map(|(id, settings)| Group::new(id, settings, latest, &mut instances))
            .collect();
        let mut this = Self {
            trackers: Vec::new(),
            deadlines: Deadlines::new(instances.len()),
            actions: VecDeque::with_capacity(instances.len() * ACTIONS_PER_INSTANCE + groups.len()),
            instances,
            groups,
            suspensions: 0,
            latest,
        };
        this.index_trackers();
        this
    }

    /// Changes the settings of an instance, which keeps its state; or adds an instance, in Init, under a free number or
    /// the next one: it takes part from the next [`Event::Startup`] on. `has_new_addresses`: an address
    /// is new, or has other options, so that it is set once more. `known` are the latest results of tracked objects.
    /// [`Self::agree`] must follow; it applies the change to groups.
    pub fn configure(
        &mut self,
        id: InstanceId,
        settings: ElectionSettings,
        has_new_addresses: bool,
        known: &[(TrackId, i32)],
        now: Timestamp,
    ) {
        let is_live = self.instance(id).is_some_and(|instance| !instance.is_removed());
        let known = |id| known.iter().find(|(known, _)| *known == id).map(|(_, value)| *value);
        if is_live {
            self.alone(id, now, |instance, cx| instance.reconfigure(settings, has_new_addresses, known, cx));
        } else if id.index() <= self.instances.len() {
            let mut instance = Instance::new(id, settings, self.note_epochs());
            instance.carry_results(known);
            match self.instances.get_mut(id.index()) {
                Some(free) => *free = instance,
                None => self.instances.push(instance),
            }
            self.deadlines = Deadlines::new(self.instances.len());
            self.schedule();
            self.actions.reserve(self.instances.len().saturating_mul(ACTIONS_PER_INSTANCE));
        }
        self.index_trackers();
    }

    /// Updates and returns `latest`. Names may change and come back: the epochs of each name only grow.
    pub(super) fn note_epochs(&mut self) -> Epoch {
        let instances = self.instances.iter().map(Instance::epoch);
        self.latest = instances.chain(self.groups.iter().map(Group::epoch)).fold(self.latest, Epoch::max);
        self.latest
    }

    /// Removes an instance: a master releases its addresses. Its number is free.
    pub fn remove(&mut self, id: InstanceId, now: Timestamp) {
        self.on(id, now, Instance::remove);
        self.index_trackers();
    }

    /// Snapshots of all instances for the next process; `None` while one of them hands over, or listens after a
    /// suspension.
    pub fn snapshot(&self) -> Option<Vec<(InstanceId, InstanceSnapshot)>> {
        let present = self.instances.iter().filter(|instance| !instance.is_removed());
        present.map(|instance| Some((instance.id(), instance.snapshot()?))).collect()
    }

    /// Continues from the snapshots of another process, with instances that are still in Init and know their links and
    /// sources. [`Event::Startup`] must follow. All members of a group continue, or none.
    pub fn restore(
        &mut self,
        snapshots: &[(InstanceId, InstanceSnapshot)],
        groups: &[(GroupId, Epoch)],
        now: Timestamp,
    ) {
        for (id, snapshot) in snapshots {
            let Some(instance) = self.instances.get_mut(id.index()) else { continue };
            instance.restore(snapshot, &mut Cx { now, actions: &mut self.actions });
            self.deadlines.set(id.index(), instance.next_timeout());
        }
        for (id, epoch) in groups {
            if let Some(group) = self.groups.get_mut(id.index()) {
                group.restore(*epoch, &self.instances);
            }
        }
    }

    /// Sends the adverts that are due of leased masters, and changes nothing else. Returns when the next one is due.
    pub(super) fn sustain(
        &mut self,
        now: Timestamp,
        is_leased: impl Fn(InstanceId) -> bool,
    ) -> Option<Timestamp> {
        let mut next = None;
        for (index, instance) in self.instances.iter_mut().enumerate() {
            if !is_leased(instance.id()) {
                continue;
            }
            let due = master::sustain(instance, &mut Cx { now, actions: &mut self.actions });
            next = next.into_iter().chain(due).min();
            self.deadlines.set(index, instance.next_timeout());
        }
        next
    }

    /// Handles an event. Call it with [`Event::Seen`] of a watched master before an advert of its instance, and before
    /// a track that changes a priority: these may end the watch.
    pub fn handle(&mut self, event: &Event, now: Timestamp) {
        match *event {
            Event::Startup => self.on_all(now, Instance::startup),
            Event::Shutdown => self.shut_down(now),
            Event::Advert(id, ref heard) => self.on(id, now, |instance, cx| instance.heard(heard, cx)),
            Event::Seen(id, stamp) => self.on(id, now, |instance, cx| instance.seen(stamp, cx)),
            Event::NotReceiving(id) => self.on(id, now, Instance::not_receiving),
            Event::Refused(id) => self.on(id, now, |instance, _| instance.refused()),
            Event::Lapsed(id) => self.on(id, now, Instance::lapsed),
            Event::Slept(id) => self.on(id, now, Instance::slept),
            Event::SendsAgain(id) => self.on(id, now, Instance::sends_again),
            Event::Asked(id) => self.on(id, now, Instance::asked),
            Event::Link(id, up) => self.on(id, now, |instance, cx| instance.link(up, cx)),
            Event::Source(id, source) => self.on(id, now, |instance, cx| instance.source_is(source, cx)),
            Event::Track(track, up) => self.track(track, i32::from(up), now),
            Event::Value(track, value) => self.track(track, value, now),
            Event::Lost(id, loss, ref all) => self.on(id, now, |instance, cx| instance.lost(loss, all, cx)),
            Event::Announce(id) => self.on(id, now, |instance, cx| instance.announce(cx)),
            Event::Steer(ref orders) => self.steer(orders, now),
        }
    }

    /// Call it after each reload, changed or not: masters set missing addresses, routes and rules.
    pub fn renew(&mut self, now: Timestamp) {
        self.on_all(now, Instance::renew);
    }

    /// Fires all timers that are due. Calling early or twice is harmless.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let mut from = 0;
        while let Some(index) = self.deadlines.due_from(from, now) {
            self.on_index(index, now, Instance::timeout);
            from = index + 1;
        }
    }

    /// The next action; drain them after each input.
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if action.is_none() {
            // Begins at its start again: so much of it is used as there are actions at once, and not all of it in turn.
            self.actions.clear();
        }
        action
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next. Any input may change it.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.deadlines.earliest()
    }

    /// The first Backup not below `from` with a timer not after `until`: its master may have been heard since, which
    /// [`Event::Seen`] or [`Event::Advert`] must report before that timer is handled. A time well ahead lets one
    /// wake-up serve many instances. For callers that handle events between two calls.
    pub fn silent_from(&self, from: InstanceId, until: Timestamp) -> Option<InstanceId> {
        let mut from = from.index();
        loop {
            let index = self.deadlines.due_from(from, until)?;
            let instance = self.instances.get(index)?;
            if instance.state() == State::Backup {
                return Some(instance.id());
            }
            from = index + 1;
        }
    }

    /// The first instance not below `from` that would take over together with this one: its master-down timer has
    /// fired, and its group waits. Its master may have been heard since, if a ring entry was lost.
    pub fn ready_with(&self, instance: InstanceId, from: InstanceId) -> Option<InstanceId> {
        let group = self.instance(instance)?.group()?;
        self.group(group)?.ready_from(from, &self.instances)
    }

    /// When a Backup takes over unless its master is heard before; `None` if another timer is due earlier.
    pub fn next_takeover(&self) -> Option<Timestamp> {
        let next = self.poll_timeout()?;
        let id = self.silent_from(InstanceId(0), next)?;
        self.instance(id)?.deadline(Timer::MasterDown).filter(|due| *due == next)
    }

    pub fn instance(&self, id: InstanceId) -> Option<&Instance> {
        self.instances.get(id.index())
    }

    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.index())
    }

    /// Whether addresses are still served after the end of a mastership; see [`Handover`].
    pub fn is_handing_over(&self) -> bool {
        self.instances.iter().any(|instance| instance.handover() != Handover::Idle)
    }

    /// How often an instance found that this node had been suspended; see [`super::Stats::suspensions`].
    pub fn suspensions(&self) -> u64 {
        self.suspensions
    }

    fn index_trackers(&mut self) {
        let present = self.instances.iter().filter(|instance| !instance.is_removed());
        self.trackers.clear();
        self.trackers.extend(
            present.flat_map(|instance| {
                instance.settings().tracks.iter().map(|track| (track.id, instance.id()))
            }),
        );
        self.trackers.sort_unstable();
        self.trackers.dedup();
    }

    fn track(&mut self, id: TrackId, value: i32, now: Timestamp) {
        let first = self.trackers.partition_point(|&(track, _)| track < id);
        // All store the result first: if a group goes to Fault with one member, the others' own reasons count.
        for (_, instance) in self.trackers.iter().skip(first).take_while(|&&(track, _)| track == id) {
            if let Some(instance) = self.instances.get_mut(instance.index()) {
                instance.record(id, value);
            }
        }
        let mut next = first;
        while let Some(&(track, instance)) = self.trackers.get(next)
            && track == id
        {
            self.on(instance, now, |instance, cx| instance.track(id, value, cx));
            next += 1;
        }
    }

    /// As with tracked objects, all know their orders before the first one acts.
    fn steer(&mut self, orders: &[SteeringOrder], now: Timestamp) {
        for order in orders {
            if let Some(instance) = self.instances.get_mut(order.instance.index()) {
                instance.record_steering(order.steering);
            }
        }
        for order in orders {
            self.on(order.instance, now, |instance, cx| instance.steer(order.hands_over, cx));
        }
    }

    fn shut_down(&mut self, now: Timestamp) {
        self.on_all(now, Instance::shutdown);
        for group in &self.groups {
            group.serve_together(&mut self.instances, &mut Cx { now, actions: &mut self.actions });
        }
        self.schedule();
    }

    fn on_all(&mut self, now: Timestamp, act: impl Fn(&mut Instance, &mut Cx<'_>)) {
        for index in 0..self.instances.len() {
            self.on_index(index, now, &act);
        }
    }

    fn on(&mut self, id: InstanceId, now: Timestamp, act: impl FnOnce(&mut Instance, &mut Cx<'_>)) {
        self.on_index(id.index(), now, act);
    }

    /// As [`Self::on`], but its group reacts to a suspension only.
    fn alone(&mut self, id: InstanceId, now: Timestamp, act: impl FnOnce(&mut Instance, &mut Cx<'_>)) {
        let Some(instance) = self.instances.get_mut(id.index()) else { return };
        let suspensions = instance.stats().suspensions;
        let mut cx = Cx { now, actions: &mut self.actions };
        act(instance, &mut cx);
        let suspensions = instance.stats().suspensions - suspensions;
        self.suspensions += suspensions;
        let group = instance.group().and_then(|group| self.groups.get(group.index()));
        let suspension = instance.backup.suspension();
        if let Some(group) = group.filter(|_| suspensions > 0) {
            group.listen(suspension, &mut self.instances, &mut cx);
            self.schedule();
        } else {
            self.deadlines.set(id.index(), instance.next_timeout());
        }
    }

    /// Sets all deadlines.
    pub(super) fn schedule(&mut self) {
        for instance in &self.instances {
            self.deadlines.set(instance.id().index(), instance.next_timeout());
        }
    }

    fn on_index(&mut self, index: usize, now: Timestamp, act: impl FnOnce(&mut Instance, &mut Cx<'_>)) {
        let Some(instance) = self.instances.get_mut(index) else { return };
        let before = Before {
            ready: instance.is_ready(),
            suspensions: instance.stats().suspensions,
            epoch: instance.epoch(),
        };
        let mut cx = Cx { now, actions: &mut self.actions };
        act(instance, &mut cx);
        self.suspensions += instance.stats().suspensions - before.suspensions;
        let id = instance.id();
        let group = instance.group().and_then(|group| self.groups.get_mut(group.index()));
        if let Some(group) = group
            && group.settle(id, before, &mut self.instances, &mut cx)
        {
            for member in group.members() {
                if let Some(member) = self.instances.get(member.index()) {
                    self.deadlines.set(member.id().index(), member.next_timeout());
                }
            }
        } else if let Some(instance) = self.instances.get(index) {
            self.deadlines.set(index, instance.next_timeout());
        }
    }
}
