//! Live state: counters and the present state as atomics, which any thread may read at any time.
//!
//! The engine and the effect thread write, status and metrics read. Single values are exact; two of them may belong to
//! different moments.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use vrrp_ebpf::map::{Counter, Counters};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Reject;

use super::announcements::Announcements;
use super::auth::Ledger;
use super::history::SUMS;
use crate::protocol::{
    Faults, Group, GroupTransition, InstanceId, InstanceSnapshot, Priority, Reason, State, Transition,
};

/// Buckets of a lateness histogram: bucket i counts delays below 2^i µs, the last one all longer ones.
pub const LATENESS_BUCKETS: usize = 24;

#[derive(Debug)]
pub struct LiveState {
    pub instances: Box<[LiveInstance]>,
    /// Transitions by the new [`State`], by [`Reason`] and by instance: kinds that never come are no memory.
    transitions: Box<[AtomicU32]>,
    /// Of each instance, made when it first signs.
    pub ledgers: Box<[OnceLock<Arc<Ledger>>]>,
    pub groups: Box<[LiveGroup]>,
    pub announcements: Announcements,
    /// How late the engine's timer fired.
    pub engine_lateness: Lateness,
    pub turns: AtomicU64,
    /// Wake-ups of the effect thread.
    pub effect_turns: AtomicU64,
    /// Turns that found this node to have been suspended: its own timer was too late.
    pub suspensions: AtomicU64,
    /// Errors of netlink or packet sends in the effect thread.
    pub effect_errors: AtomicU64,
}

#[derive(Debug, Default)]
pub struct LiveInstance {
    state: AtomicU8,
    reason: AtomicU8,
    priority: AtomicU8,
    /// Bits of [`Faults`].
    faults: AtomicU8,
    /// When `preempt_delay` ends, ns of CLOCK_MONOTONIC; 0 while it does not run.
    preempts_at: AtomicU64,
    /// When the master-down timer fires, as far as the engine has moved it, ns of CLOCK_MONOTONIC; 0 while it does not
    /// run. Adverts that the program compares move it later.
    master_down_at: AtomicU64,
    pub epoch: AtomicU64,
    /// When the state was entered, ns of CLOCK_MONOTONIC.
    pub since: AtomicU64,
    pub adverts_sent: AtomicU64,
    pub release_sent: AtomicU64,
    /// Adverts of others with priority 0.
    pub release_heard: AtomicU64,
    /// Adverts of its master that came in the last interval of master_down_interval.
    pub near_misses: AtomicU64,
    pub send_errors: AtomicU64,
    most_received: AtomicU64,
    pub announcements_sent: AtomicU64,
    /// Addresses, routes and rules that were lost, and were set again.
    pub put_back: AtomicU64,
    /// Addresses, routes and rules that it could not set, as master.
    pub lacking: AtomicU64,
    /// Addresses that it has left and that could not be removed.
    pub leftovers: AtomicU64,
    /// From the command to the last first announcement of the latest takeover, ns.
    pub takeover_nanos: AtomicU64,
    /// Lower masters heard while master.
    pub contests: AtomicU64,
    /// For how long they were heard, ns.
    pub rivalled_nanos: AtomicU64,
    /// For how long rivals whose adverts are refused were heard while master, ns.
    pub unheard_rival_nanos: AtomicU64,
    pub ifindex: AtomicU32,
    /// Receive path; see `driver::RxPath`.
    pub rx_path: AtomicU8,
    /// ARP requests and neighbour solicitations for each of its addresses reach the program, which drops them without a
    /// lease.
    pub fenced: AtomicBool,
}

impl LiveState {
    pub fn new(instances: usize) -> Self {
        let kinds = State::ALL.len() * Reason::ALL.len();
        // SAFETY: an entry has nothing but atomic numbers, for which zero is valid.
        let entries = unsafe { Box::<[LiveInstance]>::new_zeroed_slice(instances).assume_init() };
        // SAFETY: as above.
        let transitions = unsafe { Box::<[AtomicU32]>::new_zeroed_slice(instances * kinds).assume_init() };
        Self {
            // Zeros that are no memory until they are used.
            instances: entries,
            transitions,
            ledgers: (0..instances).map(|_| OnceLock::new()).collect(),
            groups: Box::default(),
            announcements: Announcements::default(),
            engine_lateness: Lateness::default(),
            turns: AtomicU64::new(0),
            effect_turns: AtomicU64::new(0),
            suspensions: AtomicU64::new(0),
            effect_errors: AtomicU64::new(0),
        }
    }

    /// Resets the entry of an instance for another one under the same number.
    pub fn clear(&self, instance: InstanceId) {
        if let Some(live) = self.instances.get(instance.index()) {
            live.clear();
        }
        for (_, _, count) in self.transitions(instance).filter(|(_, _, count)| count.load(Relaxed) > 0) {
            count.store(0, Relaxed);
        }
        if let Some(ledger) = self.ledger(instance) {
            ledger.clear();
        }
        self.announcements.forget(instance);
    }

