//! Timers of an instance, as data.

use vrrp_ebpf::time::Timestamp;

/// The timers, each with its state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Timer {
    /// Master: the next advert is to be sent.
    Advert = 0,
    /// Backup: the master was silent for too long.
    MasterDown = 1,
    /// Backup: the master has not been seen lately; look again, and detect whether this node was suspended.
    Suspect = 2,
    /// Backup: a lower master has been obeyed for `preempt_delay`.
    PreemptDelay = 3,
    /// Master: the second set of announcements after the takeover.
    AnnounceAgain = 4,
    /// Master: the periodic set of announcements.
    AnnounceRefresh = 5,
    /// Master: the second set of announcements after a lower master was heard.
    AnnounceContest = 6,
    /// Fault: try again after another process kept removing the addresses; try whether the host sends adverts again.
    Reclaim = 7,
    /// After a mastership, in any state: release again, or remove the addresses.
    Handover = 8,
    /// Master: it was suspended, and no master that it would obey was heard; it takes over again.
    Resume = 9,
    /// Master: the set of announcements for a lower master that was heard again just after a set for it.
    FollowContest = 10,
}

impl Timer {
    pub const ALL: [Self; 11] = [
        Self::Advert,
        Self::MasterDown,
        Self::Suspect,
        Self::PreemptDelay,
        Self::AnnounceAgain,
        Self::AnnounceRefresh,
        Self::AnnounceContest,
        Self::Reclaim,
        Self::Handover,
        Self::Resume,
        Self::FollowContest,
    ];
}

/// When each timer fires; `None` while it is stopped.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    due: [Option<Timestamp>; Timer::ALL.len()],
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Timestamp) {
        self.due[timer as usize] = Some(at);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.due[timer as usize] = None;
    }

    /// Stops the timers of a state. A handover continues in the next one.
    pub(super) fn stop_all(&mut self) {
        let handover = self.due(Timer::Handover);
        *self = Self::default();
        self.due[Timer::Handover as usize] = handover;
    }

    pub(super) fn due(&self, timer: Timer) -> Option<Timestamp> {
        self.due[timer as usize]
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.iter().flatten().min().copied()
    }

    /// Stops the earliest timer that is due and returns it with its time.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<(Timer, Timestamp)> {
        let (due, timer) = Timer::ALL
            .into_iter()
            .filter_map(|timer| self.due(timer).map(|due| (due, timer)))
            .min_by_key(|&(due, _)| due)
            .filter(|&(due, _)| due <= now)?;
        self.stop(timer);
        Some((timer, due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn due_timers_come_in_the_order_of_their_times() {
        let mut timers = Timers::default();
        timers.set(Timer::Advert, at(30));
        timers.set(Timer::AnnounceRefresh, at(10));
        timers.set(Timer::AnnounceAgain, at(20));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.take_due(at(9)), None);
        assert_eq!(timers.take_due(at(20)), Some((Timer::AnnounceRefresh, at(10))));
        assert_eq!(timers.take_due(at(20)), Some((Timer::AnnounceAgain, at(20))));
        assert_eq!(timers.take_due(at(20)), None);
        assert_eq!(timers.next(), Some(at(30)));
    }

    #[test]
    fn every_timer_has_its_place() {
        for (index, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, index);
        }
    }
}
