//! Other configurations, and the change from one process to the next.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::{Ports, Turn, Watcher};
use crate::event::{Event, TrackId};
use crate::instance::Instance;
use crate::settings::{ElectionSettings, GroupSettings};
use crate::snapshot::InstanceSnapshot;
use crate::steering::SteeringOrder;
use crate::units::{Epoch, GroupId, InstanceId};

/// Difference between two configurations.
#[derive(Debug)]
pub struct ConfigurationChanges<E> {
    pub removed: Vec<InstanceId>,
    /// New instances come in the order of their numbers, so that none leaves a gap.
    pub configured: Vec<ConfiguredInstance<E>>,
    /// All sync groups, if any of them differs.
    pub groups: Option<Vec<GroupSettings>>,
    /// Latest results of everything that is tracked.
    pub known: Vec<(TrackId, i32)>,
    /// Orders of an operator, for every instance that remains or comes.
    pub steering: Box<[SteeringOrder]>,
}

/// An instance that is new or has other settings, with their effects outside the protocol.
#[derive(Debug)]
pub struct ConfiguredInstance<E> {
    pub id: InstanceId,
    pub settings: ElectionSettings,
    /// An address is new, or has other options, so that it is set once more.
    pub has_new_addresses: bool,
    pub effects: E,
}

impl<E> Default for ConfigurationChanges<E> {
    fn default() -> Self {
        Self {
            removed: Vec::new(),
            configured: Vec::new(),
            groups: None,
            known: Vec::new(),
            steering: Box::default(),
        }
    }
}

impl<E> ConfigurationChanges<E> {
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.configured.is_empty() && self.groups.is_none()
    }
}

impl Turn {
    /// Applies another configuration. Removed instances go first: others may get their addresses.
    pub fn reconfigure<P: Ports>(
        &mut self,
        ports: &mut P,
        changes: ConfigurationChanges<P::Effects>,
        now: Timestamp,
    ) {
        self.catch_all_up(ports, now);
        for id in changes.removed {
            self.router.remove(id, now);
            self.act(ports, None, now);
            if let Some(watcher) = self.watchers.get_mut(id.index()) {
                *watcher = Watcher::default();
            }
            ports.forget(id);
        }
        // New instances exist before their groups do, and groups before a member that changes.
        let is_new =
            |change: &ConfiguredInstance<_>| self.router.instance(change.id).is_none_or(Instance::is_removed);
        let (new, changed): (Vec<_>, Vec<_>) = changes.configured.into_iter().partition(is_new);
        self.configure(ports, new, &changes.known, now);
        // Before new instances take part.
        self.router.handle(&Event::Steer(changes.steering), now);
        self.act(ports, None, now);
        if let Some(groups) = changes.groups {
            ports.regroup(&self.router.regroup(groups));
        }
        self.configure(ports, changed, &changes.known, now);
        let intervals = self.router.instances().iter().map(|it| it.settings().advert_interval.duration());
        self.coalesce = intervals.min().unwrap_or(Duration::ZERO);
        ports.reconfigured();
        self.router.agree(now);
        self.act(ports, None, now);
        self.router.renew(now);
        self.act(ports, None, now);
    }

    fn configure<P: Ports>(
        &mut self,
        ports: &mut P,
        configured: Vec<ConfiguredInstance<P::Effects>>,
        known: &[(TrackId, i32)],
        now: Timestamp,
    ) {
        for ConfiguredInstance { id, settings, has_new_addresses, effects } in configured {
            if id.index() == self.watchers.len() {
                self.watchers.push(Watcher::default());
            }
            ports.prepare(id, effects);
            self.router.configure(id, settings, has_new_addresses, known, now);
            self.act(ports, None, now);
        }
    }

    /// Takes the state of all instances, which changes no more. Masters go on sending until the other process does, so
    /// that its start delays no advert. `None`: a handover is in progress, and the turn goes on.
    pub fn pause<P: Ports>(
        &mut self,
        ports: &mut P,
        now: Timestamp,
    ) -> Option<Vec<(InstanceId, InstanceSnapshot)>> {
        self.catch_all_up(ports, now);
        let mut instances = self.router.snapshot()?;
        for (id, snapshot) in &mut instances {
            snapshot.entitled_until = self.leased_until(*id);
        }
        (self.is_paused, self.sustained) = (true, None);
        Some(instances)
    }

    /// Until when the adverts that have left entitle a master.
    pub fn leased_until(&self, id: InstanceId) -> Option<Timestamp> {
        self.watchers.get(id.index())?.lease.until()
    }

    /// No other process has replaced this one. Inputs of the time meanwhile come after it.
    pub fn go_on<P: Ports>(&mut self, ports: &mut P, now: Timestamp) {
        self.is_paused = false;
        self.doubt(ports, now);
    }

    /// Ends without sending anything: the addresses and the mastership are now another process's.
    pub fn leave(&mut self) {
        (self.is_ending, self.is_paused) = (true, true);
    }

    pub(super) fn sustain<P: Ports>(&mut self, ports: &mut P, now: Timestamp) {
        self.sustained = None;
        if !self.is_ending {
            self.sustained = self.send_due(ports, now);
        }
    }

    /// Resumes from the state of the process that has paused, at the time `taken`. [`Self::settle_restored`] must
    /// follow.
    pub fn restore<P: Ports>(
        &mut self,
        ports: &mut P,
        instances: &[(InstanceId, InstanceSnapshot)],
        groups: &[(GroupId, Epoch)],
        taken: Timestamp,
        now: Timestamp,
    ) {
        for (id, snapshot) in instances {
            // Peers take adverts from another source for those of another router.
            if snapshot.source.is_some() && self.view(*id).map(Instance::source) != Some(snapshot.source) {
                self.take_event(ports, &Event::Source(*id, snapshot.source), now);
            }
        }
        self.router.restore(instances, groups, now);
        for id in InstanceId::all().take(self.watchers.len()) {
            self.serve(ports, id, false, now);
        }
        if self.sleep.is_since(taken) {
            self.doubt_all(now);
        }
    }

    /// Takes over the addresses that the other process has set, and sends the adverts that are due.
    pub fn settle_restored<P: Ports>(&mut self, ports: &mut P, now: Timestamp) {
        self.act(ports, None, now);
        self.send_due(ports, now);
    }

    /// Sends the adverts that are due of masters that are entitled by adverts that have left. An advert of another one
    /// would move the master that its peers may have by now. Returns when the next one is due.
    fn send_due<P: Ports>(&mut self, ports: &mut P, now: Timestamp) -> Option<Timestamp> {
        let Self { router, watchers, .. } = self;
        let until = |id: InstanceId| watchers.get(id.index()).and_then(|it| it.lease.until());
        let next = router.sustain(now, |id| until(id).is_some_and(|until| until > now));
        self.act(ports, None, now);
        next
    }
}
