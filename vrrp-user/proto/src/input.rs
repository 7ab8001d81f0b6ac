//! The inputs of an instance: each goes to its state, and the transition that follows is made.

use core::net::IpAddr;

use vrrp_ebpf::time::Timestamp;

use super::action::{Action, Reason, State};
use super::context::{Cx, Move};
use super::event::{Loss, PeerAdvert, TrackId};
use super::handover;
use super::instance::Instance;
use super::settings::ElectionSettings;
use super::state::{self, backup, fault, init, master, suspended};
use super::timers::Timer;
use super::units::Priority;

impl Instance {
    pub(super) fn startup(&mut self, cx: &mut Cx<'_>) {
        self.started = !self.removed;
        self.reconsider(cx);
    }

    /// Takes other settings for the same VRID, interface and family. Unchanged parts continue: timers, the master that
    /// is obeyed, the mastership. In a group, the group handles a Fault that begins or ends.
    pub(super) fn reconfigure(
        &mut self,
        settings: ElectionSettings,
        has_new_addresses: bool,
        known: impl Fn(TrackId) -> Option<i32>,
        cx: &mut Cx<'_>,
    ) {
        let (priority, epoch) = (self.priority, self.epoch);
        let old = core::mem::replace(&mut self.settings, settings);
        self.tracking.carry(&old.tracks, &self.settings.tracks, known);
        self.priority = self.tracking.priority(&self.settings);
        self.reconsider(cx);
        match self.state {
            _ if self.epoch != epoch => {}
            State::Backup => backup::reconfigured(self, &old, priority, cx),
            State::Master => master::reconfigured(self, &old, has_new_addresses, priority, cx),
            State::Init | State::Fault => {}
        }
        if self.priority != priority {
            cx.actions.push_back(Action::ReportPriority(self.id(), self.priority));
        }
    }

    /// After a reload, for an instance without a group: a Fault of an earlier group ends, and so does waiting for its
    /// members.
    pub(super) fn stand_alone(&mut self, cx: &mut Cx<'_>) {
        self.reconsider(cx);
        if self.is_ready() {
            state::go(self, backup::take_over(self), cx);
        }
    }

    /// Removes the instance: it is no longer in the configuration.
    pub(super) fn remove(&mut self, cx: &mut Cx<'_>) {
        self.started = false;
        self.removed = true;
        handover::abort(self, cx);
        if self.state != State::Init {
            state::go(self, Move::new(State::Init, Reason::Removed), cx);
        }
    }

    /// Ends the instance. A second call ends the wait for an heir.
    pub(super) fn shutdown(&mut self, cx: &mut Cx<'_>) {
        self.started = false;
        if self.state == State::Init {
            handover::abort(self, cx);
        } else {
            state::go(self, Move::new(State::Init, Reason::Shutdown), cx);
        }
    }

    pub(super) fn heard(&mut self, heard: &PeerAdvert, cx: &mut Cx<'_>) {
        if self.source() == Some(heard.source) {
            self.stats.own_heard += 1;
            return;
        }
        handover::heard(self, heard, cx);
        if self.settings.owner_ignores && self.priority.is_owner() {
            return;
        }
        match self.state {
            State::Backup => backup::heard(self, heard, cx),
            State::Master => {
                let next = master::heard(self, heard, cx);
                self.make(next, cx);
            }
            State::Fault => fault::heard(self, heard),
            State::Init => {}
        }
    }

    pub(super) fn seen(&mut self, stamp: Timestamp, cx: &mut Cx<'_>) {
        if self.state == State::Backup {
            backup::seen(self, stamp, cx);
        }
    }

    pub(super) fn not_receiving(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::Backup {
            backup::not_receiving(self, cx);
        }
    }

    pub(super) fn slept(&mut self, cx: &mut Cx<'_>) {
        match self.state {
            State::Backup => backup::not_receiving(self, cx),
            State::Master => suspended::slept(self, cx),
            State::Init | State::Fault => {}
        }
    }

    pub(super) fn lapsed(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::Master {
            suspended::lapsed(self, cx);
        }
    }

    pub(super) fn asked(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::Master {
            master::asked(self, cx);
        }
    }

