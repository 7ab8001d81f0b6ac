//! Snapshot of an instance, for the next process at a hot restart.
//!
//! Enters and leaves: an [`InstanceSnapshot`]. Absent: transitions. The next process continues in the same state and
//! epoch with the same deadlines, and sends neither adverts nor announcements because of it; a Master's addresses are
//! set already.

use alloc::vec::Vec;
use core::net::IpAddr;

use vrrp_ebpf::time::Timestamp;

use super::action::{Action, Reason, State};
use super::context::Cx;
use super::event::{PeerAdvert, TrackId};
use super::handover::Handover;
use super::instance::Instance;
use super::state::{backup, fault, master};
use super::timers::Timer;
use super::timing;
use super::units::Epoch;

/// The snapshot. Times are those of CLOCK_MONOTONIC, which both processes share.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceSnapshot {
    pub state: State,
    pub epoch: Epoch,
    pub reason: Option<Reason>,
    pub since: Timestamp,
    /// The source of its adverts.
    pub source: Option<IpAddr>,
    /// Master: when the next advert is due.
    pub advert: Option<Timestamp>,
    /// Master: until when its adverts entitle it. They go on until the next process sends, which needs the time of the
    /// latest one.
    pub entitled_until: Option<Timestamp>,
    /// Backup: when the master-down timer fires; `None` if it has fired and the group waits.
    pub master_down: Option<Timestamp>,
    /// Backup: the latest advert of the master that it obeys.
    pub master: Option<PeerAdvert>,
    /// Backup: when `preempt_delay` ends, or has ended; `None` while no lower master is heard.
    pub endures_until: Option<Timestamp>,
    /// Latest results of tracked objects.
    pub results: Vec<(TrackId, i32)>,
    /// See [`Instance::is_apart`].
    pub apart: bool,
}

impl Instance {
    /// The snapshot; `None` during a handover, or while it listens after a suspension: that is soon over, and the
    /// process that began it finishes it.
    pub(super) fn snapshot(&self) -> Option<InstanceSnapshot> {
        let results = self.tracks().filter_map(|(track, result)| Some((track.id, result?))).collect();
        let is_settled = self.handover() == Handover::Idle && self.timers.due(Timer::Resume).is_none();
        is_settled.then(|| InstanceSnapshot {
            state: self.state,
            epoch: self.epoch,
            reason: self.reason,
            since: self.since,
            source: self.source(),
            advert: self.timers.due(Timer::Advert),
            entitled_until: self.entitled_until(),
            master_down: self.timers.due(Timer::MasterDown),
            master: self.remote_master().map(|master| master.heard),
            endures_until: self.backup.endures_until(),
            results,
            apart: self.apart,
        })
    }

    /// Continues from a snapshot, in Init. Changes of link, source and tracked objects are found when it starts.
    pub(super) fn restore(&mut self, snapshot: &InstanceSnapshot, cx: &mut Cx<'_>) {
        if self.state != State::Init || self.is_removed() {
            return;
        }
        for (track, value) in &snapshot.results {
            self.record_and_weigh(*track, *value);
        }
        (self.epoch, self.reason, self.since) = (snapshot.epoch, snapshot.reason, snapshot.since);
        (self.state, self.apart) = (snapshot.state, snapshot.apart);
        self.started = self.state != State::Init;
        match self.state {
            State::Init => {}
            State::Backup => {
                let times = (snapshot.endures_until, snapshot.master_down);
                backup::restore(self, snapshot.master, times, cx);
            }
            State::Master => {
                cx.actions.push_back(Action::HoldAddresses(self.id(), self.epoch));
                let mut advert = snapshot.advert.unwrap_or(cx.now);
                let until = snapshot.entitled_until.unwrap_or_default();
                if until > cx.now {
                    // Those that were due before have been sent.
                    advert = timing::latest(advert, self.settings().advert_interval.duration(), cx.now);
                }
                master::restore(self, advert, until, cx);
            }
            State::Fault => fault::restore(self, cx),
        }
    }
}
