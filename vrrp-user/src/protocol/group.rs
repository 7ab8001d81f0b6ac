//! Sync groups: instances that are masters together or not at all. RFC 9568 has none; they are keepalived's.
//!
//! Enters: a member that has just handled an event. Leaves: the same state for all members, in the same input. Absent:
//! what an advert or a timer means; that is decided by each member for itself.
//!
//! A member in Fault takes all with it, and they leave it when none has a cause of its own. A master that yields takes
//! all with it. Nobody becomes master alone: a Backup whose master's time is up is *ready* and goes on listening, and
//! when all are ready they take over together. So late or lost adverts of one member move nobody, and the advert that
//! comes after all ends its readiness.
//!
//! Two nodes may tie: both take over at once, one is the better one for this member and the other for that one, and
//! both yield. They would do so for ever in step. Therefore the node that lost by its first member, which only one of
//! the two can have done, listens for an interval more before it tries again.
//!
//! What a reload makes of a group is told in [`super::regroup`].

use vrrp_ebpf::time::Timestamp;

use super::action::{Action, GroupTransition, Reason, State};
use super::instance::Instance;
use super::settings::GroupSettings;
use super::state::{self, Turn, backup, master};
use super::timers::Timer;
use super::units::{Epoch, GroupId, InstanceId};

/// Read it for status; only the router changes it.
#[derive(Debug)]
pub struct Group {
    id: GroupId,
    settings: GroupSettings,
    /// Sorted.
    members: Vec<InstanceId>,
    /// How many of them are ready.
    pub(super) ready: usize,
    pub(super) state: State,
    pub(super) epoch: Epoch,
    /// When the first member yielded to a better master, while that may have been a tie.
    lost: Option<Timestamp>,
}

impl Group {
    /// Also tells its members. Unknown ones, and those of an earlier group, are left out.
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

    /// Goes on where an earlier group stood that shares members with it. Its next epoch is later than those of any other
    /// that had its name.
    pub(super) fn continuing(self, old: &Self) -> Self {
        let epoch = if self.settings.name == old.settings.name { old.epoch } else { self.epoch };
        let is_first_same = self.settings.members.first() == old.settings.members.first();
        Self { state: old.state, epoch, lost: old.lost.filter(|_| is_first_same), ..self }
    }

