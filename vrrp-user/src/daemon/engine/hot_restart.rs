//! Hot restart in the engine: the old daemon's engine pauses and leaves, the new one's resumes.
//!
//! Once it has reported its state, the leaving engine only sends the adverts of its masters, until it is to leave for
//! good or to go on. It handles no adverts and keeps its inputs.

use vrrp_ebpf::time::Timestamp;

use super::link::gate;
use super::ports::{DRAIN_MAX, KernelPorts};
use crate::daemon::auth::Gate;
use crate::daemon::hot_restart::{Leases, RouterSnapshot};
use crate::daemon::queue::Command;
use crate::protocol::{GroupId, Instance, InstanceId, Turn};

impl KernelPorts {
    /// Takes the state of all instances and groups. `None`: a handover is in progress, or a report waits for room, and
    /// the engine goes on.
    pub(super) fn pause(
        &mut self,
        turn: &mut Turn,
        leases: Leases,
        now: Timestamp,
    ) -> Option<RouterSnapshot> {
        if !self.flush_queues() {
            return None;
        }
        let instances = turn.pause(self, now)?;
        self.leases = Some(leases);
        self.write_leases(turn);
        let router = turn.router();
        let groups = (0..).map(GroupId).map_while(|id| Some((id, router.group(id)?.epoch()))).collect();
        Some(RouterSnapshot { taken: now, instances, groups, ..RouterSnapshot::default() })
    }

    /// While this engine is paused, writes the ends of its masters' leases, which the other daemon reads.
    pub(super) fn write_leases(&mut self, turn: &Turn) {
        if let Some(leases) = &mut self.leases {
            leases.write(|id| turn.leased_until(id));
        }
    }

    /// Empties the queues unread: adverts are recovered from the records of their senders, or are sent again.
    pub(super) fn discard(&mut self) {
        let Self { ring, maps, .. } = self;
        if let Some(ring) = ring {
            // An unjudged advert must not end a lease for longer than it takes to judge one.
            ring.drain(DRAIN_MAX, |event| {
                maps.settle_challenge(InstanceId(event.slot), Timestamp::from_nanos(event.stamp));
            });
        }
        for (_, listener) in &mut self.listeners {
            let _ = listener.drain(DRAIN_MAX, |_, _| {});
        }
    }

    /// No daemon has replaced this one, though one may have begun to send: handles the inputs kept meanwhile, before
    /// those that have come since.
    pub(super) fn go_on(&mut self, turn: &mut Turn, now: Timestamp) {
        if !turn.is_paused() {
            return;
        }
        turn.go_on(self, now);
        self.leases = None;
        self.links.iter_mut().filter_map(|link| link.gate.as_mut()).for_each(Gate::go_on);
        for input in std::mem::take(&mut self.kept) {
            self.take_or_keep(turn, input, now);
        }
    }

    /// Resumes from the state of the daemon that has paused.
    pub(super) fn restore(
        &mut self,
        turn: &mut Turn,
        mut snapshot: RouterSnapshot,
        mut leases: Leases,
        now: Timestamp,
    ) {
        for (id, until) in leases.read().into_iter().flatten() {
            let found = snapshot.instances.iter_mut().find(|(known, _)| *known == id);
            found.into_iter().for_each(|(_, instance)| instance.entitled_until = Some(until));
        }
        for (id, _) in &snapshot.instances {
            // Its ledger has come with the rest of the state.
            if let Some(link) = self.links.get_mut(id.index())
                && let Some(settings) = &link.settings
            {
                link.gate = gate(&self.live, *id, settings);
            }
        }
        turn.restore(self, &snapshot.instances, &snapshot.groups, snapshot.taken, now);
        let router = turn.router();
        for (id, instance_snapshot) in &snapshot.instances {
            let priority = router.instance(*id).map(Instance::priority);
            if let (Some(live), Some(priority)) = (self.live(*id), priority) {
                live.restore(instance_snapshot, priority);
            }
        }
        for (id, _) in &snapshot.groups {
            if let (Some(live), Some(group)) = (self.live.groups.get(id.index()), router.group(*id)) {
                live.restore(group, now);
            }
        }
        turn.settle_restored(self, now);
        // After the addresses that masters hold.
        self.commands.push(Command::Inherit);
    }

    /// Ends without sending anything: the addresses and the mastership are now another daemon's.
    pub(super) fn leave(&mut self, turn: &mut Turn) {
        turn.leave();
        // The program may stay attached for a moment after this process ends.
        self.maps.open_fence();
    }
}