    pub(super) fn refused(&mut self) {
        self.master.refused = self.state == State::Master;
    }

    pub(super) fn sends_again(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::Fault {
            let next = fault::sends_again(self, cx.now);
            self.make(next, cx);
        }
    }

    pub(super) fn link(&mut self, up: bool, cx: &mut Cx<'_>) {
        self.tracking.link = up;
        self.reconsider(cx);
    }

    pub(super) fn source_is(&mut self, source: Option<IpAddr>, cx: &mut Cx<'_>) {
        self.tracking.source = source;
        self.reconsider(cx);
    }

    pub(super) fn track(&mut self, id: TrackId, value: i32, cx: &mut Cx<'_>) {
        self.record(id, value);
        let (old, epoch) = (self.priority, self.epoch);
        self.priority = self.tracking.priority(&self.settings);
        self.reconsider(cx);
        self.reprioritised(old, self.epoch != epoch, cx);
    }

    pub(super) fn announce(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::Master {
            master::announce_again(self, cx);
        }
    }

    /// Acts on another priority than `old`, unless the state has started with it.
    fn reprioritised(&mut self, old: Priority, is_settled: bool, cx: &mut Cx<'_>) {
        if self.priority == old {
            return;
        }
        match self.state {
            _ if is_settled => {}
            State::Backup => backup::reprioritised(self, old, cx),
            State::Master => master::reprioritised(self, old, cx),
            State::Init | State::Fault => {}
        }
        cx.actions.push_back(Action::ReportPriority(self.id(), self.priority));
    }

    /// Acts on orders of an operator; a master may be to hand over.
    pub(super) fn steer(&mut self, hands_over: bool, cx: &mut Cx<'_>) {
        if self.removed {
            return;
        }
        let (old, epoch) = (self.priority, self.epoch);
        self.priority = self.tracking.priority(&self.settings);
        self.reconsider(cx);
        if hands_over
            && self.epoch == epoch
            && self.state == State::Master
            && self.faults().reason().is_none()
        {
            state::go(self, Move::new(State::Backup, Reason::HandedOver), cx);
        }
        // While it serves alone, its timer is for the end of that, whatever its priority: another member of its group
        // may have had it hand over just before.
        let is_settled = self.epoch != epoch || handover::serves_until(self).is_some();
        self.reprioritised(old, is_settled, cx);
    }

    /// An address, a route or a rule was removed. Only a Master has them.
    pub(super) fn lost(&mut self, loss: Loss, addresses: &[IpAddr], cx: &mut Cx<'_>) {
        if self.state == State::Master {
            let next = master::lost(self, loss, addresses, cx);
            self.make(next, cx);
        }
    }

    pub(super) fn renew(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::Master {
            let next = master::renew(self, cx);
            self.make(next, cx);
        }
    }

    pub(super) fn timeout(&mut self, cx: &mut Cx<'_>) {
        // Each handler arms its timers beyond now, so one round is enough.
        for _ in Timer::ALL {
            let Some((timer, due)) = self.timers.take_due(cx.now) else { break };
            let next = match self.state {
                _ if timer == Timer::Handover => {
                    handover::fired(self, cx);
                    None
                }
                State::Backup => backup::fired(self, timer, due, cx),
                State::Master => master::fired(self, timer, due, cx),
                State::Fault => fault::fired(self, timer, cx),
                State::Init => None,
            };
            self.make(next, cx);
        }
    }

    /// Enters or leaves Fault, or leaves Init, if the faults require it. In a group, the group does it.
    fn reconsider(&mut self, cx: &mut Cx<'_>) {
        if self.faults().reason().is_some_and(|reason| !handover::can_serve(reason)) {
            handover::abort(self, cx);
        }
        let next = match self.state {
            State::Init => init::ends(self),
            State::Fault => fault::ends(self),
            State::Backup | State::Master => fault::begins(self),
        };
        self.make(next, cx);
    }

    fn make(&mut self, next: Option<Move>, cx: &mut Cx<'_>) {
        if let Some(next) = next {
            state::go(self, next, cx);
        }
    }
}