    pub fn record(&self, instance: InstanceId, transition: &Transition) {
        let Some(live) = self.instances.get(instance.index()) else { return };
        live.record(transition);
        let of_kind =
            |(to, reason, _): &(State, Reason, _)| *to == transition.to && *reason == transition.reason;
        if let Some((_, _, count)) = self.transitions(instance).find(of_kind) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// The number of transitions of an instance, by the new state and the reason.
    pub fn transitions(&self, instance: InstanceId) -> impl Iterator<Item = (State, Reason, &AtomicU32)> {
        let kinds = State::ALL.into_iter().flat_map(|to| Reason::ALL.into_iter().map(move |it| (to, it)));
        let counts = self.transitions.iter().skip(instance.index()).step_by(self.instances.len().max(1));
        kinds.zip(counts).map(|((to, reason), count)| (to, reason, count))
    }

    /// The ledger of an instance that signs.
    pub fn ledger(&self, instance: InstanceId) -> Option<&Arc<Ledger>> {
        self.ledgers.get(instance.index())?.get()
    }

    #[must_use]
    pub fn with_groups(mut self, groups: usize) -> Self {
        self.groups = (0..groups).map(|_| LiveGroup::default()).collect();
        self
    }
}

/// A sync group.
#[derive(Debug, Default)]
pub struct LiveGroup {
    state: AtomicU8,
    reason: AtomicU8,
    pub epoch: AtomicU64,
    /// When the state was entered, ns of CLOCK_MONOTONIC.
    pub since: AtomicU64,
}

impl LiveGroup {
    /// Adopts the values of an earlier process.
    pub fn restore(&self, group: &Group, now: Timestamp) {
        self.state.store(group.state() as u8, Relaxed);
        self.epoch.store(group.epoch().0, Relaxed);
        self.since.store(now.as_nanos(), Relaxed);
    }

    /// The values of this moment.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self::default();
        copy.set(self);
        copy
    }

    /// Takes the values of another group, which gets this number.
    pub fn set(&self, other: &Self) {
        self.state.store(other.state.load(Relaxed), Relaxed);
        self.reason.store(other.reason.load(Relaxed), Relaxed);
        self.epoch.store(other.epoch.load(Relaxed), Relaxed);
        self.since.store(other.since.load(Relaxed), Relaxed);
    }

    pub fn record(&self, transition: &GroupTransition) {
        self.state.store(transition.to as u8, Relaxed);
        self.reason.store(transition.reason as u8, Relaxed);
        // Last of those above: a reader that sees the epoch sees its state.
        self.epoch.store(transition.epoch.0, Release);
        self.since.store(transition.at.as_nanos(), Relaxed);
    }

    pub fn state(&self) -> State {
        State::ALL.get(usize::from(self.state.load(Relaxed))).copied().unwrap_or_default()
    }

    /// Reason of the latest transition.
    pub fn reason(&self) -> Reason {
        Reason::ALL.get(usize::from(self.reason.load(Relaxed))).copied().unwrap_or(Reason::Startup)
    }
}

impl LiveInstance {
    fn clear(&self) {
        for byte in [&self.state, &self.reason, &self.priority, &self.faults, &self.rx_path] {
            byte.store(0, Relaxed);
        }
        let numbers = [
            &self.preempts_at,
            &self.master_down_at,
            &self.epoch,
            &self.since,
            &self.adverts_sent,
            &self.release_sent,
            &self.release_heard,
            &self.near_misses,
            &self.send_errors,
            &self.most_received,
            &self.announcements_sent,
            &self.put_back,
            &self.lacking,
            &self.takeover_nanos,
            &self.contests,
            &self.rivalled_nanos,
            &self.unheard_rival_nanos,
        ];
        numbers.into_iter().for_each(|number| number.store(0, Relaxed));
        self.ifindex.store(0, Relaxed);
        self.fenced.store(false, Relaxed);
    }

    /// Valid adverts of others, including those that were lost afterwards. The program counts a signed one before the
    /// daemon may refuse it: a count that was shown does not fall.
    pub fn adverts_received(&self, counters: &Counters) -> u64 {
        let heard = [Counter::Steady, Counter::Event, Counter::RingFull].map(|word| counters.counter(word));
        // The daemon refuses these after the program has let them through.
        let refused =
            [Reject::AuthMalformed, Reject::AuthKey, Reject::AuthHmac, Reject::AuthStale, Reject::AuthReplay];
        let refused = refused.map(|word| counters.reject(word));
        let received = heard.iter().sum::<u64>().saturating_sub(refused.iter().sum());
        self.most_received.fetch_max(received, Relaxed).max(received)
    }

