//! Changes of sync groups by a reload, for running instances.
//!
//! Enters: the groups of another configuration, whose instances are configured already. Leaves: the members of each
//! group in one state, by as few transitions as possible. Absent: adverts and tracked objects, see [`super::group`].
//!
//! Members that share a state keep it without a transition. If they differ, the rules of an event apply: a cause of
//! Fault keeps all in Fault, and a member that obeys another master keeps all from being master. A new member waits in
//! Init until its tracked objects are known, while the others continue, and then follows them; into a mastership too,
//! because the node that is master of the other members is to be master of this one.
//!
//! A new member with a cause of Fault is *apart*: the others continue without it until the cause is gone, as they did
//! before the reload. At a start no member is apart. Of existing instances that a reload makes a group, those in Fault
//! are, unless all are.
//!
//! An instance that no longer has a group keeps its state.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use vrrp_ebpf::time::Timestamp;

use super::action::{Reason, State};
use super::context::{Cx, Move};
use super::group::Group;
use super::instance::Instance;
use super::router::Router;
use super::settings::GroupSettings;
use super::state::{self, backup};
use super::units::{GroupId, InstanceId};

impl Router {
    /// Replaces the groups; [`Self::agree`] must follow. A group continues an earlier one: that of its name, or else
    /// the one that it shares most members with. Returns these, group by group.
    pub fn regroup(&mut self, groups: Vec<GroupSettings>) -> Vec<Option<GroupId>> {
        for instance in &mut self.instances {
            instance.group = None;
        }
        let latest = self.note_epochs();
        let before = core::mem::take(&mut self.groups);
        let succeeded = self.succeeded(&before, &groups);
        for ((settings, id), old) in groups.into_iter().zip((0..).map(GroupId)).zip(&succeeded) {
            let group = Group::new(id, settings, latest, &mut self.instances);
            let old = old.and_then(|old| before.get(old.index()));
            let is_new = |id| old.is_none_or(|old| !old.members().contains(id));
            for id in group.members().iter().filter(|id| is_new(id)) {
                if let Some(member) = self.instances.get_mut(id.index()) {
                    member.apart = member.takes_part();
                }
            }
            self.groups.push(match old {
                Some(old) => group.continuing(old),
                None => group,
            });
        }
        self.actions.reserve(self.groups.len());
        succeeded
    }

    /// Ends a reload, once all instances and groups are configured: groups come to one state, and instances without a
    /// group move alone.
    pub fn agree(&mut self, now: Timestamp) {
        let mut cx = Cx { now, actions: &mut self.actions };
        for instance in self.instances.iter_mut().filter(|instance| instance.group().is_none()) {
            instance.apart = false;
            instance.stand_alone(&mut cx);
        }
        for group in &mut self.groups {
            group.agree(&mut self.instances, &mut cx);
        }
        self.schedule();
    }

    /// For each group the earlier one that it continues.
    fn succeeded(&self, before: &[Group], groups: &[GroupSettings]) -> Vec<Option<GroupId>> {
        let is_shared = |old: &Group, id: &InstanceId| {
            let takes_part = self.instance(*id).is_some_and(Instance::takes_part);
            takes_part && old.members().contains(id)
        };
        let mut pairs = Vec::new();
        for (group, index) in groups.iter().zip(0_usize..) {
            for old in before {
                let shared = group.members.iter().filter(|id| is_shared(old, id)).count();
                if shared > 0 {
                    let is_same_name = group.name == old.settings().name;
                    pairs.push((Reverse((is_same_name, shared)), index, old.id()));
                }
            }
        }
        pairs.sort_unstable();
        let mut succeeded = vec![None; groups.len()];
        for (_, index, old) in pairs {
            let is_free = !succeeded.contains(&Some(old));
            if let Some(place) = succeeded.get_mut(index).filter(|place| place.is_none() && is_free) {
                *place = Some(old);
            }
        }
        succeeded
    }
}

impl Group {
    /// Brings its members to one state after a reload.
    fn agree(&mut self, instances: &mut [Instance], cx: &mut Cx<'_>) {
        let before = self.state;
        let members = || self.members().iter().filter_map(|member| instances.get(member.index()));
        let has_begun = members().any(Instance::takes_part);
        if has_begun {
            if before == State::Init {
                // In any other state, members in Init are still to join.
                self.state = State::Backup;
            }
            self.set_apart(instances);
            self.unite(instances, cx);
        } else if self.all(instances, Instance::may_leave_init) {
            self.begin(instances, cx);
        }
        let cause = self.present(instances).find(|member| member.reason().is_some_and(Reason::is_own));
        let cause = cause.or_else(|| self.present(instances).next()).map(Instance::id);
        self.state = before;
        let Some(cause) = cause else { return };
        self.follow(cause, instances, cx);
        for member in self.waiting(instances) {
            self.join(member, instances, cx);
        }
        self.ready = self.present(instances).filter(|member| member.is_ready()).count();
    }

    /// Keeps apart those new members that cannot take part, if there are others to continue.
    fn set_apart(&self, instances: &mut [Instance]) {
        let is_able =
            |member: &Instance| member.state() != State::Fault && member.faults().reason().is_none();
        let mut has_others = false;
        for id in self.members() {
            if let Some(member) = instances.get_mut(id.index()) {
                member.apart &= !is_able(member);
                has_others |= member.takes_part() && !member.apart;
            }
        }
        for id in self.members().iter().filter(|_| !has_others) {
            if let Some(member) = instances.get_mut(id.index()) {
                member.apart = false;
            }
        }
    }

    /// Members that are still to join and may leave Init, or the Fault in which they were apart.
    fn waiting(&self, instances: &[Instance]) -> Vec<InstanceId> {
        let members = self.members().iter().filter_map(|member| instances.get(member.index()));
        let waiting = members.filter(|member| !self.has_joined(member) && member.may_leave_init());
        waiting.map(Instance::id).collect()
    }

    /// Enters the state of its members.
    fn follow(&mut self, cause: InstanceId, instances: &[Instance], cx: &mut Cx<'_>) {
        let Some(member) = instances.get(cause.index()) else { return };
        if member.state() != self.state
            && let Some(reason) = member.reason()
        {
            self.enter(member.state(), (cause, reason), cx);
        }
    }

    fn unite(&self, instances: &mut [Instance], cx: &mut Cx<'_>) {
        if self.present(instances).any(|member| member.faults().reason().is_some()) {
            self.fail(instances, cx);
            return;
        }
        let are_owners = self.all(instances, |member| member.priority().is_owner());
        let recovered = if are_owners { State::Master } else { State::Backup };
        self.each(instances, |member| {
            if member.state() == State::Fault {
                state::go(member, Move::new(recovered, Reason::Recovered), cx);
            }
        });
        let is_idle = |member: &Instance| member.state() == State::Backup && !member.is_ready();
        let has_idle = self.present(instances).any(is_idle);
        self.each(instances, |member| match member.state() {
            State::Backup if !has_idle => state::go(member, backup::take_over(member), cx),
            // As after yielding: there may be no heir yet.
            State::Master if has_idle => {
                state::go(member, Move::new(State::Backup, Reason::GroupYielded), cx);
            }
            _ => {}
        });
    }
}
