//! One daemon leaves, another goes on: what the engines of both do.
//!
//! The one that leaves is silent from the moment on at which it has told how everything stands, until it is told to
//! leave for good or to go on. Meanwhile it hears nothing and keeps what it is given.

use vrrp_ebpf::time::Timestamp;

use super::link::gate;
use super::{DRAIN_MAX, Engine};
use crate::daemon::queue::{Command, Input};
use crate::daemon::takeover::Legacy;
use crate::protocol::{Epoch, GroupId, InstanceId};

impl Engine {
    /// How everything stands, after which this engine says nothing more; `None`: something is handed over just now, and
    /// it goes on.
    pub(super) fn pause(&mut self) -> Option<Legacy> {
        let instances = self.router.stance()?;
        let groups = (0..).map(GroupId).map_while(|id| Some((id, self.router.group(id)?.epoch()))).collect();
        self.paused = Some(Vec::new());
        Some(Legacy { instances, groups })
    }

    /// Nobody listens: what came is found in the records of its senders, or comes again.
    pub(super) fn discard(&mut self) {
        let Self { ring, maps, .. } = self;
        if let Some(ring) = ring {
            // An advert that is not judged must not end a lease for longer than it takes to judge one.
            let stamp = |event: &vrrp_ebpf::map::Event| Timestamp::from_nanos(event.stamp);
            ring.drain(DRAIN_MAX, |event| maps.settle_challenge(event.slot, stamp(event)));
        }
        for (_, listener) in &mut self.listeners {
            let _ = listener.drain(DRAIN_MAX, |_, _| {});
        }
    }

    /// Nobody has taken over: what has come meanwhile is handled now.
    pub(super) fn go_on(&mut self) {
        for input in self.paused.take().into_iter().flatten() {
            // There was room for it before.
            self.inputs.push(input);
        }
    }

    /// Keeps for [`Self::go_on`] what comes while it is paused.
    pub(super) fn keep(&mut self, input: Input) -> Option<Input> {
        match &mut self.paused {
            Some(kept) if !matches!(input, Input::GoOn | Input::Leave) => {
                kept.push(input);
                None
            }
            _ => Some(input),
        }
    }

    /// Goes on where another daemon has paused.
    pub(super) fn resume(&mut self, legacy: &Legacy, now: Timestamp) {
        for (id, _) in &legacy.instances {
            // Its ledger has come with the rest.
            if let (Some(link), Some(view)) = (self.links.get_mut(id.index()), self.router.instance(*id)) {
                link.gate = gate(&self.board, id.index(), view.settings());
            }
        }
        self.router.resume(&legacy.instances, &legacy.groups, now);
        for (id, stance) in &legacy.instances {
            let priority = self.router.instance(*id).map(crate::protocol::Instance::priority);
            if let (Some(board), Some(priority)) = (self.board.instances.get(id.index()), priority) {
                board.resume(stance, priority);
            }
        }
        for (id, _) in &legacy.groups {
            if let (Some(board), Some(group)) = (self.board.groups.get(id.index()), self.router.group(*id)) {
                board.resume(group, now);
            }
        }
        for index in 0..self.links.len() {
            let id = InstanceId(u32::try_from(index).unwrap_or(u32::MAX));
            self.serve(id, false, now);
        }
        self.act(None, now);
    }

    /// The lease is that of the latest advert, which the other daemon has sent.
    pub(super) fn hold(&mut self, instance: InstanceId, epoch: Epoch) {
        self.command(Command::Hold(instance, epoch));
        let Some(link) = self.links.get_mut(instance.index()) else { return };
        (link.serving, link.renewing) = (true, true);
        let until = self.router.instance(instance).and_then(crate::protocol::Instance::entitled_until);
        self.maps.set_lease(instance.0, until);
    }

    /// Ends without a word: what is set and who is master are another daemon's now.
    pub(super) fn leave(&mut self) {
        self.ending = true;
        // Its program may be attached for a moment longer than it lives.
        self.maps.open_fence();
        self.paused = Some(Vec::new());
    }
}