    /// What it adds to the sums of all instances, in their order.
    pub fn summed(&self, counters: &Counters) -> [u64; SUMS] {
        [counters.counter(Counter::Steady), self.announcements_sent.load(Relaxed)]
    }

    /// For how long other masters were heard while master, ns: those that yield, and those whose adverts are refused.
    pub fn dual_master_nanos(&self) -> u64 {
        self.rivalled_nanos.load(Relaxed).saturating_add(self.unheard_rival_nanos.load(Relaxed))
    }

    fn record(&self, transition: &Transition) {
        self.state.store(transition.to as u8, Relaxed);
        self.reason.store(transition.reason as u8, Relaxed);
        self.priority.store(transition.priority.0, Relaxed);
        // As in a group.
        self.epoch.store(transition.epoch.0, Release);
        self.since.store(transition.at.as_nanos(), Relaxed);
    }

    /// Adopts the values of an earlier process, except its counters.
    pub fn restore(&self, snapshot: &InstanceSnapshot, priority: Priority) {
        self.state.store(snapshot.state as u8, Relaxed);
        self.reason.store(snapshot.reason.unwrap_or(Reason::Startup) as u8, Relaxed);
        self.priority.store(priority.0, Relaxed);
        self.epoch.store(snapshot.epoch.0, Relaxed);
        self.since.store(snapshot.since.as_nanos(), Relaxed);
    }

    pub fn set_priority(&self, priority: Priority) {
        self.priority.store(priority.0, Relaxed);
    }

    /// What holds it back now.
    pub fn set_obstacles(&self, faults: Faults, preempts_at: Option<Timestamp>) {
        self.faults.store(faults.bits(), Relaxed);
        self.preempts_at.store(preempts_at.unwrap_or_default().as_nanos(), Relaxed);
    }

    /// What keeps it in Fault, or would.
    pub fn faults(&self) -> Faults {
        Faults::of_bits(self.faults.load(Relaxed))
    }

    /// When `preempt_delay` ends, if it runs.
    pub fn preempts_at(&self) -> Option<Timestamp> {
        Some(Timestamp::from_nanos(self.preempts_at.load(Relaxed))).filter(|it| *it != Timestamp::ZERO)
    }

    pub fn set_master_down(&self, at: Option<Timestamp>) {
        self.master_down_at.store(at.unwrap_or_default().as_nanos(), Relaxed);
    }

    /// When the master-down timer fires, as far as the engine has moved it; `None` while it does not run.
    pub fn master_down_at(&self) -> Option<Timestamp> {
        Some(Timestamp::from_nanos(self.master_down_at.load(Relaxed))).filter(|it| *it != Timestamp::ZERO)
    }

    pub fn state(&self) -> State {
        State::ALL.get(usize::from(self.state.load(Relaxed))).copied().unwrap_or_default()
    }

    /// Reason of the latest transition.
    pub fn reason(&self) -> Reason {
        Reason::ALL.get(usize::from(self.reason.load(Relaxed))).copied().unwrap_or(Reason::Startup)
    }

    pub fn priority(&self) -> Priority {
        Priority(self.priority.load(Relaxed))
    }
}

#[derive(Debug, Default)]
pub struct Lateness {
    pub buckets: [AtomicU64; LATENESS_BUCKETS],
    pub sum_nanos: AtomicU64,
    pub max_nanos: AtomicU64,
}

impl Lateness {
    pub fn record(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let micros = nanos / 1000;
        let bucket = (64 - micros.leading_zeros() as usize).min(LATENESS_BUCKETS - 1);
        if let Some(count) = self.buckets.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.sum_nanos.fetch_add(nanos, Relaxed);
        self.max_nanos.fetch_max(nanos, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Epoch;

    #[test]
    fn transitions_are_counted_for_their_instance_alone() {
        let live = LiveState::new(3);
        let transition = |to, reason| Transition {
            from: State::Init,
            to,
            reason,
            epoch: Epoch(1),
            at: Timestamp::ZERO,
            priority: Priority(100),
            peer: None,
        };
        let counts = |id| -> Vec<_> {
            let all = live.transitions(InstanceId(id)).map(|(to, reason, it)| (to, reason, it.load(Relaxed)));
            all.filter(|(_, _, count)| *count > 0).collect()
        };
        let last = Reason::ALL[Reason::ALL.len() - 1];
        for (id, to, reason) in [
            (0, State::Init, Reason::Startup),
            (1, State::Fault, last),
            (1, State::Fault, last),
            (2, State::Fault, last),
            (3, State::Master, Reason::Owner),
        ] {
            live.record(InstanceId(id), &transition(to, reason));
        }
        assert_eq!(counts(0), [(State::Init, Reason::Startup, 1)]);
        assert_eq!(counts(1), [(State::Fault, last, 2)]);
        live.clear(InstanceId(1));
        assert_eq!((counts(1), counts(2)), (vec![], vec![(State::Fault, last, 1)]));
    }
}
