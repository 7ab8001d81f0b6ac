//! Sync groups: instances that are masters together or not at all. RFC 9568 has none; they are keepalived's.
//!
//! Enters: a member that has just handled an event. Leaves: the same state for all members, in the same input. Absent:
//! the meaning of adverts and timers, which each member decides for itself.
//!
//! A member in Fault takes all others with it, and they leave Fault when none has a cause of its own. A master that
//! yields takes all with it. No member becomes master alone: a Backup whose master-down timer has fired is *ready* and
//! goes on listening, and when all are ready they take over together. So late or lost adverts of one member move no
//! instance, and an advert that arrives after all ends the readiness.
//!
//! Two nodes may tie: both take over at once, each is better for one member, and both yield. They would repeat it for
//! ever in step. Therefore the node that lost by its first member, which only one of the two can have done, listens for
//! one more interval before it tries again.
//!
//! For reloads see [`super::regroup`].

use alloc::vec::Vec;

use vrrp_ebpf::time::Timestamp;

use super::action::{Action, GroupTransition, Reason, State};
use super::context::{Cx, Move};
use super::handover;
use super::instance::Instance;
use super::settings::GroupSettings;
use super::state::data::Suspension;
use super::state::{self, backup, master};
use super::timers::Timer;
use super::units::{Epoch, GroupId, InstanceId};

/// A sync group. Read it for status; only the router changes it.
#[derive(Debug)]
pub struct Group {
    id: GroupId,
    settings: GroupSettings,
    /// Sorted.
    members: Vec<InstanceId>,
    /// Number of ready members.
    pub(super) ready: usize,
    pub(super) state: State,
    pub(super) epoch: Epoch,
    /// When the first member yielded to a better master, as long as that may have been a tie.
    lost: Option<Timestamp>,
}

impl Group {
    /// Also sets the group of its members. Unknown members, and those of an earlier group, are left out.
    pub(super) fn new(
        id: GroupId,
        settings: GroupSettings,
        epoch: Epoch,
        instances: &mut [Instance],
    ) -> Self {
        let mut members = Vec::with_capacity(settings.members.len());
        for &member in &settings.members {
            if let Some(instance) = instances.get_mut(member.index()).filter(|it| it.group.is_none()) {
                instance.group = Some(id);
                members.push(member);
            }
        }
        members.sort_unstable();
        Self { id, settings, members, ready: 0, state: State::Init, epoch, lost: None }
    }

    /// Continues an earlier group that shares members with it. Its next epoch is later than those of all groups that
    /// had its name.
    pub(super) fn continuing(self, old: &Self) -> Self {
        let epoch = if self.settings.name == old.settings.name { old.epoch } else { self.epoch };
        let is_first_same = self.settings.members.first() == old.settings.members.first();
        Self { state: old.state, epoch, lost: old.lost.filter(|_| is_first_same), ..self }
    }

    /// Takes the state of its members, which have been resumed.
    pub(super) fn restore(&mut self, epoch: Epoch, instances: &[Instance]) {
        let is_there = |member: &&Instance| member.reason().is_some() && !member.is_apart();
        let Some(member) = self.present(instances).find(is_there) else { return };
        (self.state, self.epoch) = (member.state(), epoch);
        self.ready = self.present(instances).filter(|member| member.is_ready()).count();
    }

