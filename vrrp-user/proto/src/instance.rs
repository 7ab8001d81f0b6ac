//! One VRID on one interface and family: the data and inputs that its states share.
//!
//! The files under [`super::state`] say what an event means in each state.

use core::net::IpAddr;
use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::action::{Action, Reason, State};
use super::event::{Loss, PeerAdvert, TrackId};
use super::handover::{self, Handover, Serving};
use super::settings::{ElectionSettings, TrackSettings};
use super::state::{self, Backup, Cx, Master, RemoteMaster};
use super::steering::Steering;
use super::timers::{Timer, Timers};
use super::timing;
use super::track::{Faults, Tracking};
use super::units::{Epoch, GroupId, InstanceId, Interval, Priority, Version};

/// An instance. Read it for status and to build adverts; only the router changes it.
#[derive(Debug)]
pub struct Instance {
    id: InstanceId,
    settings: ElectionSettings,
    pub(super) group: Option<GroupId>,
    /// Its group continues without it: a reload has brought it there, and it has not been able to take part since.
    pub(super) apart: bool,
    tracking: Tracking,
    /// Effective: with the weights.
    priority: Priority,
    pub(super) started: bool,
    /// It ignores all events; its number is free.
    removed: bool,
    pub(super) state: State,
    pub(super) epoch: Epoch,
    pub(super) reason: Option<Reason>,
    pub(super) since: Timestamp,
    pub(super) timers: Timers,
    pub(super) backup: Backup,
    pub(super) master: Master,
    pub(super) handover: Handover,
    pub(super) serving: Serving,
    pub(super) stats: Stats,
}

/// Counters of events that cause no transition.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// How often this node was found to have been suspended: as a backup by late timers, as a master by late adverts.
    pub suspensions: u64,
    /// Adverts from our own address: a loop, or the address is in use twice.
    pub own_heard: u64,
    /// Adverts of masters that lost against us, or released while we were master.
    pub contests: u64,
    /// Total time in which lower masters were heard while this one was master.
    pub rivalled: Duration,
    /// Answers to them that the rate limit held back.
    pub answers_withheld: u64,
}

impl Instance {
    /// `epoch` is the highest of earlier instances: transitions from here on have a higher one.
    pub(super) fn new(id: InstanceId, settings: ElectionSettings, epoch: Epoch) -> Self {
        let tracking = Tracking::new(&settings);
        Self {
            id,
            priority: tracking.priority(&settings),
            tracking,
            settings,
            group: None,
            apart: false,
            started: false,
            removed: false,
            state: State::Init,
            epoch,
            reason: None,
            since: Timestamp::ZERO,
            timers: Timers::default(),
            backup: Backup::default(),
            master: Master::default(),
            handover: Handover::default(),
            serving: Serving::default(),
            stats: Stats::default(),
        }
    }

    pub fn id(&self) -> InstanceId {
        self.id
    }

    pub fn settings(&self) -> &ElectionSettings {
        &self.settings
    }

    /// Whether a reload has removed it; its number is free.
    pub fn is_removed(&self) -> bool {
        self.removed
    }

    /// Its sync group.
    pub fn group(&self) -> Option<GroupId> {
        self.group
    }

    /// Whether its sync group continues without it, until it can take part.
    pub fn is_apart(&self) -> bool {
        self.apart
    }

