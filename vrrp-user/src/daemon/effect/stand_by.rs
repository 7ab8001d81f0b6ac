//! Standing by: awake at the instant of a takeover.
//!
//! Enters: the time of a takeover that is near. Leaves: the thread awake until its commands come, or until they should
//! have come. A thread that sleeps in the kernel runs up to 100 µs after it is woken. It has the engine's priority
//! until it has announced the first addresses: the engine has another processor, and that of another daemon on this
//! host, as the old master's in another container, hears the advert at the same moment. Absent: standing by at any
//! other time, and on a single processor, which the engine needs.

use std::thread::available_parallelism;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use crate::daemon::queue::{Command, Queue};
use crate::driver::clock;
use crate::driver::realtime::set_priority;

/// A takeover later than this is not near.
const NEAR: Duration = Duration::from_micros(400);

/// How long the command may take after the instant: the engine looks for adverts once more and sends its own.
const GRACE: Duration = Duration::from_micros(300);

/// Longest time awake without a sleep. Takeovers may follow each other for longer, while repeats wait, and while the
/// kernel counts the time without a pause.
const AWAKE_MAX: Duration = Duration::from_millis(2);

/// The thread's own SCHED_FIFO priority, and that of the engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Priorities {
    pub(super) own: i32,
    pub(super) engine: i32,
}

#[derive(Debug, Default)]
pub(super) struct StandBy {
    priorities: Option<Priorities>,
    is_raised: bool,
    /// Another processor runs the engine meanwhile.
    has_processor: bool,
    until: Option<Timestamp>,
    /// When it first stayed awake since its latest sleep.
    since: Option<Timestamp>,
}

impl StandBy {
    /// For the calling thread; without priorities, for an ordinary one.
    pub(super) fn new(priorities: Option<Priorities>) -> Self {
        let has_processor = available_parallelism().is_ok_and(|processors| processors.get() > 1);
        Self { has_processor, priorities, ..Self::default() }
    }

    /// A takeover is due. Nothing if the thread has been awake for too long: it is then woken by the command.
    pub(super) fn expect(&mut self, due: Timestamp) {
        let now = clock::now();
        let (since, until) = (self.since.unwrap_or(now), due + GRACE);
        if self.has_processor && due <= now + NEAR && until.since(since) <= AWAKE_MAX {
            (self.since, self.until) = (Some(since), Some(until));
            self.raise(true);
        }
    }

    /// The thread is about to sleep.
    pub(super) fn rest(&mut self) {
        self.since = None;
        self.raise(false);
    }

    /// The first addresses of a takeover are announced, and many may follow.
    pub(super) fn has_begun(&mut self) {
        self.raise(false);
    }

    fn raise(&mut self, is_raised: bool) {
        if let Some(Priorities { own, engine }) = self.priorities
            && self.is_raised != is_raised
        {
            set_priority(if is_raised { engine } else { own });
            self.is_raised = is_raised;
        }
    }

    /// Whether commands have come, after a wait for them if a takeover is near.
    pub(super) fn wait(&mut self, commands: &Queue<Command>) -> bool {
        while let Some(until) = self.until {
            if !commands.is_empty() {
                return true;
            }
            if clock::now() >= until {
                self.until = None;
            }
            std::hint::spin_loop();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::realtime::{ENGINE_PRIORITY, become_realtime};
    use crate::protocol::InstanceId;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_near_takeover_is_waited_for_and_not_for_long() {
        let commands = Queue::new(2).unwrap();
        let mut stand_by = StandBy { has_processor: true, ..StandBy::default() };
        assert!(!stand_by.wait(&commands), "no takeover is due");
        let due = clock::now() + Duration::from_micros(100);
        stand_by.expect(due);
        assert!(!stand_by.wait(&commands));
        assert!(clock::now() >= due, "it has not waited");
        assert!(stand_by.until.is_none(), "it waits again");
        // The test itself may have been kept from running for longer than a thread may stay awake.
        stand_by.rest();
        stand_by.expect(clock::now());
        commands.push(Command::StandBy(InstanceId(0), due));
        assert!(stand_by.wait(&commands), "a command has come");
    }

    #[test]
    fn a_far_takeover_and_a_single_processor_keep_nothing_awake() {
        for (has_processor, ahead) in [(true, MINUTE), (false, Duration::ZERO)] {
            let mut stand_by = StandBy { has_processor, ..StandBy::default() };
            stand_by.expect(clock::now() + ahead);
            assert!(stand_by.until.is_none());
        }
    }

    #[test]
    fn it_has_the_priority_of_the_engine_until_the_first_addresses_are_announced() {
        let priority = || {
            let mut parameters = libc::sched_param { sched_priority: 0 };
            // SAFETY: the parameters live across the call; 0 means the calling thread.
            assert_eq!(unsafe { libc::syscall(libc::SYS_sched_getparam, 0, &raw mut parameters) }, 0);
            parameters.sched_priority
        };
        let seen = std::thread::spawn(move || {
            let priorities = Priorities { own: ENGINE_PRIORITY - 1, engine: ENGINE_PRIORITY };
            become_realtime(priorities.own).ok()?;
            let at_takeover = |end: fn(&mut StandBy)| {
                let mut stand_by =
                    StandBy { has_processor: true, priorities: Some(priorities), ..StandBy::default() };
                stand_by.expect(clock::now());
                let raised = priority();
                end(&mut stand_by);
                [raised, priority()]
            };
            Some([at_takeover(StandBy::has_begun), at_takeover(StandBy::rest)])
        });
        // Without permission, the thread is an ordinary one.
        if let Some(seen) = seen.join().unwrap() {
            assert_eq!(seen, [[ENGINE_PRIORITY, ENGINE_PRIORITY - 1]; 2]);
        }
    }

    #[test]
    fn takeovers_that_follow_each_other_keep_nothing_awake_for_long() {
        let now = clock::now();
        let mut stand_by =
            StandBy { has_processor: true, since: Some(now - AWAKE_MAX), ..StandBy::default() };
        stand_by.expect(now);
        assert!(stand_by.until.is_none());
        stand_by.rest();
        stand_by.expect(now);
        assert!(stand_by.until.is_some());
    }
}