    pub fn id(&self) -> GroupId {
        self.id
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn settings(&self) -> &GroupSettings {
        &self.settings
    }

    /// The state of all members, except those that are still to join.
    pub fn state(&self) -> State {
        self.state
    }

    pub(super) fn members(&self) -> &[InstanceId] {
        &self.members
    }

    /// The first ready member not below `from`.
    pub(super) fn ready_from(&self, from: InstanceId, instances: &[Instance]) -> Option<InstanceId> {
        if self.ready == 0 {
            return None;
        }
        let start = self.members.partition_point(|member| *member < from);
        let mut rest = self.members.get(start..)?.iter().copied();
        rest.find(|member| instances.get(member.index()).is_some_and(Instance::is_ready))
    }

    /// Brings all members to one state after `cause` has handled an event. True if other members may have changed.
    pub(super) fn settle(
        &mut self,
        cause: InstanceId,
        before: Before,
        instances: &mut [Instance],
        cx: &mut Cx<'_>,
    ) -> bool {
        let Some(instance) = instances.get(cause.index()) else { return false };
        self.ready = self.ready + usize::from(instance.is_ready()) - usize::from(before.ready);
        let moved = match self.state {
            // Each member handles the shutdown for itself.
            _ if !instance.started => false,
            _ if !self.has_joined(instance) => instance.may_leave_init() && self.join(cause, instances, cx),
            State::Init if self.all(instances, Instance::may_leave_init) => self.begin(instances, cx),
            State::Init => false,
            State::Fault => self.reconsider_fault(cause, instances, cx),
            State::Backup | State::Master if instance.faults().reason().is_some() => self.fail(instances, cx),
            State::Backup if instance.stats().suspensions > before.suspensions => {
                let suspension = instance.backup.suspension();
                self.listen(suspension, instances, cx)
            }
            State::Backup => self.are_ready(instances) && self.take_over(cause, instances, cx),
            State::Master if instance.state() == State::Backup => self.yield_all(cause, instances, cx),
            State::Master => {
                instance.master.contest_announced() == Some(cx.now) && self.announce(instances, cx)
            }
        };
        if moved {
            self.ready = self.present(instances).filter(|member| member.is_ready()).count();
        }
        self.report(cause, before, instances, cx);
        moved
    }

    /// Leaves Init, once the tracked objects of all are known, or a Fault that is over.
    pub(super) fn begin(&mut self, instances: &mut [Instance], cx: &mut Cx<'_>) -> bool {
        self.lost = None;
        if self.present(instances).any(|member| member.faults().reason().is_some()) {
            return self.fail(instances, cx);
        }
        // If other members wait, an owner has to wait too.
        let are_owners = self.all(instances, |member| member.priority().is_owner());
        let to = if are_owners { State::Master } else { State::Backup };
        self.each(instances, |member| {
            let reason = match member.state() {
                State::Fault => Reason::Recovered,
                _ if are_owners => Reason::Owner,
                _ => Reason::Startup,
            };
            state::go(member, Move::new(to, reason), cx);
        })
    }

    /// Moves all members to Fault. Members already in Fault get the current reason.
    pub(super) fn fail(&self, instances: &mut [Instance], cx: &mut Cx<'_>) -> bool {
        self.each(instances, |member| {
            let reason = member.faults().reason().unwrap_or(Reason::GroupFault);
            if member.state() == State::Fault {
                member.reason = Some(reason);
            } else {
                state::go(member, Move::new(State::Fault, reason), cx);
            }
        });
        self.serve_together(instances, cx);
        true
    }

    /// Members that have just left a mastership serve for as long as any of them: their heirs take over together, when
    /// the last one is ready. A member whose addresses go before that would leave a gap.
    pub(super) fn serve_together(&self, instances: &mut [Instance], cx: &mut Cx<'_>) {
        let until = self.present(instances).filter_map(|member| handover::heir_due(member, cx.now)).max();
        if let Some(until) = until {
            self.each(instances, |member| backup::serve_until(member, until, cx));
        }
    }

    /// A new member follows the others. With a cause of Fault it goes there alone, and follows them when it can.
    pub(super) fn join(&self, cause: InstanceId, instances: &mut [Instance], cx: &mut Cx<'_>) -> bool {
        let Some(member) = instances.get_mut(cause.index()) else { return false };
        let fault = member.faults().reason();
        member.apart = fault.is_some();
        let (to, reason) = match (fault, self.state) {
            (Some(reason), _) => (State::Fault, reason),
            (None, State::Fault) => (State::Fault, Reason::GroupFault),
            (None, State::Master) => (State::Master, Reason::GroupJoined),
            (None, _) if member.state() == State::Fault => (State::Backup, Reason::Recovered),
            (None, State::Backup | State::Init) => (State::Backup, Reason::Startup),
        };
        if (member.state(), to) == (State::Fault, State::Fault) {
            member.reason = Some(reason);
        } else {
            state::go(member, Move::new(to, reason), cx);
        }
        !member.apart
    }

    fn reconsider_fault(&mut self, cause: InstanceId, instances: &mut [Instance], cx: &mut Cx<'_>) -> bool {
        let fails = |member: &Instance| member.faults().reason().is_some();
        if !self.present(instances).any(fails) {
            return self.begin(instances, cx);
        }
        // Another cause is no transition, but it is the current reason.
        if let Some(member) = instances.get_mut(cause.index()) {
            member.reason = Some(member.faults().reason().unwrap_or(Reason::GroupFault));
        }
        false
    }

    /// This node was suspended: members that were ready before must listen again, in case a master has come back.
    pub(super) fn listen(
        &self,
        suspension: Option<Suspension>,
        instances: &mut [Instance],
        cx: &mut Cx<'_>,
    ) -> bool {
        self.each(instances, |member| {
            if member.is_ready() {
                backup::listen_after(member, suspension, cx);
            }
        })
    }

    fn take_over(&mut self, cause: InstanceId, instances: &mut [Instance], cx: &mut Cx<'_>) -> bool {
        if self.has_tied(instances) {
            if let Some(member) = instances.get_mut(cause.index()) {
                backup::listen(member, member.settings().advert_interval.duration(), cx);
            }
            return true;
        }
        self.each(instances, |member| state::go(member, backup::take_over(member), cx))
    }

    /// Members that heard no better master release their addresses, which may have no new master yet.
    fn yield_all(&mut self, cause: InstanceId, instances: &mut [Instance], cx: &mut Cx<'_>) -> bool {
        // An operator's order is no tie, and concerns all members alike.
        let is_ordered = instances.get(cause.index()).and_then(Instance::reason) == Some(Reason::HandedOver);
        let reason = if is_ordered { Reason::HandedOver } else { Reason::GroupYielded };
        self.lost = (!is_ordered && self.settings.members.first() == Some(&cause)).then_some(cx.now);
        self.each(instances, |member| {
            if member.state() == State::Master {
                state::go(member, Move::new(State::Backup, reason), cx);
            }
        });
        if is_ordered {
            self.serve_together(instances, cx);
        }
        true
    }

    /// Whether the first member's better master yielded at once, so that it lost too. True once per tie.
    fn has_tied(&mut self, instances: &[Instance]) -> bool {
        let Some(lost) = self.lost.take() else { return false };
        let first = self.settings.members.first().and_then(|first| instances.get(first.index()));
        first.is_some_and(|first| {
            let second_advert = lost + first.settings().advert_interval.duration() / 2;
            first.remote_master().is_none_or(|master| master.heard.stamp < second_advert)
        })
    }

    /// A host that followed another master of one member may have followed one of the others too: all announce.
    fn announce(&self, instances: &mut [Instance], cx: &mut Cx<'_>) -> bool {
        self.each(instances, |member| {
            // The cause has announced already.
            if member.master.contest_announced() != Some(cx.now) {
                master::announce_contest(member, cx);
            }
        })
    }

    fn report(&mut self, cause: InstanceId, before: Before, instances: &[Instance], cx: &mut Cx<'_>) {
        let Some(to) = self.present(instances).next().map(Instance::state) else { return };
        let has_resumed = self.has_resumed(cause, before, instances);
        if (to == self.state && !has_resumed) || !self.all(instances, |member| member.state() == to) {
            return;
        }
        let own_reason = |member: &InstanceId| {
            let reason = instances.get(member.index())?.reason()?;
            reason.is_own().then_some((*member, reason))
        };
        if let Some(by) = core::iter::once(&cause).chain(&self.members).find_map(own_reason) {
            self.enter(to, by, cx);
        }
    }

    /// `by` is the member that moved the others, and why.
    pub(super) fn enter(&mut self, to: State, by: (InstanceId, Reason), cx: &mut Cx<'_>) {
        let (member, reason) = by;
        let from = core::mem::replace(&mut self.state, to);
        self.epoch = Epoch(self.epoch.0.saturating_add(1));
        let transition = GroupTransition { from, to, reason, member, epoch: self.epoch, at: cx.now };
        cx.actions.push_back(Action::ReportGroup(self.id, transition));
    }

    /// The last of the members that were suspended as masters has taken over again.
    fn has_resumed(&self, cause: InstanceId, before: Before, instances: &[Instance]) -> bool {
        let is_anew = instances
            .get(cause.index())
            .is_some_and(|member| member.epoch != before.epoch && member.reason() == Some(Reason::Resumed));
        is_anew && self.all(instances, |member| member.deadline(Timer::Resume).is_none())
    }

    /// A member moves with the others once it has left Init; a member that a reload added does so later than they, and
    /// not before it can take part.
    pub(super) fn has_joined(&self, member: &Instance) -> bool {
        self.state == State::Init || (member.reason().is_some() && !member.is_apart())
    }

    /// All members that move together.
    pub(super) fn present<'a>(&self, instances: &'a [Instance]) -> impl Iterator<Item = &'a Instance> {
        let members = self.members.iter().filter_map(|member| instances.get(member.index()));
        members.filter(|member| self.has_joined(member))
    }

    fn are_ready(&self, instances: &[Instance]) -> bool {
        self.ready > 0 && self.ready == self.present(instances).count()
    }

    pub(super) fn all(&self, instances: &[Instance], holds: impl Fn(&Instance) -> bool) -> bool {
        self.present(instances).all(holds)
    }

    pub(super) fn each(&self, instances: &mut [Instance], mut act: impl FnMut(&mut Instance)) -> bool {
        for member in &self.members {
            if let Some(instance) = instances.get_mut(member.index()).filter(|it| self.has_joined(it)) {
                act(instance);
            }
        }
        true
    }
}

/// A member before it handled an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) ready: bool,
    pub(super) suspensions: u64,
    pub(super) epoch: Epoch,
}