    /// Whether it is a Backup whose master-down timer has fired, and which waits for the other members of its group.
    pub fn is_ready(&self) -> bool {
        self.state == State::Backup && self.timers.due(Timer::MasterDown).is_none()
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// Effective priority: with the weights of tracked objects.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Why the instance is in its state; `None` before the first transition.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// End of the lease of a Master.
    pub fn entitled_until(&self) -> Option<Timestamp> {
        self.master.entitled_until.filter(|_| self.state == State::Master)
    }

    /// Progress of the handover after its last mastership.
    pub fn handover(&self) -> Handover {
        self.handover
    }

    /// When the state was entered.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// The address that adverts are sent from.
    pub fn source(&self) -> Option<IpAddr> {
        self.tracking.source
    }

    /// The master that this Backup obeys.
    pub fn remote_master(&self) -> Option<&RemoteMaster> {
        self.backup.master()
    }

    /// Stamp of the latest advert that this Backup relies on; older ones are ignored.
    pub fn latest_heard(&self) -> Option<Timestamp> {
        self.backup.latest()
    }

    /// Whether this Backup obeys a master whose equal adverts are reported by `Event::Seen`.
    pub fn watches(&self) -> bool {
        self.remote_master().is_some_and(|master| master.watched)
    }

    pub fn faults(&self) -> Faults {
        self.tracking.faults(&self.settings)
    }

    /// The tracked objects and their latest results.
    pub fn tracks(&self) -> impl Iterator<Item = (&TrackSettings, Option<i32>)> {
        self.settings.tracks.iter().zip(self.tracking.results().iter().copied())
    }

    pub fn deadline(&self, timer: Timer) -> Option<Timestamp> {
        self.timers.due(timer)
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The interval for skew and master_down_interval: our own while no master is known, the master's in version 3, and
    /// the longer one in version 2. Version 2 has one interval for all routers (RFC 3768 §7.1), but taking over from a
    /// master that is heard, because its interval was changed first, would make two masters.
    pub fn master_interval(&self) -> Interval {
        let own = self.settings.advert_interval;
        match (self.settings.version, self.remote_master()) {
            (Version::V3, Some(master)) => master.heard.interval,
            (Version::V2, Some(master)) => own.max(master.heard.interval),
            (_, None) => own,
        }
    }

    pub fn skew(&self) -> Duration {
        timing::skew(self.settings.version, self.priority, self.master_interval())
    }

    pub fn master_down_interval(&self) -> Duration {
        timing::master_down_interval(
            self.settings.version,
            self.priority,
            self.master_interval(),
            self.settings.down_timer_adverts,
        )
    }

    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Whether it is started, and the results of all tracked objects are known.
    pub(super) fn may_leave_init(&self) -> bool {
        self.started && self.tracking.is_known()
    }

    /// Stores the result of a tracked object, without acting on it yet.
    pub(super) fn record(&mut self, id: TrackId, value: i32) {
        self.tracking.record(&self.settings.tracks, id, value);
    }

    /// As [`Self::record`], and updates the priority.
    pub(super) fn record_and_weigh(&mut self, id: TrackId, value: i32) {
        self.record(id, value);
        self.priority = self.tracking.priority(&self.settings);
    }

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
            State::Backup => state::backup::reconfigured(self, &old, priority, cx),
            State::Master => state::master::reconfigured(self, &old, has_new_addresses, priority, cx),
            State::Init | State::Fault => {}
        }
        if self.priority != priority {
            cx.actions.push_back(Action::ReportPriority(self.id, self.priority));
        }
    }

    /// Gives a new instance the results that other instances know already.
    pub(super) fn carry_results(&mut self, known: impl Fn(TrackId) -> Option<i32>) {
        self.tracking.carry(&[], &self.settings.tracks, known);
        self.priority = self.tracking.priority(&self.settings);
    }

    /// Whether it takes part in the election: it has left Init, and the daemon is not stopping.
    pub(super) fn takes_part(&self) -> bool {
        self.started && self.reason.is_some()
    }

    /// After a reload, for an instance without a group: a Fault of an earlier group ends, and so does waiting for its
    /// members.
    pub(super) fn stand_alone(&mut self, cx: &mut Cx<'_>) {
        self.reconsider(cx);
        if self.is_ready() {
            state::backup::take_over(self, cx);
        }
    }

    /// Removes the instance: it is no longer in the configuration.
    pub(super) fn remove(&mut self, cx: &mut Cx<'_>) {
        self.started = false;
        self.removed = true;
        handover::abort(self, cx);
        if self.state != State::Init {
            state::go(self, State::Init, Reason::Removed, None, cx);
        }
    }

    /// Ends the instance. A second call ends the wait for an heir.
    pub(super) fn shutdown(&mut self, cx: &mut Cx<'_>) {
        self.started = false;
        if self.state == State::Init {
            handover::abort(self, cx);
        } else {
            state::go(self, State::Init, Reason::Shutdown, None, cx);
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
            State::Backup => state::backup::heard(self, heard, cx),
            State::Master => state::master::heard(self, heard, cx),
            State::Init | State::Fault => {}
        }
    }