    /// Goes on where its members have been put.
    pub(super) fn resume(&mut self, epoch: Epoch, instances: &[Instance]) {
        let Some(member) = self.present(instances).find(|member| member.reason().is_some()) else { return };
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

    /// The state of all members, apart from those that are still to join.
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

    /// Brings all members to one state after `cause` has handled an event. True where others than it have changed.
    pub(super) fn settle(
        &mut self,
        cause: InstanceId,
        before: Before,
        instances: &mut [Instance],
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(instance) = instances.get(cause.index()) else { return false };
        self.ready = self.ready + usize::from(instance.is_ready()) - usize::from(before.ready);
        let moved = match self.state {
            // Each member handles the end for itself.
            _ if !instance.started => false,
            _ if !self.has_joined(instance) => instance.may_leave_init() && self.join(cause, instances, turn),
            State::Init if self.all(instances, Instance::may_leave_init) => self.begin(instances, turn),
            State::Init => false,
            State::Fault => self.reconsider_fault(cause, instances, turn),
            State::Backup | State::Master if instance.faults().reason().is_some() => {
                self.fail(instances, turn)
            }
            State::Backup if instance.stats().away > before.away => self.listen(instances, turn),
            State::Backup => self.are_ready(instances) && self.take_over(cause, instances, turn),
            State::Master if instance.state() == State::Backup => self.yield_all(cause, instances, turn),
            State::Master => {
                instance.master.contest_announced() == Some(turn.now) && self.announce(instances, turn)
            }
        };
        if moved {
            self.ready = self.present(instances).filter(|member| member.is_ready()).count();
        }
        self.report(cause, before, instances, turn);
        moved
    }

    /// What all depend on is known: the way out of Init, or of a Fault that is over.
    pub(super) fn begin(&mut self, instances: &mut [Instance], turn: &mut Turn<'_>) -> bool {
        self.lost = None;
        if self.present(instances).any(|member| member.faults().reason().is_some()) {
            return self.fail(instances, turn);
        }
        // Beside members that wait, an owner has to wait too.
        let are_owners = self.all(instances, |member| member.priority().is_owner());
        let to = if are_owners { State::Master } else { State::Backup };
        self.each(instances, |member| {
            let reason = match member.state() {
                State::Fault => Reason::Recovered,
                _ if are_owners => Reason::Owner,
                _ => Reason::Startup,
            };
            state::go(member, to, reason, None, turn);
        })
    }

    /// Those that are in Fault already learn what keeps them there now.
    pub(super) fn fail(&self, instances: &mut [Instance], turn: &mut Turn<'_>) -> bool {
        self.each(instances, |member| {
            let reason = member.faults().reason().unwrap_or(Reason::GroupFault);
            if member.state() == State::Fault {
                member.reason = Some(reason);
            } else {
                state::go(member, State::Fault, reason, None, turn);
            }
        })
    }

    /// A new member follows the others, unless it has a cause of Fault, which they follow.
    pub(super) fn join(&self, cause: InstanceId, instances: &mut [Instance], turn: &mut Turn<'_>) -> bool {
        let Some(member) = instances.get_mut(cause.index()) else { return false };
        let fault = member.faults().reason();
        let (to, reason) = match (fault, self.state) {
            (Some(reason), _) => (State::Fault, reason),
            (None, State::Fault) => (State::Fault, Reason::GroupFault),
            (None, State::Master) => (State::Master, Reason::GroupJoined),
            (None, State::Backup | State::Init) => (State::Backup, Reason::Startup),
        };
        state::go(member, to, reason, None, turn);
        fault.is_none() || self.state == State::Fault || self.fail(instances, turn)
    }

    fn reconsider_fault(
        &mut self,
        cause: InstanceId,
        instances: &mut [Instance],
        turn: &mut Turn<'_>,
    ) -> bool {
        let fails = |member: &Instance| member.faults().reason().is_some();
        if !self.present(instances).any(fails) {
            return self.begin(instances, turn);
        }
        // Another cause is no transition, but it is what keeps the member here now.
        if let Some(member) = instances.get_mut(cause.index()) {
            member.reason = Some(member.faults().reason().unwrap_or(Reason::GroupFault));
        }
        false
    }

    /// This node was away: those that were ready before must hear for themselves whether a master has come back.
    pub(super) fn listen(&self, instances: &mut [Instance], turn: &mut Turn<'_>) -> bool {
        self.each(instances, |member| {
            if member.is_ready() {
                backup::listen_after_absence(member, turn);
            }
        })
    }

    fn take_over(&mut self, cause: InstanceId, instances: &mut [Instance], turn: &mut Turn<'_>) -> bool {
        if self.has_tied(instances) {
            if let Some(member) = instances.get_mut(cause.index()) {
                backup::listen(member, member.settings().advert_interval.duration(), turn);
            }
            return true;
        }
        self.each(instances, |member| backup::take_over(member, turn))
    }

    /// Those for whom no better master was heard release their addresses, as nobody may have taken them yet.
    fn yield_all(&mut self, cause: InstanceId, instances: &mut [Instance], turn: &mut Turn<'_>) -> bool {
        self.lost = (self.settings.members.first() == Some(&cause)).then_some(turn.now);
        self.each(instances, |member| {
            if member.state() == State::Master {
                state::go(member, State::Backup, Reason::GroupYielded, None, turn);
            }
        })
    }

    /// The better master has left at once, so it lost too. Told once.
    fn has_tied(&mut self, instances: &[Instance]) -> bool {
        let Some(lost) = self.lost.take() else { return false };
        let first = self.settings.members.first().and_then(|first| instances.get(first.index()));
        first.is_some_and(|first| {
            let second_advert = lost + first.settings().advert_interval.duration() / 2;
            first.remote_master().is_none_or(|master| master.heard.stamp < second_advert)
        })
    }

    /// Whoever listened to another master of one member may have listened to one of the others too.
    fn announce(&self, instances: &mut [Instance], turn: &mut Turn<'_>) -> bool {
        self.each(instances, |member| {
            // The cause has done so.
            if member.master.contest_announced() != Some(turn.now) {
                master::announce_contest(member, turn);
            }
        })
    }

    fn report(&mut self, cause: InstanceId, before: Before, instances: &[Instance], turn: &mut Turn<'_>) {
        let Some(to) = self.present(instances).next().map(Instance::state) else { return };
        let has_returned = self.has_returned(cause, before, instances);
        if (to == self.state && !has_returned) || !self.all(instances, |member| member.state() == to) {
            return;
        }
        let own_reason = |member: &InstanceId| {
            let reason = instances.get(member.index())?.reason()?;
            reason.is_own().then_some((*member, reason))
        };
        if let Some(by) = std::iter::once(&cause).chain(&self.members).find_map(own_reason) {
            self.enter(to, by, turn);
        }
    }

    /// `by` is the member that moved the others, and why.
    pub(super) fn enter(&mut self, to: State, by: (InstanceId, Reason), turn: &mut Turn<'_>) {
        let (member, reason) = by;
        let from = std::mem::replace(&mut self.state, to);
        self.epoch = Epoch(self.epoch.0.saturating_add(1));
        let transition = GroupTransition { from, to, reason, member, epoch: self.epoch, at: turn.now };
        turn.actions.push_back(Action::ReportGroup(self.id, transition));
    }

    /// The last of the members that were away as masters has taken over anew.
    fn has_returned(&self, cause: InstanceId, before: Before, instances: &[Instance]) -> bool {
        let is_anew = instances
            .get(cause.index())
            .is_some_and(|member| member.epoch != before.epoch && member.reason() == Some(Reason::Returned));
        is_anew && self.all(instances, |member| member.deadline(Timer::Return).is_none())
    }

    /// A member moves with the others once it has left Init: one that a reload has added does so later than they.
    pub(super) fn has_joined(&self, member: &Instance) -> bool {
        self.state == State::Init || member.reason().is_some()
    }

    /// All that move together.
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

/// What a member was before it handled an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) ready: bool,
    pub(super) away: u64,
    pub(super) epoch: Epoch,
}
