//! One VRID on one interface and family: its data, and what its states share.
//!
//! Its inputs are in [`super::input`], the meaning of each in a state under [`super::state`].

use core::net::IpAddr;
use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::action::{Reason, State};
use super::event::TrackId;
use super::handover::{Handover, Serving};
use super::settings::{ElectionSettings, TrackSettings};
use super::state::data::{Backup, Master, RemoteMaster, Trials};
use super::steering::Steering;
use super::timers::{Timer, Timers};
use super::timing;
use super::track::{Faults, Tracking};
use super::units::{Epoch, GroupId, InstanceId, Interval, Priority, Version};

/// An instance. Read it for status and to build adverts; only the router changes it.
#[derive(Debug)]
pub struct Instance {
    id: InstanceId,
    pub(super) settings: ElectionSettings,
    pub(super) group: Option<GroupId>,
    /// Its group continues without it: a reload has brought it there, and it has not been able to take part since.
    pub(super) apart: bool,
    pub(super) tracking: Tracking,
    /// Effective: with the weights.
    pub(super) priority: Priority,
    pub(super) started: bool,
    /// It ignores all events; its number is free.
    pub(super) removed: bool,
    pub(super) state: State,
    pub(super) epoch: Epoch,
    pub(super) reason: Option<Reason>,
    pub(super) since: Timestamp,
    pub(super) timers: Timers,
    pub(super) backup: Backup,
    pub(super) master: Master,
    pub(super) handover: Handover,
    pub(super) serving: Serving,
    pub(super) trials: Trials,
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
            trials: Trials::default(),
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

    /// Gives a new instance the results that other instances know already.
    pub(super) fn carry_results(&mut self, known: impl Fn(TrackId) -> Option<i32>) {
        self.tracking.carry(&[], &self.settings.tracks, known);
        self.priority = self.tracking.priority(&self.settings);
    }

    /// Whether it takes part in the election: it has left Init, and the daemon is not stopping.
    pub(super) fn takes_part(&self) -> bool {
        self.started && self.reason.is_some()
    }

    /// Stores orders of an operator, without acting on them yet.
    pub(super) fn record_steering(&mut self, steering: Steering) {
        self.tracking.steering = steering;
    }

    /// Another process keeps removing the addresses: a cause of Fault.
    pub(super) fn hold_taken_away(&mut self) {
        self.tracking.taken_away = true;
    }

    /// This host refuses to send the adverts, and another master does not hear them: a cause of Fault.
    pub(super) fn hold_refused(&mut self) {
        self.tracking.refused = true;
    }

    /// Ends these causes, to try again.
    pub(super) fn reclaim(&mut self) {
        (self.tracking.taken_away, self.tracking.refused) = (false, false);
    }
}