    pub(super) fn seen(&mut self, stamp: Timestamp, cx: &mut Cx<'_>) {
        if self.state == State::Backup {
            state::backup::seen(self, stamp, cx);
        }
    }

    pub(super) fn not_receiving(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::Backup {
            state::backup::not_receiving(self, cx);
        }
    }

    pub(super) fn lapsed(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::Master {
            state::suspended::lapsed(self, cx);
        }
    }

    pub(super) fn asked(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::Master {
            state::master::asked(self, cx);
        }
    }

    pub(super) fn refused(&mut self) {
        self.master.refused = self.state == State::Master;
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
            state::master::announce_again(self, cx);
        }
    }

    /// Acts on another priority than `old`, unless the state has started with it.
    fn reprioritised(&mut self, old: Priority, is_settled: bool, cx: &mut Cx<'_>) {
        if self.priority == old {
            return;
        }
        match self.state {
            _ if is_settled => {}
            State::Backup => state::backup::reprioritised(self, old, cx),
            State::Master => state::master::reprioritised(self, old, cx),
            State::Init | State::Fault => {}
        }
        cx.actions.push_back(Action::ReportPriority(self.id, self.priority));
    }

    /// Stores orders of an operator, without acting on them yet.
    pub(super) fn record_steering(&mut self, steering: Steering) {
        self.tracking.steering = steering;
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
            state::go(self, State::Backup, Reason::HandedOver, None, cx);
        }
        // While it serves alone, its timer is for the end of that, whatever its priority: another member of its group
        // may have had it hand over just before.
        let is_settled = self.epoch != epoch || handover::serves_until(self).is_some();
        self.reprioritised(old, is_settled, cx);
    }

    /// An address, a route or a rule was removed. Only a Master has them.
    pub(super) fn lost(&mut self, loss: Loss, cx: &mut Cx<'_>) {
        if self.state == State::Master {
            state::master::lost(self, loss, cx);
        }
    }

    pub(super) fn renew(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::Master {
            state::master::renew(self, cx);
        }
    }

    /// Another process keeps removing the addresses: a Fault.
    pub(super) fn set_taken_away(&mut self, cx: &mut Cx<'_>) {
        self.tracking.taken_away = true;
        self.reconsider(cx);
    }

    /// The same, found by an earlier daemon process.
    pub(super) fn hold_taken_away(&mut self) {
        self.tracking.taken_away = true;
    }

    /// This host refuses to send the adverts, and another master does not hear them: a Fault.
    pub(super) fn set_refused(&mut self, cx: &mut Cx<'_>) {
        self.tracking.refused = true;
        self.reconsider(cx);
    }

    /// The same, found by an earlier daemon process.
    pub(super) fn hold_refused(&mut self) {
        self.tracking.refused = true;
    }

    /// Ends these Faults, to try again.
    pub(super) fn reclaim(&mut self, cx: &mut Cx<'_>) {
        (self.tracking.taken_away, self.tracking.refused) = (false, false);
        self.reconsider(cx);
    }

    pub(super) fn timeout(&mut self, cx: &mut Cx<'_>) {
        // Each handler arms its timers beyond now, so one round is enough.
        for _ in Timer::ALL {
            let Some((timer, due)) = self.timers.take_due(cx.now) else { break };
            match self.state {
                _ if timer == Timer::Handover => handover::fired(self, cx),
                State::Backup => state::backup::fired(self, timer, due, cx),
                State::Master => state::master::fired(self, timer, due, cx),
                State::Fault => state::fault::fired(self, timer, cx),
                State::Init => {}
            }
        }
    }

    /// Enters or leaves Fault, or leaves Init, if the faults require it. In a group, the group does it.
    fn reconsider(&mut self, cx: &mut Cx<'_>) {
        if self.faults().reason().is_some_and(|reason| !handover::can_serve(reason)) {
            handover::abort(self, cx);
        }
        if self.group.is_some() {
            return;
        }
        match self.state {
            State::Init => state::init::reconsider(self, cx),
            State::Fault => state::fault::reconsider(self, cx),
            State::Backup | State::Master => {
                if let Some(reason) = self.faults().reason() {
                    state::go(self, State::Fault, reason, None, cx);
                }
            }
        }
    }
}
