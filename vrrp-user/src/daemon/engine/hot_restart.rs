//! Hot restart in the engine: the old daemon's engine pauses and leaves, the new one's resumes.
//!
//! The leaving engine is silent from the moment at which it has reported its state, until it receives the order to
//! leave for good or to go on. Meanwhile it handles no adverts and keeps its inputs.

use vrrp_ebpf::time::Timestamp;

use super::link::gate;
use super::{DRAIN_MAX, Engine};
use crate::daemon::hot_restart::RouterSnapshot;
use crate::daemon::queue::{Command, Input};
use crate::protocol::{Epoch, GroupId, InstanceId};

impl Engine {
    /// Takes the state of all instances and groups, after which this engine sends nothing more. `None`: a handover is
    /// in progress, and the engine goes on.
    pub(super) fn pause(&mut self) -> Option<RouterSnapshot> {
        let instances = self.router.snapshot()?;
        let groups = (0..).map(GroupId).map_while(|id| Some((id, self.router.group(id)?.epoch()))).collect();
        self.paused = Some(Vec::new());
        Some(RouterSnapshot { instances, groups, rows: Vec::new() })
    }

    /// Empties the queues unread: adverts are recovered from the records of their senders, or are sent again.
    pub(super) fn discard(&mut self) {
        let Self { ring, maps, .. } = self;
        if let Some(ring) = ring {
            // An unjudged advert must not end a lease for longer than it takes to judge one.
            let stamp = |event: &vrrp_ebpf::map::Event| Timestamp::from_nanos(event.stamp);
            ring.drain(DRAIN_MAX, |event| maps.settle_challenge(event.slot, stamp(event)));
        }
        for (_, listener) in &mut self.listeners {
            let _ = listener.drain(DRAIN_MAX, |_, _| {});
        }
    }

    /// No daemon has replaced this one: handles the inputs kept meanwhile.
    pub(super) fn go_on(&mut self) {
        for input in self.paused.take().into_iter().flatten() {
            // They had room in the queue before.
            self.inputs.push(input);
        }
    }

    /// While paused, keeps an input for [`Self::go_on`].
    pub(super) fn keep(&mut self, input: Input) -> Option<Input> {
        match &mut self.paused {
            Some(kept) if !matches!(input, Input::GoOn | Input::Leave) => {
                kept.push(input);
                None
            }
            _ => Some(input),
        }
    }

    /// Resumes from the state of the daemon that has paused.
    pub(super) fn restore(&mut self, snapshot: &RouterSnapshot, now: Timestamp) {
        for (id, _) in &snapshot.instances {
            // Its ledger has come with the rest of the state.
            if let (Some(link), Some(view)) = (self.links.get_mut(id.index()), self.router.instance(*id)) {
                link.gate = gate(&self.live, id.index(), view.settings());
            }
        }
        self.router.restore(&snapshot.instances, &snapshot.groups, now);
        for (id, instance_snapshot) in &snapshot.instances {
            let priority = self.router.instance(*id).map(crate::protocol::Instance::priority);
            if let (Some(live), Some(priority)) = (self.live.instances.get(id.index()), priority) {
                live.restore(instance_snapshot, priority);
            }
        }
        for (id, _) in &snapshot.groups {
            if let (Some(live), Some(group)) = (self.live.groups.get(id.index()), self.router.group(*id)) {
                live.restore(group, now);
            }
        }
        for index in 0..self.links.len() {
            let id = InstanceId(u32::try_from(index).unwrap_or(u32::MAX));
            self.serve(id, false, now);
        }
        self.act(None, now);
    }

    /// The lease continues from the latest advert, which the other daemon has sent.
    pub(super) fn hold(&mut self, instance: InstanceId, epoch: Epoch) {
        self.command(Command::Hold(instance, epoch));
        let Some(link) = self.links.get_mut(instance.index()) else { return };
        (link.serving, link.renewing) = (true, true);
        let until = self.router.instance(instance).and_then(crate::protocol::Instance::entitled_until);
        self.maps.set_lease(instance.0, until);
    }

    /// Ends without sending anything: the addresses and the mastership are now another daemon's.
    pub(super) fn leave(&mut self) {
        self.ending = true;
        // The program may stay attached for a moment after this process ends.
        self.maps.open_fence();
        self.paused = Some(Vec::new());
    }
}
